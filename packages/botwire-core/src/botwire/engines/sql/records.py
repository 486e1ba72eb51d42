"""What writing records means in SQL; see `engines.sql.batches`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from botwire import operations as ops
from botwire.clock import micros
from botwire.engines.sql import past_rows, sizes, tables, word_index
from botwire.engines.sql.collection import (
    Collection,
    check_dimension,
    has_records,
    read_collection,
    save_collection,
)
from botwire.engines.sql.handlers import handles
from botwire.engines.sql.plans import Reindexing
from botwire.engines.sql.steps import Context, Rows, Statement, Steps, chunks, marks
from botwire.engines.sql.tables import IN_COLLECTION, LIVE_RECORDS
from botwire.errors import ConflictError
from botwire.exact import Json, decode_stored
from botwire.names import from_bytes, to_bytes


class _Old(NamedTuple):
    """The stored record that a new one replaces."""

    text: bytes
    version: int
    created_at: int
    embedding: int
    size: int


@handles(ops.PutRecords)
def _put_records(context: Context, op: ops.PutRecords) -> Steps[tuple[int, ...]]:
    if not op.records:
        return ()
    here = (context.namespace, to_bytes(op.collection))
    there: Rows = []
    for chunk in chunks([to_bytes(record.id) for record in op.records]):
        yield Statement(
            "SELECT id, text, version, created_at, COALESCE(length(embedding), 0), "
            f"{sizes.RECORD} FROM botwire_records "
            f"WHERE {LIVE_RECORDS} AND id IN ({marks(chunk)})",
            (*here, context.now, *chunk),
            then=there.extend,
        )
    collection = yield from enter_collection(
        context, op.collection, [record.id for record in op.records]
    )
    dimension = collection.dimension
    for record in op.records:
        if record.embedding is not None:
            check_dimension(op.collection, dimension, record.embedding.dimension)
            dimension = record.embedding.dimension
    found = {row[0]: _Old(*row[1:]) for row in there}
    for record in op.records:
        _expect(record, found.get(to_bytes(record.id)))

    revision = context.change("record", "put", collection.name)
    replaced: dict[bytes, bytes] = {}
    texts: dict[bytes, bytes] = {}
    parameters = []
    added_sizes: list[int] = []
    freed = 0
    for record in op.records:
        id, text = to_bytes(record.id), to_bytes(record.text)
        old = found.get(id)
        if old is None or old.text != text:
            texts[id] = text
            if old is not None:
                replaced[id] = old.text
        created_at = record.created_at
        if created_at is None:
            created_at = old.created_at if old else context.now
        content = tables.record_content(record, context.author)
        size = sizes.record(*content)
        if old is not None:
            freed += old.size
            if record.embedding is None and op.keep_embedding:
                size += old.embedding
        added_sizes.append(size)
        expires_at = context.expiry(record.ttl)
        parameters.append((*content, revision, created_at, context.now, expires_at))
    for chunk in chunks(list(found)):
        condition = f"{IN_COLLECTION} AND id IN ({marks(chunk)})"
        yield from past_rows.keep(context, "records", condition, (*here, *chunk))
    yield tables.upsert_records(here, parameters, keep=op.keep_embedding)
    planned = word_index.planned_for(context, op)
    growth = yield from word_index.reindex(context, collection.name, replaced, texts, planned)
    yield from save_collection(
        context,
        collection._replace(
            dimension=dimension,
            size=collection.size + len(op.records) - len(found),
            words=collection.words + growth,
            revision=revision,
            # A collection of the same name may have existed before the namespace was forgotten.
            removed=collection.removed if collection.revision else revision,
            bytes=collection.bytes + sum(added_sizes) - freed,
            expiring=int(collection.expiring or any(r.ttl is not None for r in op.records)),
        ),
    )
    context.grow(added_sizes, freed)
    return (revision,) * len(op.records)


def enter_collection(context: Context, name: str, ids: Sequence[str] = ()) -> Steps[Collection]:
    """Returns a collection about to be written, after deleting expired records from it.

    Deletes the expired records with these ids, so that the ids are free, and a few others. Deletes
    all records if all have expired.

    Args:
        context: The batch's context.
        name: The name of the collection.
        ids: The ids of the records about to be written.
    """
    collection = yield from read_collection(context, name)
    if not collection.expiring:
        return collection
    if not (yield from has_records(context, collection)):
        return (yield from _forget(context, collection, None))
    expired: list[bytes] = []
    for chunk in chunks([to_bytes(id) for id in ids]):
        rows = yield Statement(
            f"SELECT id FROM botwire_records WHERE {IN_COLLECTION} AND expires_at <= ? "
            f"AND id IN ({marks(chunk)})",
            (context.namespace, collection.name, context.now, *chunk),
        )
        expired += [id for (id,) in rows]
    expired += yield from _expired(context, collection, _FORGOTTEN)
    return (yield from _forget(context, collection, list(dict.fromkeys(expired))))


_FORGOTTEN = 20  # expired records that a write deletes besides its own work


def _expired(context: Context, collection: Collection, most: int) -> Steps[list[bytes]]:
    rows = yield Statement(
        f"SELECT id FROM botwire_records WHERE {IN_COLLECTION} AND expires_at <= ? "
        "ORDER BY expires_at LIMIT ?",
        (context.namespace, collection.name, context.now, most),
    )
    return [id for (id,) in rows]


def _forget(
    context: Context, collection: Collection, ids: Sequence[bytes] | None
) -> Steps[Collection]:
    """Deletes expired records, which does not count as a change; None means all records."""
    if ids is not None and not ids:
        return collection
    if ids is None:
        yield from remove_all(context, collection)
        count, fewer, freed = collection.size, collection.words, collection.bytes
    else:
        count, fewer, freed = yield from remove_records(context, collection, ids)
    left = collection.size - count
    collection = collection._replace(
        dimension=collection.dimension if left else None,
        size=left,
        words=collection.words - fewer,
        bytes=collection.bytes - freed,
        expiring=collection.expiring if left else 0,
    )
    yield from save_collection(context, collection)
    context.grown -= freed
    return collection


def sweep(context: Context, most: int) -> Steps[int]:
    """Deletes expired records of the namespace; returns how many.

    Args:
        context: The sweep's context, for one namespace.
        most: About how many to delete.
    """
    rows = yield Statement(
        "SELECT DISTINCT collection FROM (SELECT collection FROM botwire_records "
        "WHERE namespace = ? AND expires_at <= ? ORDER BY expires_at LIMIT ?) due",
        (context.namespace, context.now, most),
    )
    done = 0
    for (name,) in rows:
        collection = yield from read_collection(context, from_bytes(name))
        ids = yield from _expired(context, collection, most - done)
        yield from _forget(context, collection, ids)
        done += len(ids)
        if done >= most:
            break
    return done


FIND_EXPIRED = (
    "SELECT DISTINCT namespace FROM (SELECT namespace FROM botwire_records "
    "WHERE expires_at <= ? ORDER BY expires_at LIMIT ?) due"
)
"""Finds some of the namespaces that `sweep` has work in."""


def _expect(record: ops.NewRecord, old: _Old | None) -> None:
    current = old.version if old else 0
    if record.if_version is not None and record.if_version != current:
        found = f"has version {current}" if current else "does not exist"
        raise ConflictError(
            f"record {record.id!r:.80} {found}, and version {record.if_version} was expected: "
            "read it again and retry"
        )


@handles(ops.PatchRecords)
def _patch_records(context: Context, op: ops.PatchRecords) -> Steps[int]:
    collection = yield from enter_collection(context, op.collection)
    here = (context.namespace, collection.name)
    patch = op.metadata.value
    found: list[tuple[bytes, str, int, int]] = []
    for chunk in chunks([to_bytes(id) for id in dict.fromkeys(op.ids)]):
        found += yield Statement(
            f"SELECT id, metadata, COALESCE(length(author), 0), {sizes.RECORD} "
            "FROM botwire_records "
            f"WHERE {LIVE_RECORDS} AND id IN ({marks(chunk)})",
            (*here, context.now, *chunk),
        )
    if not found:
        return 0
    revision = context.change("record", "put", collection.name)
    for chunk in chunks([id for id, *_ in found]):
        condition = f"{IN_COLLECTION} AND id IN ({marks(chunk)})"
        yield from past_rows.keep(context, "records", condition, (*here, *chunk))
    patched = []
    author = context.author
    for id, old, old_author, size in found:
        new = Json.of({**decode_stored(old), **patch}, "the metadata")
        ops.check_metadata(new)
        patched.append((id, size - len(old) - old_author + len(author or ""), new.text))
    renewed, values = "", [revision, context.now]
    if op.ttl is not None:
        renewed = ", expires_at = CASE WHEN expires_at IS NOT NULL THEN CAST(? AS BIGINT) END"
        values.append(context.now + micros(op.ttl))
    yield Statement(
        "UPDATE botwire_records SET metadata = ?, author = ?, version = ?, updated_at = ?, "
        f"since = NULL{renewed} WHERE {IN_COLLECTION} AND id = ?",
        [(new, author, *values, *here, id) for id, _, new in patched],
        many=True,
    )
    added = [rest + len(new) for _, rest, new in patched]
    freed = sum(size for *_, size in found)
    yield from save_collection(
        context, collection._replace(revision=revision, bytes=collection.bytes + sum(added) - freed)
    )
    context.grow(added, freed)
    return len(found)


def remove_records(
    context: Context,
    collection: Collection,
    ids: Sequence[bytes],
    planned: Reindexing | None = None,
) -> Steps[tuple[int, int, int]]:
    """Deletes records and their index entries; returns how many records, words and bytes."""
    deleted: list[tuple[bytes, bytes, int]] = []
    for chunk in chunks(ids):
        condition = f"{IN_COLLECTION} AND id IN ({marks(chunk)})"
        parameters = (context.namespace, collection.name, *chunk)
        yield from past_rows.keep(context, "records", condition, parameters)
        deleted += yield Statement(
            f"DELETE FROM botwire_records WHERE {condition} RETURNING id, text, {sizes.RECORD}",
            parameters,
        )
    texts = {id: text for id, text, _ in deleted}
    growth = yield from word_index.reindex(context, collection.name, texts, {}, planned)
    return len(deleted), -growth, sum(size for *_, size in deleted)


def remove_all(context: Context, collection: Collection) -> Steps[None]:
    """Deletes all records of a collection and their index entries."""
    here = (context.namespace, collection.name)
    for table in ("records", "words"):
        yield from past_rows.keep(context, table, IN_COLLECTION, here)
        yield Statement(f"DELETE FROM botwire_{table} WHERE {IN_COLLECTION}", here)
