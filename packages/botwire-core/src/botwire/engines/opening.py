"""Opens the engine of a place, and finds the blocking or awaited twin of an open one."""

from __future__ import annotations

import functools
import importlib
from typing import Any

from botwire._async.http import AsyncHTTPEngine
from botwire._sync.http import HTTPEngine
from botwire.engines.async_sqlite import AsyncSQLiteEngine
from botwire.engines.gathering import GatheringEngine
from botwire.engines.protocol import AsyncEngine, Engine
from botwire.engines.sqlite import SQLiteEngine, open_sqlite
from botwire.engines.threaded import ThreadedEngine
from botwire.errors import ConfigurationError
from botwire.places import Place


def open_engine(place: Place) -> Engine:
    """Returns the engine of a place; one for each SQLite file in a process."""
    if place.scheme == "sqlite":
        return open_sqlite(place.sqlite_path, read_only=place.read_only)
    if place.scheme in ("http", "https"):
        return HTTPEngine(place.url, api_key=place.api_key, timeout=place.timeout)
    engine: Engine = _postgres("_sync").PostgresEngine(place.url, timeout=place.timeout)
    return engine


def open_async_engine(place: Place) -> AsyncEngine:
    """Returns the engine of a place, to be awaited."""
    if place.scheme == "sqlite":
        return AsyncSQLiteEngine(open_sqlite(place.sqlite_path, read_only=place.read_only))
    if place.scheme in ("http", "https"):
        return AsyncHTTPEngine(place.url, api_key=place.api_key, timeout=place.timeout)
    engine: AsyncEngine = _postgres("_async").AsyncPostgresEngine(place.url, timeout=place.timeout)
    return engine


@functools.lru_cache(maxsize=64)
def shared_engine(place: Place) -> Engine:
    """Returns the engine that all adapters of this process use for a place, and nobody closes.

    Frameworks make an object a request or a session; they must not make a connection each.
    """
    return open_engine(place)


@functools.lru_cache(maxsize=64)
def shared_async_engine(place: Place) -> AsyncEngine:
    """Returns the same to be awaited; its connections close with their event loops."""
    return open_async_engine(place)


def to_async(engine: Engine) -> AsyncEngine:
    """Returns an engine to be awaited that works on the same memory."""
    if isinstance(engine, GatheringEngine):
        return to_async(engine.engine)
    if isinstance(engine, SQLiteEngine):
        return AsyncSQLiteEngine(engine.share())
    if isinstance(engine, HTTPEngine):
        return AsyncHTTPEngine(**engine.settings())
    if type(engine).__name__ == "PostgresEngine":
        twin: AsyncEngine = _postgres("_async").AsyncPostgresEngine(**_settings(engine))
        return twin
    return ThreadedEngine(engine)  # an engine of the user's own


def to_blocking(engine: AsyncEngine) -> Engine:
    """Returns a blocking engine that works on the same memory."""
    if isinstance(engine, AsyncSQLiteEngine):
        return engine.engine.share()
    if isinstance(engine, AsyncHTTPEngine):
        return HTTPEngine(**engine.settings())
    if type(engine).__name__ == "AsyncPostgresEngine":
        twin: Engine = _postgres("_sync").PostgresEngine(**_settings(engine))
        return twin
    if isinstance(engine, ThreadedEngine):
        return engine.engine
    raise ConfigurationError(
        f"{type(engine).__name__} can only be awaited, and this needs a blocking engine: give a "
        "Memory with one, whose calls are then awaited in threads"
    )


def _settings(engine: Any) -> dict[str, Any]:
    settings: dict[str, Any] = engine.settings()
    return settings


def _postgres(package: str) -> Any:
    """Returns an engine's module; its driver is an extra, and imported only where it is used."""
    try:
        return importlib.import_module(f"botwire.{package}.postgres")
    except ImportError as error:
        raise ConfigurationError(
            f'a postgresql URL needs a driver: pip install "botwire-core[postgres]" ({error})'
        ) from error
