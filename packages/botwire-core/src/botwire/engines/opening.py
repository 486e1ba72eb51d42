"""Opens engines by the scheme of a URL, and finds the other half of an open engine.

An engine of your own has three methods (`Engine`). Register a scheme for it, and it works wherever
a URL is accepted, including the asynchronous half of every adapter::

    register_scheme("redis", Scheme(open=lambda place: RedisEngine(place.url)))

A package declares its scheme as an entry point in the group ``botwire.engines``, named like the
scheme. The command line and the server then accept it too.
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
from botwire.names import shown
from botwire.places import ENGINES, Place, known_schemes


@dataclass(frozen=True, slots=True)
class Scheme:
    """How to open the engines for the URLs of a scheme.

    Attributes:
        open: Returns a blocking engine.
        open_async: Returns an asynchronous engine; None runs the blocking one in threads.
    """

    open: Callable[[Place], Engine]
    open_async: Callable[[Place], AsyncEngine] | None = None


# Imported on first use: only clients of a server need httpx, and psycopg is an extra.
_BUILT_IN = {
    "sqlite": "botwire.engines.sqlite",
    "http": "botwire.engines.http",
    "https": "botwire.engines.http",
    "postgresql": "botwire.engines.postgres",
    "postgres": "botwire.engines.postgres",
}
_registered: dict[str, Scheme] = {}


def register_scheme(name: str, scheme: Scheme) -> None:
    """Makes this process open URLs that begin with ``name://`` with `scheme`.

    Raises:
        ConfigurationError: The scheme is built in.
    """
    name = name.lower()  # as schemes of URLs are read
    if name in _BUILT_IN:
        raise ConfigurationError(f"the scheme {name} is built into BotWire: choose another name")
    _registered[name] = scheme
    known_schemes.add(name)


def find_scheme(name: str) -> Scheme | None:
    """Returns the `Scheme` of a URL scheme; None if it is unknown.

    Raises:
        ConfigurationError: A package that the scheme needs is not installed.
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
    """Opens the engine of a place. A process has one engine per SQLite file."""
    return _scheme_of(place).open(place)


def open_async_engine(place: Place) -> AsyncEngine:
    """Opens the asynchronous engine of a place."""
    scheme = _scheme_of(place)
    if scheme.open_async is None:
        return ThreadedEngine(scheme.open(place))
    return scheme.open_async(place)


def check_engine(engine: Engine) -> Engine:
    """Returns an engine that a caller gave; raises `ConfigurationError` if it is none."""
    _check(engine, "an Engine", other="aclose", own="close")
    return engine


def check_async_engine(engine: AsyncEngine) -> AsyncEngine:
    """Returns an engine that a caller gave; raises `ConfigurationError` if it is none."""
    _check(engine, "an AsyncEngine", other="close", own="aclose")
    return engine


def _check(engine: object, kind: str, *, other: str, own: str) -> None:
    is_other = hasattr(engine, other) and not hasattr(engine, own)
    if is_other or isinstance(engine, type) or not hasattr(engine, "apply"):
        raise ConfigurationError(
            f"engine must be {kind} (with the methods apply, sweep and {own}), not {shown(engine)}"
        )


@functools.lru_cache(maxsize=64)
def shared_engine(place: Place) -> Engine:
    """Returns the engine that all adapters of this process share for a place. It is never closed.

    Frameworks create an object per session or request, and these must not open connections each.
    """
    return open_engine(place)


@functools.lru_cache(maxsize=64)
def shared_async_engine(place: Place) -> AsyncEngine:
    """Returns the shared asynchronous engine. Its connections close with their event loops."""
    return open_async_engine(place)


@functools.singledispatch
def to_async(engine: Engine) -> AsyncEngine:
    """Returns an asynchronous engine for the same memory.

    Each built-in engine registers its own; any other engine runs in threads.
    """
    return ThreadedEngine(engine)


@to_async.register
def _(engine: GatheringEngine) -> AsyncEngine:
    return to_async(engine.engine)


@functools.singledispatch
def to_blocking(engine: AsyncEngine) -> Engine:
    """Returns a blocking engine for the same memory.

    Raises:
        ConfigurationError: The engine is asynchronous only.
    """
    raise ConfigurationError(
        f"{type(engine).__name__} is asynchronous only, and this needs a blocking engine: pass a "
        "Memory with a blocking engine, which also runs in threads for asynchronous calls"
    )


@to_blocking.register
def _(engine: ThreadedEngine) -> Engine:
    return engine.engine
