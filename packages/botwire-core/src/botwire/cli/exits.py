"""What a command's exit code says."""

from __future__ import annotations

from botwire.errors import (
    AuthenticationError,
    BotWireError,
    ConflictError,
    NotFoundError,
    PermissionDeniedError,
    TransportError,
)

OK = 0
"""It worked."""
NO = 1
"""It worked, and the answer is no: nothing there, nothing found, not the same, not sound."""
FAILED = 2
"""It did not work; also what `argparse` says of a wrong command line."""
CONFLICT = 3
"""Something newer is there, and was left as it is."""
UNREACHABLE = 4
"""No answer came: nothing listens there, or it took too long."""
DENIED = 5
"""The API key is missing, not known, or does not allow this."""
INTERRUPTED = 130
"""Stopped by Ctrl-C, as shells say it."""


def exit_code(error: BotWireError) -> int:
    """Returns the exit code that stands for an error."""
    if isinstance(error, NotFoundError):
        return NO
    if isinstance(error, ConflictError):
        return CONFLICT
    if isinstance(error, TransportError):
        return UNREACHABLE
    if isinstance(error, (AuthenticationError, PermissionDeniedError)):
        return DENIED
    return FAILED
