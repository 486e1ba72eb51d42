"""Which function says what an operation means in SQL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from botwire import operations as ops
from botwire.engines.sql.steps import Context, Steps
from botwire.errors import ConfigurationError

R = TypeVar("R")
Handler = Callable[[Context, Any], Steps[R]]
"""Is given what its batch shares and an operation; yields statements and returns the result."""

_HANDLERS: dict[type[Any], Handler[Any]] = {}


def handles(cls: type[ops.Operation[R]]) -> Callable[[Handler[R]], Handler[R]]:
    """Registers the decorated generator as what an operation means."""

    def register(handler: Handler[R]) -> Handler[R]:
        _HANDLERS[cls] = handler
        return handler

    return register


def handler_of(operation: ops.Operation[R]) -> Handler[R]:
    """Returns what an operation means.

    Raises:
        ConfigurationError: No function was registered for its class.
    """
    handler = _HANDLERS.get(type(operation))
    if handler is None:
        raise ConfigurationError(_missing(type(operation).__name__))
    return handler


def check_complete() -> None:
    """Raises `ConfigurationError` if an operation of BotWire's own has no function."""
    for cls in ops.BY_CLASS:
        # An operation of a user's own may be for an engine of their own.
        is_ours = cls.__module__.startswith("botwire.")
        if is_ours and cls not in _HANDLERS and not cls.maintains:
            raise ConfigurationError(_missing(cls.__name__))


def _missing(name: str) -> str:
    return (
        f"{name} means nothing in SQL yet: decorate a generator with handles({name}) in a module "
        "of botwire.engines.sql"
    )
