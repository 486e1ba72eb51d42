"""The exit codes of commands."""

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
"""Success."""
NO = 1
"""Success with a negative answer: not found, no match, different, or damaged."""
FAILED = 2
"""Failure; also returned by `argparse` for a wrong command line."""
CONFLICT = 3
"""A conflict: newer data exists and was not changed."""
UNREACHABLE = 4
"""No answer came: nothing listens there, or it took too long."""
DENIED = 5
"""The API key is missing or unknown, or does not allow this."""
INTERRUPTED = 130
"""Stopped by Ctrl-C; shells use the same code."""


def exit_code(error: BotWireError) -> int:
    """Returns the exit code for an error."""
    if isinstance(error, NotFoundError):
        return NO
    if isinstance(error, ConflictError):
        return CONFLICT
    if isinstance(error, TransportError):
        return UNREACHABLE
    if isinstance(error, (AuthenticationError, PermissionDeniedError)):
        return DENIED
    return FAILED
