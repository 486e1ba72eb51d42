"""The arguments with which adapters are told where memory lives."""

from __future__ import annotations

import difflib
import functools
import inspect
import os
from collections.abc import Callable, Collection, Iterable
from typing import Any, TypedDict, TypeVar

from botwire.client import AsyncMemory, Memory
from botwire.connection.connection import Connection
from botwire.errors import ConfigurationError
from botwire.operations import Author
from botwire.places import NAMESPACE_VARIABLE

_Function = TypeVar("_Function", bound=Callable[..., Any])


def check_namespace_of(namespace: str | None, namespace_of: object) -> None:
    """Checks the arguments of a class that may take the namespace from each run instead.

    Args:
        namespace: The namespace; not together with `namespace_of`.
        namespace_of: What must be a function, or None.

    Raises:
        ConfigurationError: Both are given, or `namespace_of` is not a function.
    """
    if namespace is not None and namespace_of is not None:
        raise ConfigurationError("give namespace or namespace_of, not both")
    if namespace_of is not None and not callable(namespace_of):
        raise ConfigurationError(
            f"namespace_of must be a function that returns the namespace of a run, not "
            f"{namespace_of!r:.80}: for one namespace use namespace="
        )


def check_named(cls: type, given: Iterable[object], other: str, what: str) -> None:
    """Checks that something tells an object's data from that of all others of its class.

    Args:
        cls: The class, which takes the namespace as its first argument.
        given: The arguments that may tell them apart, None if not given.
        other: The argument that does so apart from the namespace.
        what: What objects without a name would share.

    Raises:
        ConfigurationError: Nothing is given, and the environment has no namespace.
    """
    if NAMESPACE_VARIABLE not in os.environ and all(one is None for one in given):
        raise ConfigurationError(
            f"{cls.__name__} needs a name, because all of them without one would share {what}: "
            f"pass a namespace, for example {cls.__name__}('user-42'), or {other}="
        )


class ConnectionOptions(TypedDict, total=False):
    """The arguments with which adapter classes are told where memory lives.

    A class that takes them derives from `Connected`; a function is decorated with
    `takes_connection`.

    Attributes:
        client: A `Memory` or `AsyncMemory` to use instead of the other three.
        url: Where memory lives, as for `Memory`.
        api_key: The server's API key, as for `Memory`.
        timeout: Seconds that a call to a server may take, retries included.
        author: Who writes, as for `Memory`. Default: the client's; the adapter adds its framework.
    """

    client: Memory | AsyncMemory | None
    url: str | None
    api_key: str | None
    timeout: float
    author: Author | str | None


def takes_connection(function: _Function) -> _Function:
    """Shows `ConnectionOptions` one by one in the signature that `help` and notebooks print.

    An argument that does not exist is refused in the name of what the user called.

    Args:
        function: A function that takes ``**connection``.
    """
    shown = show_parameters(function, Connection, ConnectionOptions.__annotations__)
    known = inspect.signature(shown).parameters.keys()

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def awaited(*args: Any, **options: Any) -> Any:
            _refuse_unknown(options.keys() - known, awaited)
            return await function(*args, **options)

        return awaited  # type: ignore[return-value]

    @functools.wraps(function)
    def blocking(*args: Any, **options: Any) -> Any:
        is_constructor = function.__name__ == "__init__"
        _refuse_unknown(options.keys() - known, type(args[0]) if is_constructor else blocking)
        return function(*args, **options)

    return blocking  # type: ignore[return-value]


def show_parameters(
    function: _Function, source: Callable[..., Any], names: Collection[str]
) -> _Function:
    """Replaces the ``**options`` in the signature of `function` with parameters of `source`."""
    written = inspect.signature(function)
    shown = [p for p in written.parameters.values() if p.kind is not p.VAR_KEYWORD]
    if len(shown) == len(written.parameters):
        return function
    known = inspect.signature(source).parameters
    shown += [known[name] for name in names if name not in written.parameters]
    function.__signature__ = written.replace(parameters=shown)  # type: ignore[attr-defined]
    return function


def _refuse_unknown(names: Collection[str], called: Callable[..., Any]) -> None:
    if not names:
        return
    name, known = min(names), inspect.signature(called).parameters
    near = difflib.get_close_matches(name, known, 1)
    hint = f": did you mean {near[0]!r}?" if near else f"; it takes {', '.join(known)}"
    raise TypeError(f"{called.__name__}() got an unexpected keyword argument {name!r}{hint}")
