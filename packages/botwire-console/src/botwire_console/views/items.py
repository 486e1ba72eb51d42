"""One item of a history as JSON: correcting it under its version, or deleting it."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from botwire import operations as ops
from botwire.errors import BotWireError, ConflictError, InvalidRequestError, NotFoundError
from botwire_console.editing import (
    UNCHANGED,
    Draft,
    StoredValue,
    differences,
    refusal_of,
    text_of,
    time_of,
)
from botwire_console.recipes import address, recipe
from botwire_console.visit import Visit


async def show(visit: Visit) -> Response:
    """Shows the JSON of an item."""
    namespace, name, seq = _address(visit)
    stored = await _read(visit, namespace, name, seq)
    return await _page(visit, namespace, name, seq, stored, saved=visit.query.get("saved"))


async def save(visit: Visit) -> Response:
    """Replaces the value of an item under the version that the visitor saw."""
    namespace, name, seq = _address(visit)
    draft = Draft.of(await visit.form())
    try:
        value = await visit.work(draft.decode)
        operation = ops.UpdateItem(name, value, seq, if_version=draft.version)
        version = await visit.apply(namespace, operation)
    except ConflictError:
        stored = await _read(visit, namespace, name, seq)
        lines: list[tuple[str, str]] = []
        if (text := stored.text) is not None:
            lines = await visit.work(lambda: list(differences(text, draft.text)))
        return await _page(
            visit, namespace, name, seq, stored, 409, draft=draft, lines=lines, conflict=True
        )
    except BotWireError as failure:  # the page keeps what was typed
        stored = await _read(visit, namespace, name, seq)
        error = refusal_of(failure)
        return await _page(
            visit, namespace, name, seq, stored, error.status, draft=draft, error=error
        )
    return visit.go("item", ns=namespace, name=name, seq=seq, saved=version)


async def delete(visit: Visit) -> Response:
    """Deletes an item."""
    namespace, name, seq = _address(visit)
    await visit.apply(namespace, ops.DeleteItems(name, (seq,)))
    return visit.go("conversation", ns=namespace, name=name)


def _address(visit: Visit) -> tuple[str, str, int]:
    seq = visit.number("seq")
    if seq is None:
        raise InvalidRequestError("the address lacks 'seq': follow a link of the console")
    return visit.namespace, visit.need("name"), seq


async def _read(visit: Visit, namespace: str, name: str, seq: int) -> StoredValue:
    read = ops.ReadHistory(name, max(seq - 1, 0), seq + 1, 1, archived=True)
    page = await visit.apply(namespace, read)
    if not page.items:
        raise NotFoundError(f"item {seq} no longer exists: it was deleted")
    (item,) = page.items
    return StoredValue(
        await visit.work(lambda: text_of(item.value)),
        len(item.value.text),
        item.version,
        author=item.author,
        created_at=time_of(item.created_at),
    )


async def _page(
    visit: Visit,
    namespace: str,
    name: str,
    seq: int,
    stored: StoredValue,
    status: int = 200,
    **context: Any,
) -> Response:
    return await visit.page(
        "item.html",
        status=status,
        ns=namespace,
        name=name,
        seq=seq,
        stored=stored,
        recipe=recipe(
            visit,
            namespace,
            address(namespace, "histories", name, "items", after=seq - 1, limit=1),
            f"memory.history({name!r}).read(after={seq - 1}, limit=1)",
        ),
        **{**UNCHANGED, **context},
    )
