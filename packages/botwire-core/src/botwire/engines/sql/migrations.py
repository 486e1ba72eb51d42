"""Migrations of a store from one version of its tables to the next; `schema` has the tables.

To change the tables, add a function at the end of `VERSIONS`. Never change a released function:
existing stores went through it. A new store goes through all of them, so it cannot differ from an
upgraded one.

An engine runs the steps in one transaction, and holds a lock that keeps other processes from doing
the same: SQLite's write lock, or the row of ``botwire_schema`` on PostgreSQL.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence

from botwire.engines.sql import words
from botwire.engines.sql.schema import (
    POSTGRES,
    VERSION_1,
    VERSION_2,
    VERSION_3,
    VERSION_4,
    VERSION_4_POSTGRES,
    VERSION_5,
    VERSION_7,
    VERSION_7_POSTGRES,
    VERSION_8,
    VERSION_9,
    VERSION_10,
    VERSION_11,
    VERSION_12,
    VERSION_13,
    Dialect,
)
from botwire.engines.sql.steps import Statement, Steps
from botwire.errors import ConfigurationError
from botwire.names import from_bytes

Step = Callable[[Dialect], Steps[None]]
"""Takes a store from one version to the next."""


def _run(dialect: Dialect, statements: Iterable[str]) -> Steps[None]:
    for sql in statements:
        yield Statement(dialect.spell(sql))


def _only(statements: Iterable[str]) -> Step:
    """Returns a step that does nothing else than run statements."""
    return functools.partial(_run, statements=statements)


# The sizes as in `engines.sql.sizes` today. If those change, these must stay as they are.
_ITEM = "32 + length(value_json) + COALESCE(length(id), 0)"
_RECORD = (
    "32 + length(id) + length(text) + length(metadata) + length(tags) + length(scope) "
    "+ COALESCE(length(embedding), 0)"
)
_KEY = "32 + length(key) + COALESCE(length(value_json), 0) + COALESCE(length(value_bytes), 0)"


def _version_2(dialect: Dialect) -> Steps[None]:
    yield from _run(dialect, VERSION_2)
    yield Statement(
        f"UPDATE botwire_histories SET bytes = COALESCE((SELECT sum({_ITEM}) FROM botwire_items i "
        "WHERE i.namespace = botwire_histories.namespace "
        "AND i.history = botwire_histories.history), 0)"
    )
    yield Statement(
        f"UPDATE botwire_collections SET bytes = COALESCE((SELECT sum({_RECORD}) "
        "FROM botwire_records r WHERE r.namespace = botwire_collections.namespace "
        "AND r.collection = botwire_collections.collection), 0)"
    )
    yield Statement(
        "UPDATE botwire_namespaces SET bytes = "
        f"COALESCE((SELECT sum({_KEY}) FROM botwire_keys k "
        "WHERE k.namespace = botwire_namespaces.namespace), 0) "
        "+ COALESCE((SELECT sum(h.bytes) FROM botwire_histories h "
        "WHERE h.namespace = botwire_namespaces.namespace), 0) "
        "+ COALESCE((SELECT sum(c.bytes) FROM botwire_collections c "
        "WHERE c.namespace = botwire_namespaces.namespace), 0)"
    )


def _version_4(dialect: Dialect) -> Steps[None]:
    yield from _run(dialect, VERSION_4)
    if dialect == POSTGRES:
        yield from _run(dialect, VERSION_4_POSTGRES)


def _version_5(dialect: Dialect) -> Steps[None]:
    yield from _run(dialect, VERSION_5)
    here = "t.namespace = botwire_namespaces.namespace"
    sizes = " UNION ALL ".join(
        f"SELECT max({size}) AS size FROM {table} t WHERE {here}"
        for table, size in (
            ("botwire_keys", _KEY),
            ("botwire_items", _ITEM),
            ("botwire_records", _RECORD),
        )
    )
    yield Statement(
        "UPDATE botwire_namespaces SET largest = "
        f"COALESCE((SELECT max(size) FROM ({sizes}) sizes), 0)"
    )


def _version_6(dialect: Dialect) -> Steps[None]:
    """Reindexes texts that are not all ASCII: single characters, Hangul and emoji become words."""
    rows = yield Statement("SELECT namespace, collection FROM botwire_collections")
    for namespace, collection in rows:
        after = b""
        while page := (yield _read_texts(namespace, collection, after)):
            if not all(text.isascii() for _, text in page):
                yield from _reindex(namespace, collection)
                break
            after = page[-1][0]


def _read_texts(namespace: bytes, collection: bytes, after: bytes) -> Statement:
    return Statement(
        "SELECT id, text FROM botwire_records "
        "WHERE namespace = ? AND collection = ? AND id > ? ORDER BY id LIMIT 500",
        (namespace, collection, after),
    )


def _reindex(namespace: bytes, collection: bytes) -> Steps[None]:
    here = (namespace, collection)
    yield Statement("DELETE FROM botwire_words WHERE namespace = ? AND collection = ?", here)
    total, after = 0, b""
    while page := (yield _read_texts(namespace, collection, after)):
        parameters = []
        for id, text in page:
            counts = words.count(from_bytes(text))
            among = counts.total()
            total += among
            parameters += [(*here, word, id, times, among) for word, times in counts.items()]
        yield Statement(
            "INSERT INTO botwire_words (namespace, collection, word, id, times, among) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            sorted(parameters),
            many=True,
        )
        after = page[-1][0]
    yield Statement(
        "UPDATE botwire_collections SET words = ? WHERE namespace = ? AND collection = ?",
        (total, *here),
    )


def _version_7(dialect: Dialect) -> Steps[None]:
    if dialect == POSTGRES:
        yield from _run(dialect, VERSION_7_POSTGRES)
    yield from _run(dialect, VERSION_7)


VERSIONS: Sequence[Step] = (
    _only(VERSION_1),
    _version_2,
    _only(VERSION_3),
    _version_4,
    _version_5,
    _version_6,
    _version_7,
    _only(VERSION_8),
    _only(VERSION_9),
    _only(VERSION_10),
    _only(VERSION_11),
    _only(VERSION_12),
    _only(VERSION_13),
)
"""The steps: the first makes version 1 from nothing, the second makes version 2 from 1, etc."""


def latest() -> int:
    """Returns the version that this release reads and writes."""
    return len(VERSIONS)


def refuse_newer(version: int, where: str) -> None:
    """Raises `ConfigurationError` if a newer release wrote the store."""
    if version > latest():
        raise ConfigurationError(
            f"{where} was written by a newer BotWire (format {version}; this one reads up to "
            f"{latest()}): upgrade botwire-core"
        )


def migrate(version: int, dialect: Dialect) -> Steps[None]:
    """Takes the steps that a store of this version lacks; version 0 has no tables."""
    for step in VERSIONS[version:]:
        yield from step(dialect)
