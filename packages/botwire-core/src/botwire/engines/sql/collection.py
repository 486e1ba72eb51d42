"""The row of a collection, which every operation on its records reads first and writes last."""

from __future__ import annotations

from typing import NamedTuple

from botwire.engines.sql import past_rows, tables
from botwire.engines.sql.steps import Context, Statement, Steps
from botwire.engines.sql.tables import IN_COLLECTION, LIVE_RECORDS
from botwire.errors import InvalidRequestError
from botwire.names import to_bytes


class Collection(NamedTuple):
    """A collection's row; see `schema`."""

    name: bytes
    dimension: int | None = None
    size: int = 0
    words: int = 0
    revision: int = 0
    removed: int = 0
    bytes: int = 0
    expiring: int = 0
    version: int = 0


_SAVE = tables.COLLECTIONS.upsert()


def read_collection(context: Context, name: str) -> Steps[Collection]:
    """Returns a collection's row, all zeros if nothing was ever put into it."""
    key = to_bytes(name)
    rows = yield Statement(
        f"SELECT {tables.COLLECTIONS.columns} FROM botwire_collections WHERE {IN_COLLECTION}",
        (context.namespace, key),
    )
    return Collection(key, *rows[0]) if rows else Collection(key)


def has_records(context: Context, collection: Collection) -> Steps[bool]:
    """Returns whether a collection holds a record that has not expired."""
    if not collection.size or not collection.expiring:
        return bool(collection.size)
    rows = yield Statement(
        f"SELECT 1 FROM botwire_records WHERE {LIVE_RECORDS} LIMIT 1",
        (context.namespace, collection.name, context.now),
    )
    return bool(rows)


def read_dimension(context: Context, collection: Collection) -> Steps[int | None]:
    """Returns the dimension of a collection's embeddings; None if all records have expired."""
    if collection.dimension is None or not collection.expiring:
        return collection.dimension
    return collection.dimension if (yield from has_records(context, collection)) else None


def save_collection(context: Context, collection: Collection) -> Steps[None]:
    """Writes a collection's row."""
    here = (context.namespace, collection.name)
    yield from past_rows.keep(context, "collections", IN_COLLECTION, here)
    yield Statement(_SAVE, (context.namespace, *collection[:-1], context.until))


def check_dimension(collection: str, stored: int | None, given: int) -> None:
    """Raises `InvalidRequestError` if a collection holds embeddings of another dimension."""
    if stored is not None and stored != given:
        raise InvalidRequestError(
            f"collection {collection!r:.80} holds embeddings of dimension {stored}, and this one "
            f"has dimension {given}: use the same embedder, another collection, or clear this one"
        )
