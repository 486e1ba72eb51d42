"""Scope paths: a record's position in a tree, for example ``/crew/alice``.

A path consists of segments and is compared segment by segment: ``/crew/al`` is not above
``/crew/alice``. A segment may contain anything but a slash; ``..`` and ``%`` are not special.
"""

from __future__ import annotations

from collections.abc import Iterable

from botwire.errors import ConfigurationError
from botwire.names import MAX_NAME_BYTES, check_scope, to_bytes

ROOT = "/"
"""The scope above all others."""

_LONGEST = 16 * MAX_NAME_BYTES  # before redundant slashes are removed


def normalise(path: str | None) -> str:
    """Returns a path in normal form: a slash before each segment and none at the end.

    Args:
        path: The path. Redundant slashes are ignored; None and ``""`` mean the root.

    Raises:
        ConfigurationError: The path is not a string, or too long.
    """
    if path is None:
        return ROOT
    if not isinstance(path, str):
        raise ConfigurationError(f"a scope path must be a string, not {type(path).__name__}")
    if len(path) > _LONGEST:
        check_scope(path)  # raises
    normal = ROOT + "/".join([segment for segment in path.split("/") if segment])
    return check_scope(normal)


def contains(parent: str, scope: str) -> bool:
    """Returns whether `scope` is `parent` or below it; both in normal form."""
    return parent in (ROOT, scope) or scope.startswith(parent + "/")


def below(parent: str) -> tuple[bytes, bytes]:
    """Returns the range of names below a path in normal form: the first, and the first after it."""
    # "0" is the character after "/".
    return (b"/", b"0") if parent == ROOT else (to_bytes(parent + "/"), to_bytes(parent + "0"))


def children(parent: str, found: Iterable[str]) -> tuple[str, ...]:
    """Returns the sorted paths one segment below `parent` that lead to the scopes found."""
    start = len(parent) if parent == ROOT else len(parent) + 1
    names = {
        scope[start:].split("/", 1)[0]
        for scope in found
        if scope != parent and contains(parent, scope)
    }
    return tuple(sorted(parent.rstrip("/") + "/" + name for name in names))
