"""Forgetting whole namespaces: a dry run, then erasing every row, with a receipt for each."""

from __future__ import annotations

import json

from starlette.requests import Request
from starlette.responses import Response

from botwire import operations as ops
from botwire.clock import now, to_iso
from botwire.errors import BotWireError, InvalidRequestError
from botwire.names import check_namespace, decode_part
from botwire_console.visit import Recipe, Visit
from botwire_server.routes.store import erase

MOST = 100
"""The most namespaces to forget at once."""


async def show(visit: Visit) -> Response:
    """Shows what the selected namespaces contain; erases nothing."""
    visit.require("admin")
    names = _names(await visit.fields())
    stats = []
    holds: list[str] = []
    for name in names:
        stat, held = await visit.apply_all(name, ops.StatNamespace(), ops.FindHolds())
        stats.append((name, stat))
        holds += [f"{one.name} holds {name}" for one in held]
    return await visit.page(
        "forget.html",
        stats=[(name, stat) for name, stat in stats if stat.created_at is not None],
        holds=holds,
        recipe=Recipe(f"botwire forget {' '.join(names[:3])}", _python(names)),
    )


async def forget(visit: Visit) -> Response:
    """Erases the namespaces, and returns a receipt for each."""
    visit.require("admin")
    fields = await visit.fields()
    names = _names(fields)
    for name in names:  # before anything is erased
        for hold in await visit.apply(name, ops.FindHolds()):
            raise hold.refusal()
    receipts = []
    for name in names:
        counts = await erase(Request(visit.scope), ops.ForgetNamespace(name, ops.PART))
        erased = {one.kind: one.count for one in counts if one.count}
        receipts.append({"namespace": name, "erased": erased, "at": to_iso(now())})
    compaction = ops.Compaction(
        rewritten=False, detail="the files were not rewritten: they may still hold what was erased"
    )
    if dict(fields).get("rewrite") == "1":
        try:
            compaction = await visit.apply_to_store(ops.CompactStore())
        except BotWireError as error:  # the rows are gone, so the visitor must get the receipt
            compaction = ops.Compaction(rewritten=False, detail=f"it failed: {error}")
    return await visit.page(
        "forgotten.html",
        count=len(receipts),
        receipt=json.dumps([{**one, **compaction._asdict()} for one in receipts], indent=2),
        recipe=None,
    )


def _names(fields: list[tuple[str, str]]) -> list[str]:
    names = [decode_part(value) for name, value in fields if name == "n"]
    if not names:
        raise InvalidRequestError("no namespace is selected: go back and check a box")
    if len(names) > MOST:
        raise InvalidRequestError(f"at most {MOST} namespaces are forgotten at once")
    return [check_namespace(name) for name in names]


def _python(names: list[str]) -> str:
    return "\n".join(
        [
            "from botwire import transfer",
            "from botwire.engines.opening import open_engine",
            "from botwire.places import find_place",
            "",
            f"print(transfer.forget(open_engine(find_place()), *{names[:3]!r}))",
        ]
    )
