"""LangGraph threads: a timeline of checkpoints, the contents of a step, and two compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from starlette.responses import Response

from botwire import operations as ops
from botwire.errors import NotFoundError
from botwire.names import decode_part, join_parts
from botwire_console.checkpoints import HEADS, Step, prefix_of, read_step, read_values
from botwire_console.editing import MOST_EDITED, differences, pretty
from botwire_console.recipes import address, recipe
from botwire_console.turns import ItemView, turns_of_list
from botwire_console.visit import Visit

LISTED = 40
"""Threads per page."""
SHOWN = 30
"""Steps on a page."""
MESSAGES = 200
"""Messages of a channel on a page."""


@dataclass(frozen=True)
class GraphChannel:
    """A channel of a step, as a page shows it.

    Attributes:
        name: Its name.
        text: Its value as JSON; empty: it has none in this step.
        lines: What differs from the other step: see `editing.differences`.
        is_cut: Whether the value is too long to be shown whole.
        turns: The value as a conversation; None: it is none. Compared with another step, what the
            conversation has gained since.
        before: The number of messages before them.
    """

    name: str
    text: str
    lines: tuple[tuple[str, str], ...] = ()
    is_cut: bool = False
    turns: Sequence[ItemView] | None = None
    before: int = 0


async def show_all(visit: Visit) -> Response:
    """Shows the threads of a namespace, each with its latest step."""
    namespace = visit.namespace
    listing = ops.ListKeyStats(HEADS, visit.query.get("after"), LISTED)
    page = await visit.apply(namespace, listing)
    latest = [
        ops.ScanKeys("checkpoints/" + one.key.removeprefix(HEADS) + "/", limit=1, descending=True)
        for one in page.keys
    ]
    found = await visit.apply_all(namespace, *latest) if latest else []
    steps = [Step.of(one.entries[0]) for one in found if one.entries]
    is_rest = visit.is_partial and "after" in visit.query
    return await visit.page(
        "threads_rows.html" if is_rest else "threads.html",
        ns=namespace,
        steps=[one for one in steps if one is not None],
        following=page.keys[-1].key if page.more else None,
        recipe=recipe(
            visit,
            namespace,
            address(namespace, "keys", prefix=HEADS),
            f"print(memory.list_keys({HEADS!r}))",
        ),
    )


async def show(visit: Visit) -> Response:
    """Shows the steps of a thread, the newest first."""
    namespace, thread, within = _address(visit)
    prefix = prefix_of(thread, within)
    before = visit.query.get("before")
    scan = ops.ScanKeys(prefix, before=before, limit=SHOWN, descending=True)
    heads, page = await visit.apply_all(
        namespace, ops.ListKeys(join_parts("heads", thread) + "/", limit=50), scan
    )
    steps = [step for entry in page.entries if (step := Step.of(entry)) is not None]
    known = {step.id: step for step in steps}
    if steps and (last := steps[-1].parent) is not None and last not in known:
        parent = await read_step(visit, thread, within, last)
        known.update({} if parent is None else {last: parent})
    counts = (
        await visit.apply_all(
            namespace, *[ops.CountKeys(step.prefix("writes", step.id) + "/") for step in steps]
        )
        if steps
        else []
    )
    timeline = [
        replace(step, writes=count, changed=step.since(known.get(step.parent or "")))
        for step, count in zip(steps, counts, strict=True)
    ]
    # A very long name is stored as its hash, which cannot be linked to.
    others = [
        decode_part(name)
        for one in heads.keys
        if one != join_parts("heads", thread, within)
        and not (name := one.split("/", 2)[2]).startswith("~")
    ]
    return await visit.page(
        "thread.html",
        ns=namespace,
        thread=thread,
        within=within,
        others=others,
        steps=timeline,
        following=page.entries[-1].key if page.more else None,
        first=before is None,
        recipe=recipe(
            visit,
            namespace,
            address(namespace, "keys", prefix=prefix),
            f"print(memory.list_keys({prefix!r}))",
        ),
    )


async def show_step(visit: Visit) -> Response:
    """Shows the contents of a step, or the differences from another step."""
    namespace, thread, within = _address(visit)
    step = await _step(visit, thread, within, visit.need("id"))
    other_id = visit.query.get("with") or ""
    other = await _step(visit, thread, within, other_id) if other_id else None
    values = await read_values(visit, step)
    others = {} if other is None else await read_values(visit, other)

    def compare() -> list[GraphChannel]:
        names = [*values, *[name for name in others if name not in values]]
        channels = []
        for name in names:
            text = pretty(values[name]) if name in values else ""
            lines: tuple[tuple[str, str], ...] = ()
            known: Any = []
            if other is not None:
                old = pretty(others[name]) if name in others else ""
                if old == text:
                    continue
                lines = tuple(differences(old, text))
                known = others.get(name, [])
            before, said = _conversation(values.get(name), known)
            is_cut = len(text) > MOST_EDITED
            channels.append(GraphChannel(name, text[:MOST_EDITED], lines, is_cut, said, before))
        return channels

    key = step.entry.key
    return await visit.page(
        "thread_step.html",
        ns=namespace,
        thread=thread,
        within=within,
        step=step,
        other=other,
        channels=await visit.work(compare),
        recipe=recipe(
            visit, namespace, address(namespace, "keys", key), f"print(memory.entry({key!r}))"
        ),
    )


def _conversation(value: Any, known: Any) -> tuple[int, list[ItemView] | None]:
    """Returns the messages that a list has gained, and how many there are before them.

    Nothing is returned for what is no list of messages, or has lost or changed some.

    Args:
        value: The value of a channel.
        known: Its value in an earlier step.
    """
    if not isinstance(value, list) or not isinstance(known, list):
        return 0, None
    if value[: len(known)] != known:
        return 0, None
    before = max(len(known), len(value) - MESSAGES)
    return before, turns_of_list(value[before:])


async def _step(visit: Visit, thread: str, within: str, id: str) -> Step:
    step = await read_step(visit, thread, within, id)
    if step is None:
        raise NotFoundError("this checkpoint no longer exists: it was deleted")
    return step


def _address(visit: Visit) -> tuple[str, str, str]:
    return visit.namespace, visit.need("thread"), visit.query.get("within", "")
