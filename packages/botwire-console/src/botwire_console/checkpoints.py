"""The checkpoints of LangGraph threads, read from what botwire-langgraph stores.

They are keys of a namespace: `botwire_langgraph.layout` defines the names, its ``records`` and
`botwire.list_parts` the values. This module reads that format without needing LangGraph.
"""

from __future__ import annotations

import base64
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from botwire import framing
from botwire import operations as ops
from botwire.list_parts import MARK, Span, part_key, part_numbers, positions
from botwire.names import join_parts
from botwire_console.message_pack import CLASS, UnreadableError, unpack
from botwire_console.visit import Visit

HEADS = "heads/"
"""The prefix of the keys that name each thread and checkpoint namespace."""
KINDS = frozenset({"blobs", "busy", "checkpoints", "deleted", "heads", "parts", "pruned", "writes"})
"""The first segments of the keys that make up a thread; the second is the thread's name."""
MOST_PARTS = 2000
"""The most parts of a list to read for a page."""


@dataclass(frozen=True)
class Step:
    """A checkpoint of a thread.

    Attributes:
        thread: The id of the thread.
        namespace: The checkpoint namespace; empty for the graph itself, not a subgraph.
        id: The id of the checkpoint.
        parent: The id of the previous checkpoint; None for the first.
        at: When it was made, in ISO 8601.
        source: ``input``, ``loop``, ``update`` or ``fork``.
        number: The number of the step.
        versions: The version of each channel.
        lists: Which parts hold a channel's list.
        entry: The key as it is stored.
        writes: The number of pending writes.
    """

    thread: str
    namespace: str
    id: str
    parent: str | None
    at: str
    source: str
    number: int | None
    versions: Mapping[str, Any]
    lists: Mapping[str, Any]
    entry: ops.KeyEntry
    writes: int = 0
    changed: Sequence[str] = field(default=())

    @classmethod
    def of(cls, entry: ops.KeyEntry) -> Step | None:
        """Reads a stored checkpoint; returns None if the value is something else."""
        kept = None if isinstance(entry.value, bytes) else entry.value.value
        if not isinstance(kept, dict) or not isinstance(kept.get("id"), str):
            return None
        checkpoint, metadata = (_fields(_typed(kept.get(part))) for part in _PARTS)
        number = metadata.get("step")
        return cls(
            str(kept.get("thread_id", "")),
            str(kept.get("checkpoint_ns", "")),
            kept["id"],
            kept["parent"] if isinstance(kept.get("parent"), str) else None,
            str(checkpoint.get("ts", "")),
            str(metadata.get("source", "")),
            number if isinstance(number, int) else None,
            _fields(checkpoint.get("channel_versions")),
            _fields(kept.get("lists")),
            entry,
        )

    def since(self, before: Step | None) -> tuple[str, ...]:
        """Returns the channels that differ from an earlier step."""
        known = {} if before is None else before.versions
        return tuple([name for name in self.versions if known.get(name) != self.versions[name]])

    def prefix(self, kind: str, *more: str) -> str:
        """Returns the prefix of the names of the step's keys."""
        return join_parts(kind, self.thread, self.namespace, *more)


_PARTS = ("checkpoint", "metadata")


def prefix_of(thread: str, namespace: str) -> str:
    """Returns the prefix of the names of a thread's checkpoints."""
    return join_parts("checkpoints", thread, namespace) + "/"


async def read_step(visit: Visit, thread: str, namespace: str, id: str) -> Step | None:
    """Returns a checkpoint; None if it does not exist."""
    key = join_parts("checkpoints", thread, namespace, id)
    (entry,) = await visit.apply(visit.namespace, ops.GetKeys((key,)))
    return None if entry is None else Step.of(entry)


async def read_values(visit: Visit, step: Step) -> dict[str, Any]:
    """Returns the values of a step's channels as plain data."""
    names = list(step.versions)
    keys = tuple([step.prefix("blobs", name, str(step.versions[name])) for name in names])
    if not keys:
        return {}
    entries = await visit.apply(visit.namespace, ops.GetKeys(keys))
    values: dict[str, Any] = {}
    for name, entry in zip(names, entries, strict=True):
        blob = None if entry is None or not isinstance(entry.value, bytes) else entry.value
        spans = step.lists.get(name)
        if blob is not None and blob.startswith(MARK):
            spans = _decode("json", blob.removeprefix(MARK))
        if spans is not None:
            values[name] = await _read_list(visit, step, name, spans)
        elif blob is not None:
            values[name] = await visit.work(lambda blob=blob: _blob(blob))  # type: ignore[misc]
    return values


async def _read_list(visit: Visit, step: Step, channel: str, spans: Any) -> Any:
    if not _are_spans(spans):
        return {CLASS: "list", "note": "it cannot be read: it does not say where its items are"}
    count = sum(last - first + 1 for first, last, *_ in spans)
    if count > MOST_PARTS:
        return {CLASS: "list", "parts": count, "note": "too long to be shown here"}
    numbers = sorted(part_numbers(spans))
    prefix = step.prefix("parts", channel)
    keys = tuple([part_key(f"{prefix}/", number) for number in numbers])
    entries = await visit.apply(visit.namespace, ops.GetKeys(keys))
    parts = {
        number: entry.value
        for number, entry in zip(numbers, entries, strict=True)
        if entry is not None and isinstance(entry.value, bytes)
    }
    return await visit.work(lambda: _join(spans, parts))


def _are_spans(value: Any) -> bool:
    """Returns whether a value is a list of spans; whoever may write could have stored another."""
    return isinstance(value, list) and all(
        isinstance(span, list)
        and len(span) in (2, 4)
        and all(isinstance(number, int) and number >= 0 for number in span)
        and span[0] <= span[1]
        for span in value
    )


def _join(spans: Iterable[Span], parts: Mapping[int, bytes]) -> list[Any]:
    """Returns the items of a list, except those of parts that are gone."""
    pieces = {number: framing.split(part) for number, part in parts.items()}
    sizes = defaultdict(int, {number: len(piece) for number, piece in pieces.items()})
    there = [[first, last, *(min(n, sizes[first]) for n in cut)] for first, last, *cut in spans]
    return [_blob(pieces[part][position]) for part, position in positions(there, sizes)]


def _blob(blob: bytes) -> Any:
    kind, _, data = blob.partition(b"\x00")
    return _decode(kind.decode("ascii", "replace"), data)


def _typed(stored: Any) -> Any:
    """Decodes a value stored as its kind and base64."""
    if not isinstance(stored, list) or len(stored) != 2:
        return None
    try:
        return _decode(str(stored[0]), base64.b64decode(stored[1]))
    except ValueError:
        return None


def _decode(kind: str, data: bytes) -> Any:
    """Returns a value as plain data. Objects are never revived, whatever class the value names."""
    try:
        if kind == "msgpack":
            return unpack(data)
        if kind == "json":
            return json.loads(data)
    except (UnreadableError, ValueError, RecursionError) as error:
        return {CLASS: kind, "bytes": len(data), "note": f"it cannot be read: {error}"}
    if kind in ("null", "empty"):
        return None
    note = "encrypted: only the agent can read it" if "+" in kind else "not shown"
    return {CLASS: kind, "bytes": len(data), "note": note}


def _fields(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
