"""The PostgreSQL engine: memory in a database shared by many machines. Needs psycopg."""

from botwire.engines.opening import Scheme, to_async, to_blocking
from botwire.engines.postgres._async.engine import AsyncPostgresEngine
from botwire.engines.postgres._sync.engine import PostgresEngine
from botwire.engines.protocol import AsyncEngine, Engine

__all__ = ["SCHEME", "AsyncPostgresEngine", "PostgresEngine"]

SCHEME = Scheme(
    lambda place: PostgresEngine(place.url, timeout=place.timeout),
    lambda place: AsyncPostgresEngine(place.url, timeout=place.timeout),
)


@to_async.register
def _(engine: PostgresEngine) -> AsyncEngine:
    return AsyncPostgresEngine(**engine.settings())


@to_blocking.register
def _(engine: AsyncPostgresEngine) -> Engine:
    return PostgresEngine(**engine.settings())
