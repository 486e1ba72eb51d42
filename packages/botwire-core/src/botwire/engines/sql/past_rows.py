"""Keeping the past: copies of rows, and reads of the tables as of an earlier revision.

Each row records the revision that gave it its content. In a namespace that keeps its past, a write
first copies each row that it is about to change or delete to a table of past rows, with the
revision ``until`` which the row was valid (`keep`). The state as of a revision then consists of the
rows written by then and not changed by then. `as_of` rewrites every statement to read those
instead.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from botwire import operations as ops
from botwire.clock import to_iso
from botwire.engines.sql import sizes, tables
from botwire.engines.sql.schema import PAST_KEYS
from botwire.engines.sql.steps import WAIT, Context, Statement, Steps, T, sum_of
from botwire.engines.sql.tables import IN_HISTORY
from botwire.errors import InvalidRequestError, NotFoundError
from botwire.names import from_bytes


class PastTable(NamedTuple):
    """How the past of a table is kept.

    Attributes:
        columns: The columns that are kept, besides the namespace.
        written: SQL for the revision that gave a row its content.
        others: Columns that reads use but that are not kept, as SQL for their values. Each has the
            type of the column; otherwise databases do not merge the two tables in order.
        size: SQL for the bytes that a past row counts; see `sizes`.
    """

    columns: str
    written: str = tables.WRITTEN
    others: str = ""
    size: str = ""


# An imported document may have the version of another one that the history had before.
_METADATA = """CAST(COALESCE(
    (SELECT m.metadata FROM botwire_past_metadata m WHERE m.namespace = p.namespace
    AND m.history = p.history AND m.metadata_version = p.metadata_version AND m.until >= p.until
    ORDER BY m.until LIMIT 1),
    (SELECT h.metadata FROM botwire_histories h WHERE h.namespace = p.namespace
    AND h.history = p.history AND h.metadata_version = p.metadata_version)) AS TEXT) AS metadata"""


def _zeros(columns: str) -> str:
    return ", ".join(f"CAST(0 AS BIGINT) AS {column}" for column in columns.split())


KEPT = {
    "keys": PastTable(
        "key, value_json, value_bytes, version, created_at, updated_at, expires_at, author, since",
        size=sizes.KEY,
    ),
    # Counts of bytes and shared items are never read as of a revision. A metadata document is kept
    # once instead of with each row.
    "histories": PastTable(
        "history, last_seq, size, archived, archived_seq, created_at, updated_at, "
        "metadata_version, expires_at, dead_seq, base, version",
        "version",
        others=f"{_METADATA}, {_zeros('bytes dead forks forked_seq forked_version past')}",
    ),
    "items": PastTable(
        "history, seq, id, value_json, created_at, version, author, since", size=sizes.ITEM
    ),
    "collections": PastTable(
        "collection, dimension, size, words, revision, expiring, version",
        "version",
        others=_zeros("removed bytes"),
    ),
    "records": PastTable(
        "collection, id, text, metadata, tags, scope, embedding, version, created_at, updated_at, "
        "expires_at, author, since",
        size=sizes.RECORD,
    ),
    "words": PastTable("collection, word, id, times, among, since", "COALESCE(since, 0)"),
}
"""The tables whose past is kept."""
TABLES = (*KEPT, "metadata")
"""The tables ``botwire_past_…``."""
THINGS = {"key": "keys", "history": "histories", "record": "collections"}
"""For each shape, the table with one row for each named thing."""


def named_by(table: str) -> str:
    """Returns the column with the name of a key, a history or a collection."""
    return PAST_KEYS[table].partition(",")[0]


def tables_of(shape: str | None) -> list[str]:
    """Returns the tables that hold the past of a shape; None: of all shapes."""
    return [
        table for table in TABLES if shape is None or named_by(table) == named_by(THINGS[shape])
    ]


def size_of(table: str) -> str:
    """Returns SQL for the bytes that a past row counts."""
    return "length(metadata)" if table == "metadata" else KEPT[table].size or "0"


# --- writing --------------------------------------------------------------------------------


@functools.cache
def _keep(table: str, condition: str) -> str:
    kept = KEPT[table]
    columns = f"namespace, {kept.columns}"
    counted = f" RETURNING {kept.size}" if kept.size else ""
    return (
        f"INSERT INTO botwire_past_{table} ({columns}, until) "
        f"SELECT {columns}, CAST(? AS BIGINT) FROM botwire_{table} WHERE {condition} "
        # Nobody has ever seen a row that the same change wrote.
        f"AND {kept.written} < ?{counted}"
    )


def keep(context: Context, table: str, condition: str, parameters: Sequence[Any]) -> Steps[None]:
    """Keeps rows that are about to be changed or deleted, if the namespace keeps its past.

    Args:
        context: The batch's context.
        table: The table, one of `KEPT`.
        condition: The condition that selects the rows.
        parameters: The parameters of the condition.
    """
    if context.keeps_past:
        rows = yield Statement(_keep(table, condition), (context.until, *parameters, context.until))
        context.grown += sum_of(rows)


def keep_each(
    context: Context, table: str, condition: str, parameters: Sequence[tuple[Any, ...]]
) -> Steps[None]:
    """Keeps rows that are about to be changed or deleted, once for each of the parameters.

    The rows must count no bytes, like those of an index.
    """
    if context.keeps_past and parameters:
        yield Statement(
            _keep(table, condition),
            [(context.until, *one, context.until) for one in parameters],
            many=True,
        )


_KEEP_METADATA = (
    "INSERT INTO botwire_past_metadata (namespace, history, metadata, metadata_version, until) "
    "SELECT namespace, history, metadata, metadata_version, CAST(? AS BIGINT) "
    f"FROM botwire_histories WHERE {IN_HISTORY} AND metadata IS NOT NULL "
    "AND (metadata_version <> ? OR metadata <> ?) RETURNING length(metadata)"
)


def keep_history(
    context: Context, history: bytes, metadata: str | None, metadata_version: int
) -> Steps[None]:
    """Keeps the row of a history that is about to be changed.

    Args:
        context: The batch's context.
        history: The history.
        metadata: Its metadata afterwards; None if there will be none.
        metadata_version: The version of that metadata; 0 if there will be none.
    """
    if context.keeps_past:
        here = (context.namespace, history)
        yield from keep(context, "histories", IN_HISTORY, here)
        after = (metadata_version, metadata or "")
        rows = yield Statement(_KEEP_METADATA, (context.until, *here, *after))
        context.grown += sum_of(rows)


# --- reading --------------------------------------------------------------------------------


ERASE = "erase"
"""The action of a change that marks where the past of something begins."""


class Past(NamedTuple):
    """The columns of a namespace's row that describe its past; see `schema`."""

    revision: int = 0
    keep_past: int = 0
    since: int = 0
    began: int = 0

    @property
    def is_kept(self) -> bool:
        """Whether the namespace keeps its past."""
        return self.keep_past > 0


def read_past(context: Context) -> Steps[Past]:
    """Returns what the namespace keeps of its past."""
    rows = yield Statement(
        "SELECT revision, keep_past, past_since, past_began FROM botwire_namespaces "
        "WHERE namespace = ?",
        (context.namespace,),
    )
    past = Past(*rows[0]) if rows else Past()
    # Including the changes of this batch so far.
    return past._replace(revision=max(past.revision, context.revision))


def find(context: Context, moment: ops.Moment) -> Steps[tuple[int, int]]:
    """Returns the revision that a namespace had at a moment, and the time of the moment.

    Raises:
        InvalidRequestError: The namespace keeps no past, or has not reached the revision.
        NotFoundError: The moment is earlier than the kept past.
    """
    past = yield from read_past(context)
    if not past.is_kept:
        raise InvalidRequestError(
            "this namespace keeps no past: `botwire past --keep 30d`, or the method "
            "keep_past(timedelta(days=30)), keeps it from then on"
        )
    if moment.revision is not None:
        if moment.revision > past.revision:
            raise InvalidRequestError(
                f"revision {moment.revision} is in the future: the namespace is at {past.revision}"
            )
        if moment.revision < past.since:
            raise _too_old(f"revision {moment.revision}", past)
        rows = yield Statement(
            "SELECT changed_at FROM botwire_changes WHERE namespace = ? AND revision <= ? "
            "AND revision > ? ORDER BY revision DESC LIMIT 1",
            (context.namespace, moment.revision, past.since),
        )
        time = rows[0][0] if rows else past.began
        return moment.revision, max(past.began, time or past.began)
    assert moment.time is not None
    if moment.time < past.began:
        raise _too_old("that time", past)
    revision = yield from revision_at(context, past, moment.time)
    return revision, min(moment.time, context.now)


def revision_at(context: Context, past: Past, time: int) -> Steps[int]:
    """Returns the revision that a namespace had at a time within its kept past."""
    rows = yield Statement(
        "SELECT max(revision) FROM botwire_changes WHERE namespace = ? AND changed_at <= ?",
        (context.namespace, time),
    )
    return max(past.since, rows[0][0] or 0)


def refuse_erased(
    context: Context, revision: int, shape: str | None = None, name: bytes | None = None
) -> Steps[None]:
    """Refuses to restore what was erased since a revision: it would look as if it never existed.

    Args:
        context: The batch's context.
        revision: The revision to go back to.
        shape: Refuse only if the past of this shape was erased; None: of any shape.
        name: Refuse only if it was the past of this name; None: of any name.

    Raises:
        NotFoundError: The past begins after that revision; the message says of what and where.
    """
    if revision not in context.erasures:
        context.erasures[revision] = yield Statement(
            "SELECT revision, shape, name FROM botwire_changes WHERE namespace = ? "
            "AND revision > ? AND action = ? ORDER BY revision",
            (context.namespace, revision, ERASE),
        )
    for erased, its_shape, its_name in context.erasures[revision]:
        if shape in (None, its_shape) and (name is None or its_name in (b"", name)):
            of = f"{its_shape} {from_bytes(its_name)!r:.80}" if its_name else f"every {its_shape}"
            raise NotFoundError(
                f"the past of {of} was erased in revision {erased} and begins there, so what it "
                f"was at revision {revision} is not known: restore it to a later revision, or "
                "restore other things by name"
            )


def _too_old(what: str, past: Past) -> NotFoundError:
    return NotFoundError(
        f"{what} is before what this namespace keeps of its past: revision {past.since}, "
        f"{to_iso(past.began)}"
    )


def as_of(steps: Steps[T], revision: int) -> Steps[T]:
    """Runs a generator that only reads, on the tables as of a revision."""
    rows: list[tuple[Any, ...]] | None = None
    while True:
        try:
            step = steps.send(rows)  # type: ignore[arg-type]
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        if step is not WAIT:
            step = step._replace(sql=at(step.sql, revision))
        rows = yield step


def at(sql: str, revision: int) -> str:
    """Returns a statement rewritten to read the tables as of a revision."""
    return _template(sql).replace("\0", str(int(revision)))


@functools.lru_cache(maxsize=512)
def _template(sql: str) -> str:
    if " ORDER BY " in sql and " LIMIT " in sql:
        # A page: both tables are merged in its order, and none is sorted. The plus keeps databases
        # from the index on `until`, which would read all that has changed since.
        head, found, rest = _split(sql)
        if found:
            return head + _as_table(found, until="+until") + _READ.sub(_as_table, rest)
    return _READ.sub(_as_table, sql)


def _split(sql: str) -> tuple[str, re.Match[str] | None, str]:
    """Returns what is before the first table, the table, and what is after it."""
    found = _READ.search(sql)
    return ("", None, sql) if found is None else (sql[: found.start()], found, sql[found.end() :])


# Names are lowercase and SQL keywords are not, which tells an alias from a keyword.
_READ = re.compile(rf"\b(FROM|JOIN) botwire_({'|'.join((*KEPT, 'forked_items'))})\b( (?=[a-z]))?")


def _as_table(found: re.Match[str], until: str = "until") -> str:
    table = found[2]
    name = " " if found[3] else f" botwire_{table}"
    if table == "forked_items":
        then = "SELECT * FROM botwire_forked_items WHERE until <= \0"
        return f"{found[1]} ({then}){name}"
    kept = KEPT[table]
    columns = f"namespace, {kept.columns}"
    present = "".join(f", {part}" for part in _names(kept.others))
    past = f", {kept.others}" if kept.others else ""
    # The parts have no conditions, so that PostgreSQL merges them in the order of a page.
    return (
        f"{found[1]} (SELECT * FROM (SELECT {columns}{present}, {kept.written} AS written_at, "
        f"{_NEVER} AS until FROM botwire_{table} UNION ALL "
        f"SELECT {columns}{past}, {kept.written}, until FROM botwire_past_{table} p) versions "
        f"WHERE written_at <= \0 AND {until} > \0){name}"
    )


_NEVER = f"CAST({2**63 - 1} AS BIGINT)"


def _names(others: str) -> list[str]:
    return re.findall(r"AS (\w+)(?=,|$)", others)
