"""The rows of the tables: how they are written, and the values they become; see `schema`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from botwire import operations as ops
from botwire.engines.sql import sizes
from botwire.engines.sql.steps import Statement
from botwire.exact import Json, decode_stored
from botwire.names import from_bytes, to_bytes
from botwire.operations.authors import from_stored
from botwire.vectors import Vector

Row = tuple[Any, ...]


class Table:
    """A table, with the statements that write its rows.

    Args:
        name: The table's name in the database.
        key: The columns of its primary key.
        columns: The other columns, in the order of the values.

    Attributes:
        columns: The other columns, as given.
        insert: The statement that inserts a row.
    """

    def __init__(self, name: str, key: str, columns: str) -> None:
        self.columns = columns
        self._key = key
        marks = ", ".join("?" for _ in f"{key}, {columns}".split(","))
        self.insert = f"INSERT INTO {name} ({key}, {columns}) VALUES ({marks})"

    def upsert(self, **changes: str) -> str:
        """Returns the statement that inserts a row, or updates the one with the same key.

        Args:
            changes: SQL for the new value of a column; the other columns take the given value.
        """
        sets = ", ".join(
            f"{column} = {changes.get(column, f'excluded.{column}')}"
            for column in self.columns.split(", ")
        )
        return f"{self.insert} ON CONFLICT ({self._key}) DO UPDATE SET {sets}"


KEYS = Table(
    "botwire_keys",
    "namespace, key",
    "value_json, value_bytes, version, created_at, updated_at, expires_at, author, replaced, since",
)
HISTORIES = Table(
    "botwire_histories",
    "namespace, history",
    "last_seq, size, archived, archived_seq, created_at, updated_at, bytes, metadata, "
    "metadata_version, expires_at, dead_seq, dead, base, forks, forked_seq, forked_version, past, "
    "version",
)
ITEMS = Table(
    "botwire_items", "namespace, history, seq", "id, value_json, created_at, version, author, since"
)
COLLECTIONS = Table(
    "botwire_collections",
    "namespace, collection",
    "dimension, size, words, revision, removed, bytes, expiring, version",
)
RECORDS = Table(
    "botwire_records",
    "namespace, collection, id",
    "text, metadata, tags, scope, embedding, author, version, created_at, updated_at, expires_at, "
    "since",
)
WORDS = Table("botwire_words", "namespace, collection, word, id", "times, among, since")
CHANGES = Table("botwire_changes", "namespace, revision", "shape, action, name, author, changed_at")
REQUESTS = Table("botwire_requests", "namespace, id", "results, created_at")

WRITTEN = "COALESCE(since, version)"
"""SQL for the revision at which a key, an item or a record got its content; see `schema`."""
LIVE = "(expires_at IS NULL OR expires_at > ?)"
"""The condition that a row has not expired at a given time."""
THIS_KEY = "namespace = ? AND key = ?"
IN_HISTORY = "namespace = ? AND history = ?"
IN_COLLECTION = "namespace = ? AND collection = ?"
LIVE_RECORDS = f"{IN_COLLECTION} AND {LIVE}"
"""What rows of one key, history or collection fulfil."""
PUT_KEY = (
    KEYS.upsert(
        replaced=sizes.STORED_KEY,
        # An expired key no longer exists, so the next write creates a new key.
        created_at="CASE WHEN botwire_keys.expires_at <= excluded.updated_at "
        "THEN excluded.created_at ELSE botwire_keys.created_at END",
    )
    + " RETURNING replaced"
)
"""Sets a key, and returns the size of what it replaced."""

_PUT_RECORDS = RECORDS.upsert()
_KEEP_EMBEDDINGS = RECORDS.upsert(
    embedding="COALESCE(excluded.embedding, botwire_records.embedding)"
)

KEY_ENTRY = "key, value_json, value_bytes, version, created_at, updated_at, expires_at, author"
"""The columns that `key_entry` reads."""
KEY_STAT = (
    "key, COALESCE(length(value_json), length(value_bytes)), value_json IS NULL, version, "
    "created_at, updated_at, expires_at, author"
)
"""The columns that `key_stat` reads."""
HISTORY_ITEM = "seq, id, value_json, created_at, version, author"
"""The columns that `history_item` reads."""
RECORD_ENTRY = f"id, {RECORDS.columns.removesuffix(', since')}"
"""The columns that `record_entry` reads."""


def key_entry(row: Row) -> ops.KeyEntry:
    """Returns the value for the columns `KEY_ENTRY`."""
    key, text, raw, *rest, author = row
    value = raw if text is None else Json.from_text(text)
    rest.append(author and from_stored(author))
    return ops.KeyEntry(from_bytes(key), value, *rest)


def key_stat(row: Row) -> ops.KeyStat:
    """Returns the value for the columns `KEY_STAT`."""
    key, size, binary, *rest, author = row
    rest.append(author and from_stored(author))
    return ops.KeyStat(from_bytes(key), size, bool(binary), *rest)


def key_row(
    namespace: bytes,
    key: bytes,
    value: ops.Value,
    author: str | None,
    *rest: int | None,
    since: int | None = None,
) -> Row:
    """Returns the row of `KEYS` for a value; `rest` is its version and its times.

    Args:
        namespace: The namespace.
        key: The key.
        value: Its value.
        author: Who wrote it, in stored form.
        rest: Its version, and when it was created, was updated and expires.
        since: The revision that writes it, unless that is its version.
    """
    text, raw = (value.text, None) if isinstance(value, Json) else (None, value)
    return (namespace, key, text, raw, *rest, author, 0, since)


def history_item(row: Row) -> ops.HistoryItem:
    """Returns the value for the columns `HISTORY_ITEM`."""
    seq, id, text, created_at, version, author = row
    return ops.HistoryItem(
        seq,
        None if id is None else from_bytes(id),
        Json.from_text(text),
        created_at,
        version,
        author and from_stored(author),
    )


def insert_items(
    namespace: bytes,
    history: bytes,
    items: Iterable[tuple[int, bytes | None, Json, int, int, str | None]],
    since: int | None = None,
) -> Statement:
    """Returns the statement that writes items: number, id, value, time, version, author.

    Args:
        namespace: The namespace.
        history: The history.
        items: The items.
        since: The revision that writes them, unless that is their version.
    """
    rows = [
        (namespace, history, seq, id, value.text, *rest, since) for seq, id, value, *rest in items
    ]
    return Statement(ITEMS.insert, rows, many=True)


def record_columns(*, embeddings: bool) -> str:
    """Returns the columns `RECORD_ENTRY`, with NULL for the embedding unless `embeddings`."""
    return RECORD_ENTRY if embeddings else RECORD_ENTRY.replace("embedding", "NULL")


def record_entry(row: Row) -> ops.RecordEntry:
    """Returns the value for the columns `RECORD_ENTRY`."""
    id, text, metadata, tags, path, embedding, author, *rest = row
    rest.append(author and from_stored(author))
    return ops.RecordEntry(
        from_bytes(id),
        from_bytes(text),
        Json.from_text(metadata),
        tuple(decode_stored(tags)),
        from_bytes(path),
        None if embedding is None else Vector.stored(embedding),
        *rest,
    )


def record_content(record: ops.NewRecord | ops.RecordEntry, author: str | None) -> Row:
    """Returns the columns of a record's row that hold its content, which precede its version."""
    return (
        to_bytes(record.id),
        to_bytes(record.text),
        record.metadata.text,
        json.dumps(list(dict.fromkeys(record.tags))),
        to_bytes(record.scope),
        None if record.embedding is None else record.embedding.raw,
        author,
    )


def upsert_records(
    here: Sequence[bytes], rows: Iterable[Row], *, keep: bool, since: int | None = None
) -> Statement:
    """Returns the statement that writes records and overwrites those with the same ids.

    Args:
        here: The namespace and the collection.
        rows: The content of each record, followed by its version and its times.
        keep: Whether a record without an embedding keeps the stored one.
        since: The revision that writes them, unless that is their version.
    """
    sql = _KEEP_EMBEDDINGS if keep else _PUT_RECORDS
    return Statement(sql, [(*here, *row, since) for row in rows], many=True)
