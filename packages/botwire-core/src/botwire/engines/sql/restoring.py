"""Restoring namespaces and keys in SQL, and what that shares with the other shapes."""

from __future__ import annotations

from typing import Any

from botwire import operations as ops
from botwire.engines.sql import past_rows, sizes, tables
from botwire.engines.sql.handlers import handles
from botwire.engines.sql.steps import Context, Statement, Steps, bounds, chunks, count_in, marks
from botwire.engines.sql.tables import THIS_KEY
from botwire.errors import ConflictError
from botwire.names import from_bytes, to_bytes
from botwire.operations.authors import to_stored


def resolve(conflict: str, what: str) -> bool:
    """Returns whether to overwrite what is stored; raises `ConflictError` if that is undecided."""
    if conflict == ops.REFUSE:
        raise ConflictError(
            f"{what}: pass conflict= (--on-conflict) to keep what is stored or to overwrite it"
        )
    return conflict == ops.OVERWRITE


def is_newer(stored: Any, given: Any) -> bool:
    """Returns whether the stored element was written later, or might have been."""
    return bool(stored.version >= given.version or stored.updated_at > given.updated_at)


class Counts:
    """Counts what a restoration does."""

    def __init__(self) -> None:
        self.written = self.kept = self.removed = 0

    def result(self) -> ops.Restored:
        """Returns the counts as the result of the operation."""
        return ops.Restored(self.written, self.kept, self.removed)


@handles(ops.RestoreNamespace)
def _restore_namespace(context: Context, op: ops.RestoreNamespace) -> Steps[None]:
    # Finds out whether the namespace is new. Its changes may be forgotten while its data remains.
    tables = ("changes", "keys", "histories", "collections")
    rows = yield Statement(
        " UNION ALL ".join(
            f"SELECT 1 WHERE EXISTS (SELECT 1 FROM botwire_{table} WHERE namespace = ?)"
            for table in tables
        ),
        (context.namespace,) * len(tables),
    )
    context.revision = max(context.revision, op.revision)
    created = ", created_at = ?" if not rows and not context.changes else ""
    yield Statement(
        f"UPDATE botwire_namespaces SET revision = ?{created} WHERE namespace = ?",
        (context.revision, *([op.created_at] if created else []), context.namespace),
    )


@handles(ops.RestoreKeys)
def _restore_keys(context: Context, op: ops.RestoreKeys) -> Steps[ops.Restored]:
    tally = Counts()
    given = {entry.key: entry for entry in op.entries}
    stored: dict[str, ops.KeyEntry] = {}
    for chunk in chunks([to_bytes(key) for key in given]):
        rows = yield Statement(
            f"SELECT {tables.KEY_ENTRY} FROM botwire_keys "
            f"WHERE namespace = ? AND key IN ({marks(chunk)})",
            (context.namespace, *chunk),
        )
        stored.update((from_bytes(row[0]), tables.key_entry(row)) for row in rows)

    written = []
    for key, entry in given.items():
        old = stored.get(key)
        if old is not None and not _is_expired(old, context.now):
            if old == entry:
                continue
            if is_newer(old, entry) and not resolve(
                op.conflict, f"key {key!r:.80} was set later, to version {old.version}"
            ):
                tally.kept += 1
                continue
        tally.written += 1
        # Ensures that this version is never assigned again.
        context.revision = max(context.revision, entry.version)
        name, author = to_bytes(key), to_stored(entry.author)
        since = written_here(context, context.change("key", "put", name))
        freed = 0 if old is None else sizes.key(name, old.value, to_stored(old.author))
        context.grow([sizes.key(name, entry.value, author)], freed)
        if old is not None:
            yield from past_rows.keep(context, "keys", THIS_KEY, (context.namespace, name))
        written.append(
            tables.key_row(context.namespace, name, entry.value, author, *entry[2:-1], since=since)
        )
    if written:
        yield Statement(tables.KEYS.upsert(), written, many=True)
    for name in (yield from find_others(context, op, set(given), tally)):
        context.change("key", "delete", name)
        yield from past_rows.keep(context, "keys", THIS_KEY, (context.namespace, name))
        rows = yield Statement(
            f"DELETE FROM botwire_keys WHERE {THIS_KEY} RETURNING {sizes.KEY}",
            (context.namespace, name),
        )
        context.grown -= count_in(rows)
    return tally.result()


def written_here(context: Context, revision: int) -> int | None:
    """Returns what `since` says of what is restored with this change.

    It has the version that it had elsewhere. Where the past is kept, it was not here before.
    """
    return revision if context.keeps_past else None


def _is_expired(entry: ops.KeyEntry, now: int) -> bool:
    return entry.expires_at is not None and entry.expires_at <= now


def find_others(
    context: Context,
    op: ops.RestoreKeys | ops.RestoreRecords,
    given: set[str],
    tally: Counts,
    collection: bytes | None = None,
) -> Steps[list[bytes]]:
    """Returns the stored names in the span that the source no longer has, and counts them.

    Args:
        context: The batch's context.
        op: The operation.
        given: The names that the source has.
        tally: Counts what is removed and kept.
        collection: The collection; None for keys.
    """
    span = op.span
    if span is None:
        return []
    table, column = ("keys", "key") if collection is None else ("records", "id")
    condition, parameters = bounds(column, "", span.after)
    if span.until is not None:
        condition += f" AND {column} <= ?"
        parameters.append(to_bytes(span.until))
    if collection is not None:
        condition += " AND collection = ?"
        parameters.append(collection)
    rows = yield Statement(
        f"SELECT {column}, version FROM botwire_{table} WHERE namespace = ?{condition} "
        f"ORDER BY {column}",
        (context.namespace, *parameters),
    )
    going = []
    for raw, version in rows:
        name = from_bytes(raw)
        if name in given:
            continue
        if version > span.revision and not resolve(
            op.conflict, f"{name!r:.80} was written later, with version {version}"
        ):
            tally.kept += 1
            continue
        tally.removed += 1
        going.append(raw)
    return going
