"""Errors that are also LangGraph's own, or that say why a run was refused."""

from __future__ import annotations

from langgraph.store.base import InvalidNamespaceError

from botwire import ConfigurationError, ConflictError


class ConcurrentRunError(ConflictError):
    """Another run holds the thread, or wrote to it first; nothing was written.

    Earlier writes of this run stay. Run the turn again, with the same message ids if its input may
    have been stored, so that `add_messages` replaces it.
    """


class ThreadDeletedError(ConflictError):
    """The thread was deleted while a run was active on it; nothing was written."""


class NamespaceError(ConfigurationError, InvalidNamespaceError):
    """A namespace of LangGraph's store is not valid."""


def busy(thread: str) -> ConcurrentRunError:
    """Returns the error for a thread that another run holds."""
    return ConcurrentRunError(
        f"another run is under way in the thread {thread!r:.80}; nothing was stored: run the turn "
        'again when it is over, or let it wait with BotWireSaver(on_conflict="wait")'
    )
