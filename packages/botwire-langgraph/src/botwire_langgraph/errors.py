"""What a run is told whose thread is not as it expects."""

from __future__ import annotations

from botwire import ConflictError


class ConcurrentRunError(ConflictError):
    """Another run has the thread, or went on in it first; nothing was written.

    What this run put before stays. Run the turn again, with the same message ids if its input may
    have been stored: `add_messages` then replaces it.
    """


class ThreadDeletedError(ConflictError):
    """A run wanted to continue in a thread that was deleted meanwhile; nothing was written."""


def busy(thread: str) -> ConcurrentRunError:
    """Returns the error for a thread that another run has."""
    return ConcurrentRunError(
        f"another run is going on in the thread {thread!r:.80}; nothing was stored: run the turn "
        'again when it is over, or let it wait with BotWireSaver(on_conflict="wait")'
    )
