"""Scope paths: where in a tree a record belongs, for example ``/crew/alice``.

A path is made of segments, and only whole ones count: ``/crew/al`` is not above ``/crew/alice``.
A segment may hold anything but a slash; ``..`` and ``%`` mean nothing special.
"""

from __future__ import annotations

from collections.abc import Iterable

from botwire.errors import ConfigurationError
from botwire.names import MAX_NAME_BYTES, check_scope, to_bytes

ROOT = "/"
"""The scope above all others."""

_LONGEST = 16 * MAX_NAME_BYTES  # with slashes that do not count


def normalise(path: str | None) -> str:
    """Returns a path in its one form: a slash before each segment and none at the end.

    Args:
        path: Slashes at either end and repeated ones do not count; None and ``""`` are the root.

    Raises:
        ConfigurationError: It is not a string, or too long.
    """
    if path is None:
        return ROOT
    if not isinstance(path, str):
        raise ConfigurationError(f"a scope path is a string, not {type(path).__name__}")
    if len(path) > _LONGEST:
        check_scope(path)  # which says that it is too long
    normal = ROOT + "/".join([segment for segment in path.split("/") if segment])
    return check_scope(normal)


def contains(parent: str, scope: str) -> bool:
    """Says whether `scope` is `parent` or below it; both are normal."""
    return parent in (ROOT, scope) or scope.startswith(parent + "/")


def below(parent: str) -> tuple[bytes, bytes]:
    """Returns the first name below a normal path, and the first after all of them."""
    # "0" is the character after "/".
    return (b"/", b"0") if parent == ROOT else (to_bytes(parent + "/"), to_bytes(parent + "0"))


def children(parent: str, found: Iterable[str]) -> tuple[str, ...]:
    """Returns the paths one segment below `parent` on the way to those found, in order."""
    start = len(parent) if parent == ROOT else len(parent) + 1
    names = {
        scope[start:].split("/", 1)[0]
        for scope in found
        if scope != parent and contains(parent, scope)
    }
    return tuple(sorted(parent.rstrip("/") + "/" + name for name in names))
