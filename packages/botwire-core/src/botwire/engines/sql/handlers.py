"""The registry of handlers: which generator implements an operation in SQL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from botwire import operations as ops
from botwire.engines.sql.steps import Context, Steps
from botwire.errors import ConfigurationError

R = TypeVar("R")
Handler = Callable[[Context, Any], Steps[R]]
"""Takes the batch's context and an operation; yields statements and returns the result."""

_HANDLERS: dict[type[Any], Handler[Any]] = {}


def handles(cls: type[ops.Operation[R]]) -> Callable[[Handler[R]], Handler[R]]:
    """Registers the decorated generator as the handler of an operation."""

    def register(handler: Handler[R]) -> Handler[R]:
        _HANDLERS[cls] = handler
        return handler

    return register


def handler_of(operation: ops.Operation[R]) -> Handler[R]:
    """Returns the handler of an operation.

    Raises:
        ConfigurationError: No handler is registered for its class.
    """
    handler = _HANDLERS.get(type(operation))
    if handler is None:
        raise ConfigurationError(_missing(type(operation).__name__))
    return handler


def apply(context: Context, operation: ops.Operation[R]) -> Steps[R]:
    """Applies an operation as a part of another one, and returns its result."""
    return (yield from handler_of(operation)(context, operation))


def check_complete() -> None:
    """Raises `ConfigurationError` if one of BotWire's own operations has no handler."""
    for cls in ops.BY_CLASS:
        # A user's own operation may be meant for the user's own engine.
        is_ours = cls.__module__.startswith("botwire.")
        if is_ours and cls not in _HANDLERS and not cls.maintains:
            raise ConfigurationError(_missing(cls.__name__))


def _missing(name: str) -> str:
    return (
        f"{name} has no handler in SQL: decorate a generator with handles({name}) in a module "
        "of botwire.engines.sql"
    )
