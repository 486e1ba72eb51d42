"""Checks arguments before they are used, so that a wrong one is named by the error it causes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from botwire.errors import ConfigurationError
from botwire.names import shown

T = TypeVar("T")


def check_type(
    value: object, kind: type[T] | tuple[type[T], ...], what: str, wanted: str = ""
) -> T:
    """Returns `value` if it is of a class; raises `ConfigurationError` otherwise.

    Args:
        value: An argument.
        kind: The class, or several.
        what: What the argument is, for example ``team`` or ``messages[2]``.
        wanted: What it must be, with an article. Default: the names of the classes.
    """
    if not isinstance(value, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        wanted = wanted or " or ".join(_with_article(one.__name__) for one in kinds)
        raise ConfigurationError(
            f"{what} must be {wanted}, not {type(value).__name__}: {shown(value)}"
        )
    return value


def check_mapping(value: object, what: str) -> Mapping[str, Any]:
    """Returns `value` if it is a mapping; raises `ConfigurationError` otherwise."""
    return check_type(value, Mapping, what, "a dict")


def check_seconds(value: object, what: str) -> float:
    """Returns `value` if it is a number of seconds above 0; else raises `ConfigurationError`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise ConfigurationError(f"{what} must be a number of seconds above 0, not {shown(value)}")
    return value


def _with_article(name: str) -> str:
    name = "string" if name == "str" else name
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"
