"""The PostgreSQL engine: memory in a database shared by many machines. Needs psycopg."""

import sys

from botwire.engines.opening import Scheme, to_async, to_blocking
from botwire.engines.postgres._async.engine import AsyncPostgresEngine
from botwire.engines.postgres._sync.engine import PostgresEngine
from botwire.engines.protocol import AsyncEngine, Engine
from botwire.engines.threaded import ThreadedEngine

__all__ = ["SCHEME", "AsyncPostgresEngine", "PostgresEngine"]


def _open_async(url: str, *, timeout: float) -> AsyncEngine:
    if sys.platform == "win32":  # psycopg does not work on the event loop that is the default there
        return ThreadedEngine(PostgresEngine(url, timeout=timeout))
    return AsyncPostgresEngine(url, timeout=timeout)


SCHEME = Scheme(
    lambda place: PostgresEngine(place.url, timeout=place.timeout),
    lambda place: _open_async(place.url, timeout=place.timeout),
)


@to_async.register
def _(engine: PostgresEngine) -> AsyncEngine:
    return _open_async(**engine.settings())


@to_blocking.register
def _(engine: AsyncPostgresEngine) -> Engine:
    return PostgresEngine(**engine.settings())
