"""The SQLite engine: memory in a file on this machine; see `engine`."""

from botwire.engines.opening import Scheme, to_async, to_blocking
from botwire.engines.protocol import AsyncEngine, Engine
from botwire.engines.sqlite.awaited import AsyncSQLiteEngine
from botwire.engines.sqlite.engine import SQLiteEngine, open_sqlite
from botwire.engines.sqlite.file import APPLICATION_ID
from botwire.places import MEMORY, Place

__all__ = ["APPLICATION_ID", "MEMORY", "SCHEME", "AsyncSQLiteEngine", "SQLiteEngine", "open_sqlite"]


def _open(place: Place) -> SQLiteEngine:
    return open_sqlite(place.sqlite_path, read_only=place.read_only)


SCHEME = Scheme(_open, lambda place: AsyncSQLiteEngine(_open(place)))


@to_async.register
def _(engine: SQLiteEngine) -> AsyncEngine:
    return AsyncSQLiteEngine(engine.share())


@to_blocking.register
def _(engine: AsyncSQLiteEngine) -> Engine:
    return engine.engine.share()
