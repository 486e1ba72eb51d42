"""What keeps threads small and known: pruning, their list, and the writes of delta channels.

Generators without I/O, as in `botwire_langgraph.steps`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import PendingWrite
from langgraph.checkpoint.serde.base import SerializerProtocol

from botwire import ConfigurationError
from botwire import operations as ops
from botwire.exact import Json
from botwire_langgraph import layout, steps
from botwire_langgraph.records import EMPTY, Header, Thread, from_blob, pending_writes
from botwire_langgraph.steps import Steps

_PAGE = 100
_COUNTERS = "counters_since_delta_snapshot"


def prune(serde: SerializerProtocol, thread_ids: Iterable[str], strategy: str) -> Steps[None]:
    """Keeps the latest checkpoint of each namespace of these threads, or deletes the threads."""
    if strategy not in ("keep_latest", "delete"):
        raise ConfigurationError(f"strategy is keep_latest or delete, not {strategy!r:.80}")
    for thread_id in thread_ids:
        if strategy == "delete":
            yield from steps.delete_thread(thread_id)
        else:
            yield from _keep_latest(serde, str(thread_id))


def _keep_latest(serde: SerializerProtocol, thread: str) -> Steps[None]:
    # Values are listed first: what a run puts meanwhile is not on the list, and so is kept.
    blobs = yield from _list_keys(layout.blobs(thread))
    headers: list[Header] = []
    last: str | None = None
    while True:
        prefix = layout.checkpoints(thread, None)
        (page,) = yield (ops.ScanKeys(prefix, before=last, limit=_PAGE, descending=True),)
        headers += [Header.from_value(entry.value, serde) for entry in page.entries]
        if not page.more:
            break
        last = page.entries[-1].key
    kept: dict[tuple[str, str], Header] = {}
    for latest in {header.thread.namespace: header for header in reversed(headers)}.values():
        chain = yield from _needed(latest, headers)
        kept.update({(header.thread.namespace, header.id): header for header in chain})
    used = {key for header in kept.values() for key in header.blobs().values()}
    deletions: list[ops.Operation] = [ops.DeleteKey(key) for key in blobs if key not in used]
    for header in headers:
        if (header.thread.namespace, header.id) not in kept:
            deletions += steps.deletion([header])
    if deletions:
        yield tuple(deletions)


def _needed(latest: Header, headers: Sequence[Header]) -> Steps[list[Header]]:
    """Returns a checkpoint and those ancestors from which its delta channels are rebuilt."""
    namespace = latest.thread.namespace
    known = {header.id: header for header in headers if header.thread.namespace == namespace}
    delta = {
        channel
        for header in known.values()
        for channel in cast("Mapping[str, Any]", header.metadata.get(_COUNTERS) or {})
    }
    chain = [latest]
    if not delta:
        return chain
    keys = {
        key for header in known.values() for name, key in header.blobs().items() if name in delta
    }
    (entries,) = yield (ops.GetKeys(tuple(keys)),)
    full = {entry.key for entry in entries if entry is not None and entry.value != EMPTY}
    while True:
        stored = chain[-1].blobs()
        delta = {channel for channel in delta if stored.get(channel) not in full}
        parent = known.get(chain[-1].parent or "")
        if not delta or parent is None:
            return chain
        chain.append(parent)


def list_threads(prefix: str, limit: int | None) -> Steps[list[str]]:
    """Returns the ids of threads that hold checkpoints, in order."""
    found: set[str] = set()
    # The names of long threads are hashes, whatever the prefix is.
    for start in layout.thread_prefixes(prefix):
        last: str | None = None
        while True:
            (page,) = yield (ops.ListKeys(start, last),)
            first: dict[str, str] = {}
            for key in page.keys:
                first.setdefault(layout.thread_part(key), key)
            (entries,) = yield (ops.GetKeys(tuple(first.values())),)
            found |= {cast("Json", entry.value).value["thread_id"] for entry in entries if entry}
            if not page.more:
                break
            last = page.keys[-1]
    return sorted(thread for thread in found if thread.startswith(prefix))[:limit]


def delta_history(
    serde: SerializerProtocol, config: RunnableConfig, channels: Sequence[str]
) -> Steps[dict[str, Any]]:
    """Returns the writes of channels since their last stored value, two requests a page.

    Ancestors are those of the parent chain, so of a fork only its own past counts.
    """
    writes: dict[str, list[PendingWrite]] = {channel: [] for channel in channels}
    seeds: dict[str, Any] = {}
    thread = Thread.of(config)
    target = (yield from steps.find(serde, config)) if channels else None
    parent = target.parent if target else None
    prefix = layout.checkpoints(thread.id, thread.namespace)
    while parent and len(seeds) < len(writes):
        key = layout.checkpoint(thread.id, thread.namespace, parent)
        (own,), page = yield (
            ops.GetKeys((key,)),
            ops.ScanKeys(prefix, before=key, limit=_PAGE, descending=True),
        )
        entries = [own, *page.entries] if own is not None else []
        known = {entry.key: Header.from_value(entry.value, serde) for entry in entries}
        chain: list[Header] = []
        while parent:
            ancestor = known.get(layout.checkpoint(thread.id, thread.namespace, parent))
            if ancestor is None:
                break
            chain.append(ancestor)
            parent = ancestor.parent
        if not chain:
            break
        yield from _collect(serde, chain, writes, seeds)
    return {
        channel: {"writes": found[::-1], **({"seed": seeds[channel]} if channel in seeds else {})}
        for channel, found in writes.items()
    }


def _collect(
    serde: SerializerProtocol,
    chain: Sequence[Header],
    writes: Mapping[str, list[PendingWrite]],
    seeds: dict[str, Any],
) -> Steps[None]:
    """Adds what these ancestors, nearest first, tell of channels; writes newest first."""
    keys = {key for header in chain for channel, key in header.blobs().items() if channel in writes}
    pages = yield (
        ops.GetKeys(tuple(keys)),
        *(
            ops.ScanKeys(layout.writes(header.thread.id, header.thread.namespace, header.id))
            for header in chain
        ),
    )
    values = {entry.key: entry.value for entry in pages[0] if entry is not None}
    for header, page in zip(chain, pages[1:], strict=True):
        start = layout.writes(header.thread.id, header.thread.namespace, header.id)
        entries = yield from steps.rest(start, page)
        wanted = [
            entry
            for entry in entries
            if (channel := cast("Json", entry.value).value["channel"]) in writes
            and channel not in seeds
        ]
        for write in reversed(pending_writes(wanted, serde)):
            writes[write[1]].append(write)
        stored = header.blobs()
        for channel in writes:
            value = values.get(stored.get(channel, ""))
            if channel not in seeds and isinstance(value, bytes) and value != EMPTY:
                seeds[channel] = from_blob(serde, value)


def _list_keys(prefix: str) -> Steps[list[str]]:
    keys: list[str] = []
    while True:
        (page,) = yield (ops.ListKeys(prefix, keys[-1] if keys else None),)
        keys += page.keys
        if not page.more:
            return keys
