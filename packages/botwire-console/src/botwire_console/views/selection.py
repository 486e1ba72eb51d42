"""Bulk selections: a dry run, deleting with a receipt, and an export."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise

from starlette.responses import Response, StreamingResponse

from botwire import operations as ops
from botwire.clock import now, to_iso
from botwire.errors import ConflictError, InvalidRequestError, PermissionDeniedError
from botwire.names import decode_part
from botwire_console import rendering
from botwire_console.recipes import recipe
from botwire_console.selecting import BulkSelection
from botwire_console.visit import Recipe, Visit

_SHAPES = {"keys": "key", "conversations": "history"}
"""The kinds of things that have their own past; memories have that of their collection."""


async def show(visit: Visit) -> Response:
    """Shows what would be deleted, or exports it if that button was pressed; deletes nothing."""
    fields = await visit.fields()
    selection = BulkSelection.of(visit, fields)
    if dict(fields).get("do") == "export":
        return await _export(visit, selection)
    visit.require("write", selection.namespace)
    return await _plan(visit, selection)


async def delete(visit: Visit) -> Response:
    """Deletes what was shown, if it has not changed since, and returns the receipt."""
    fields = await visit.fields()
    selection = BulkSelection.of(visit, fields)
    chosen = [
        (decode_part(name), int(version))
        for (field, name), (_, version) in pairwise(fields)
        if field == "n" and version.isdecimal()
    ]
    present = {one.name: one for one in await selection.read(visit)}
    shown = [present[name] for name, _ in chosen if name in present]
    if not chosen or [(one.name, one.version) for one in shown] != chosen:
        changed = ConflictError("some of these were changed or deleted meanwhile")
        return await _plan(visit, selection, 409, changed)
    try:
        operations = selection.deletion(shown)
        if any(name == "past" for name, _ in fields):
            visit.require("admin", selection.namespace)
            operations += [ops.ErasePast(_SHAPES[selection.kind], name) for name, _ in chosen]
        await visit.apply_all(selection.namespace, *operations)
    except (ConflictError, PermissionDeniedError) as error:
        return await _plan(visit, selection, 409, error)
    return await _receipt(visit, selection, chosen, [name for name, _ in fields])


async def _plan(
    visit: Visit, selection: BulkSelection, status: int = 200, error: Exception | None = None
) -> Response:
    chosen = await selection.read(visit)
    past, holds = await visit.apply_all(selection.namespace, ops.StatPast(), ops.FindHolds())
    return await visit.page(
        "selection.html",
        status=status,
        ns=selection.namespace,
        kind=selection.kind,
        c=selection.collection,
        chosen=chosen,
        error=error,
        past=past,
        may_erase=selection.kind in _SHAPES and visit.may("admin", selection.namespace),
        holds=holds,
        recipe=_recipe(visit, selection),
    )


async def _receipt(
    visit: Visit, selection: BulkSelection, chosen: Sequence[tuple[str, int]], fields: Sequence[str]
) -> Response:
    key = visit.caller.key
    past = await visit.apply(selection.namespace, ops.StatPast())
    receipt = {
        "namespace": selection.namespace,
        "at": to_iso(now()),
        "by": "console" if key is None else f"console, API key {key.id}",
        "kind": selection.kind,
        **({"collection": selection.collection} if selection.kind == "memories" else {}),
        "deleted": [{"name": name, "version": version} for name, version in chosen],
        "past": "erased" if "past" in fields else "none kept" if past.keep is None else "kept",
        "revision": past.revision,
    }
    text = json.dumps(receipt, indent=2)
    return await visit.page(
        "receipt.html",
        ns=selection.namespace,
        kind=selection.kind,
        c=selection.collection,
        count=len(chosen),
        receipt=text,
        past=receipt["past"],
        recipe=None,
    )


async def _export(visit: Visit, selection: BulkSelection) -> Response:
    chosen = await selection.read(visit)
    if not chosen:
        raise InvalidRequestError("none of this exists any longer: go back and select again")
    headers = {**rendering.HEADERS, "Content-Disposition": "attachment; filename=export.jsonl"}
    return StreamingResponse(
        selection.export(visit), headers=headers, media_type="application/x-ndjson"
    )


def _recipe(visit: Visit, selection: BulkSelection) -> Recipe:
    names = list(selection.names[:3])
    call = {
        "keys": f"for key in {names!r}:\n    memory.delete(key)",
        "conversations": f"for name in {names!r}:\n    memory.history(name).clear()",
        "memories": f"memory.records({selection.collection!r}).delete(ids={names!r})",
    }[selection.kind]
    python = recipe(visit, selection.namespace, "", call).python
    shell = f"botwire export --url {visit.origin} --namespaces NAMESPACE"
    return Recipe(shell, python)
