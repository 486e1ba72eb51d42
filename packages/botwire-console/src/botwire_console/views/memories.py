"""Memories: the records of a collection, and one of them, to correct under its version."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

from botwire import operations as ops
from botwire.clock import seconds_left
from botwire.errors import BotWireError, ConflictError, InvalidRequestError, NotFoundError
from botwire.exact import Json
from botwire_console.editing import (
    UNCHANGED,
    Draft,
    StoredValue,
    differences,
    pretty,
    refusal_of,
    time_of,
)
from botwire_console.recipes import address, recipe
from botwire_console.visit import Visit

LISTED = 40
"""Memories per page."""
DEFAULT = "default"
"""The collection of `memory.remember`."""


async def show_all(visit: Visit) -> Response:
    """Shows the collections of a namespace, and the memories of one, the newest first."""
    namespace, collection = visit.namespace, collection_of(visit)
    about, tag = visit.query.get("about", ""), visit.query.get("tag", "")
    offset = visit.number("offset") or 0
    where = ops.Selection(scope=about or "/", tags=(tag,) if tag else None)
    listing = ops.ListRecords(collection, where, LISTED, offset, embeddings=False)
    collections, stat, page, tags = await visit.apply_all(
        namespace,
        ops.ListCollections(limit=50),
        ops.StatRecords(collection, where),
        listing,
        ops.ListTags(collection),
    )
    is_rest = visit.is_partial and offset
    return await visit.page(
        "memories_rows.html" if is_rest else "memories.html",
        ns=namespace,
        c=collection,
        collections=collections.collections,
        stat=stat,
        about=about,
        tag=tag,
        tags=sorted(tags, key=lambda one: (-one.count, one.tag))[:20],
        records=page.records,
        following=offset + len(page.records) if page.more else None,
        recipe=recipe(
            visit,
            namespace,
            address(namespace, "collections", collection, "records", limit=LISTED),
            f"memory.records({collection!r}).list(limit={LISTED})",
        ),
    )


def collection_of(visit: Visit) -> str:
    """Returns the collection that the address names."""
    return visit.query.get("c") or DEFAULT


async def show(visit: Visit) -> Response:
    """Shows a memory."""
    entry = await _read(visit)
    return await _page(visit, entry, saved=visit.query.get("saved"))


async def save(visit: Visit) -> Response:
    """Replaces a memory if it still has the version the visitor saw."""
    namespace, collection, id = visit.namespace, collection_of(visit), visit.need("id")
    visit.require("write", namespace)
    draft = Draft.of(await visit.form())
    entry = await _read(visit)
    try:
        record = _new(entry, await visit.work(draft.decode), draft.version)
        keeps = record.text == entry.text  # an embedding belongs to its text
        put = ops.PutRecords(collection, (record,), keep_embedding=keeps)
        (version,) = await visit.apply(namespace, put)
    except ConflictError:
        entry = await _read(visit)
        stored = document(entry)
        lines = await visit.work(lambda: list(differences(stored, draft.text)))
        return await _page(visit, entry, 409, draft=draft, lines=lines, conflict=True)
    except BotWireError as failure:  # the page keeps what was typed
        error = refusal_of(failure)
        return await _page(visit, entry, error.status, draft=draft, error=error)
    return visit.go("memory", ns=namespace, c=collection, id=id, saved=version)


async def delete(visit: Visit) -> Response:
    """Deletes a memory."""
    namespace, collection = visit.namespace, collection_of(visit)
    where = ops.Selection(ids=(visit.need("id"),))
    await visit.apply(namespace, ops.DeleteRecords(collection, where))
    return visit.go("memories", ns=namespace, c=collection)


def document(entry: ops.RecordEntry) -> str:
    """Returns the editable fields of a memory, as indented JSON."""
    return pretty(
        {
            "text": entry.text,
            "about": entry.scope,
            "tags": list(entry.tags),
            "metadata": entry.metadata.value,
        }
    )


def _new(entry: ops.RecordEntry, value: Json, version: int) -> ops.NewRecord:
    fields = value.value
    names = {"text", "about", "tags", "metadata"}
    if not isinstance(fields, dict) or fields.keys() != names:
        raise InvalidRequestError(f"a memory is an object with {', '.join(sorted(names))}")
    text, about, tags = fields["text"], fields["about"], fields["tags"]
    if not isinstance(text, str) or not isinstance(about, str):
        raise InvalidRequestError("text and about must be strings")
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise InvalidRequestError("tags must be a list of strings")
    if not isinstance(fields["metadata"], dict):
        raise InvalidRequestError("metadata must be an object")
    return ops.NewRecord(
        entry.id,
        text,
        Json.from_text(json.dumps(fields["metadata"])),
        tuple(tags),
        about,
        if_version=version,
        ttl=seconds_left(entry.expires_at),
    )


async def _read(visit: Visit) -> ops.RecordEntry:
    get = ops.GetRecords(collection_of(visit), (visit.need("id"),))
    (entry,) = await visit.apply(visit.namespace, get)
    if entry is None:
        raise NotFoundError("this memory no longer exists: it was deleted, or has expired")
    found: ops.RecordEntry = entry
    return found


async def _page(
    visit: Visit, entry: ops.RecordEntry, status: int = 200, **context: Any
) -> Response:
    namespace, collection = visit.namespace, collection_of(visit)
    text = await visit.work(lambda: document(entry))
    stored = StoredValue(
        text,
        len(text),
        entry.version,
        author=entry.author,
        created_at=time_of(entry.created_at),
        updated_at=time_of(entry.updated_at),
        expires_at=time_of(entry.expires_at),
    )
    return await visit.page(
        "memory.html",
        status=status,
        ns=namespace,
        c=collection,
        entry=entry,
        dimension=None if entry.embedding is None else entry.embedding.dimension,
        stored=stored,
        recipe=recipe(
            visit,
            namespace,
            address(namespace, "collections", collection, "records", entry.id),
            f"memory.records({collection!r}).get([{entry.id!r}])",
        ),
        **{**UNCHANGED, **context},
    )
