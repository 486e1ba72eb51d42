"""Opens the engine of a place by the scheme of its URL, and finds the other half of an open one.

A scheme of your own makes an engine of three methods (`Engine`) work wherever a URL is taken, the
asynchronous half of every adapter included::

    register_scheme("redis", Scheme(open=lambda place: RedisEngine(place.url)))

A package that offers one declares it as an entry point of the group ``botwire.engines`` under the
scheme's name; then the CLI and the server know it too.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points

from botwire.engines.gathering import GatheringEngine
from botwire.engines.protocol import AsyncEngine, Engine
from botwire.engines.threaded import ThreadedEngine
from botwire.errors import ConfigurationError
from botwire.places import ENGINES, Place, known_schemes


@dataclass(frozen=True, slots=True)
class Scheme:
    """How the engines behind the URLs of a scheme are opened.

    Attributes:
        open: Returns a blocking engine.
        open_async: Returns an engine to be awaited; None: the blocking one in threads.
    """

    open: Callable[[Place], Engine]
    open_async: Callable[[Place], AsyncEngine] | None = None


# Imported when first used: only a server's clients need httpx, and psycopg is an extra.
_BUILT_IN = {
    "sqlite": "botwire.engines.sqlite",
    "http": "botwire.engines.http",
    "https": "botwire.engines.http",
    "postgresql": "botwire.engines.postgres",
    "postgres": "botwire.engines.postgres",
}
_registered: dict[str, Scheme] = {}


def register_scheme(name: str, scheme: Scheme) -> None:
    """Makes URLs that begin with ``name://`` open with `scheme`, in this process.

    Raises:
        ConfigurationError: The scheme is one of BotWire's own.
    """
    if name in _BUILT_IN:
        raise ConfigurationError(f"the scheme {name} is BotWire's own: choose another")
    _registered[name.lower()] = scheme
    known_schemes.add(name.lower())


def find_scheme(name: str) -> Scheme | None:
    """Returns how URLs of a scheme are opened; None if nobody said how.

    Raises:
        ConfigurationError: What the scheme needs is not installed.
    """
    if name in _BUILT_IN:
        try:
            scheme: Scheme = importlib.import_module(_BUILT_IN[name]).SCHEME
        except ImportError as error:
            raise ConfigurationError(
                f'a {name} URL needs a driver: pip install "botwire-core[postgres]" ({error})'
            ) from error
        return scheme
    if name not in _registered:
        for entry_point in entry_points(group=ENGINES, name=name):
            _registered[name] = entry_point.load()
    return _registered.get(name)


def _scheme_of(place: Place) -> Scheme:
    scheme = find_scheme(place.scheme)
    if scheme is None:
        raise ConfigurationError(f"no engine is registered for the scheme {place.scheme!r}")
    return scheme


def open_engine(place: Place) -> Engine:
    """Returns the engine of a place; one for each SQLite file in a process."""
    return _scheme_of(place).open(place)


def open_async_engine(place: Place) -> AsyncEngine:
    """Returns the engine of a place, to be awaited."""
    scheme = _scheme_of(place)
    if scheme.open_async is None:
        return ThreadedEngine(scheme.open(place))
    return scheme.open_async(place)


@functools.lru_cache(maxsize=64)
def shared_engine(place: Place) -> Engine:
    """Returns the engine that all adapters of this process use for a place; nobody closes it.

    Frameworks make an object per session or request; those must not each open a connection.
    """
    return open_engine(place)


@functools.lru_cache(maxsize=64)
def shared_async_engine(place: Place) -> AsyncEngine:
    """Returns the same to be awaited; its connections close with their event loops."""
    return open_async_engine(place)


@functools.singledispatch
def to_async(engine: Engine) -> AsyncEngine:
    """Returns an engine to be awaited that works on the same memory.

    Each engine of BotWire's registers its own; any other is called in threads.
    """
    return ThreadedEngine(engine)


@to_async.register
def _(engine: GatheringEngine) -> AsyncEngine:
    return to_async(engine.engine)


@functools.singledispatch
def to_blocking(engine: AsyncEngine) -> Engine:
    """Returns a blocking engine that works on the same memory.

    Raises:
        ConfigurationError: The engine can only be awaited.
    """
    raise ConfigurationError(
        f"{type(engine).__name__} can only be awaited, and this needs a blocking engine: give a "
        "Memory with one, whose calls are then awaited in threads"
    )


@to_blocking.register
def _(engine: ThreadedEngine) -> Engine:
    return engine.engine
