"""Opens the engine of a place, and finds the blocking or awaited twin of an open one."""

from __future__ import annotations

import importlib
from typing import Any

from botwire._async.http import AsyncHTTPEngine
from botwire._sync.http import HTTPEngine
from botwire.engines.async_sqlite import AsyncSQLiteEngine
from botwire.engines.protocol import AsyncEngine, Engine
from botwire.engines.sqlite import SQLiteEngine, open_sqlite
from botwire.errors import ConfigurationError
from botwire.places import Place


def open_engine(place: Place) -> Engine:
    """Returns the engine of a place; one for each SQLite file in a process."""
    if place.scheme == "sqlite":
        return open_sqlite(place.sqlite_path)
    if place.scheme in ("http", "https"):
        return HTTPEngine(place.url, api_key=place.api_key, timeout=place.timeout)
    return _postgres("_sync", "PostgresEngine")(place.url, timeout=place.timeout)


def open_async_engine(place: Place) -> AsyncEngine:
    """Returns the engine of a place, to be awaited."""
    if place.scheme == "sqlite":
        return AsyncSQLiteEngine(open_sqlite(place.sqlite_path))
    if place.scheme in ("http", "https"):
        return AsyncHTTPEngine(place.url, api_key=place.api_key, timeout=place.timeout)
    return _postgres("_async", "AsyncPostgresEngine")(place.url, timeout=place.timeout)


def to_async(engine: Engine) -> AsyncEngine:
    """Returns an engine to be awaited that works on the same memory."""
    if isinstance(engine, SQLiteEngine):
        return AsyncSQLiteEngine(engine.share())
    if isinstance(engine, HTTPEngine):
        return AsyncHTTPEngine(**engine.settings())
    if type(engine).__name__ == "PostgresEngine":
        return _postgres("_async", "AsyncPostgresEngine")(**engine.settings())
    raise ConfigurationError(f"{type(engine).__name__} has no asynchronous twin")


def to_blocking(engine: AsyncEngine) -> Engine:
    """Returns a blocking engine that works on the same memory."""
    if isinstance(engine, AsyncSQLiteEngine):
        return engine.engine.share()
    if isinstance(engine, AsyncHTTPEngine):
        return HTTPEngine(**engine.settings())
    if type(engine).__name__ == "AsyncPostgresEngine":
        return _postgres("_sync", "PostgresEngine")(**engine.settings())
    raise ConfigurationError(f"{type(engine).__name__} has no blocking twin")


def _postgres(package: str, name: str) -> Any:
    """Returns an engine's class; its driver is an extra, and imported only where it is used."""
    try:
        module = importlib.import_module(f"botwire.{package}.postgres")
    except ImportError as error:
        raise ConfigurationError(
            f'a postgresql URL needs a driver: pip install "botwire-core[postgres]" ({error})'
        ) from error
    return getattr(module, name)
