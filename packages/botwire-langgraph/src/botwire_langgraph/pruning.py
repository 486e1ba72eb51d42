"""Prunes, copies and lists threads, and reads the writes of delta channels.

Generators without I/O, as in `running`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import PendingWrite
from langgraph.checkpoint.serde.base import SerializerProtocol

from botwire import ConfigurationError, ConflictError
from botwire import operations as ops
from botwire.client.encoding import encode_each, encode_list
from botwire.clock import to_datetime
from botwire.exact import Json
from botwire.list_parts import part_numbers
from botwire.names import check_prefix
from botwire_langgraph import finding, layout, putting
from botwire_langgraph.reading import load, rest
from botwire_langgraph.records import Header, Thread, pending_writes, thread_id_of
from botwire_langgraph.running import BatchProgram
from botwire_langgraph.thread_cache import Late

_PAGE = 100
_ATTEMPTS = 50
_BATCH_BYTES = 2_000_000  # servers limit the size of a request
_PART = 1_000  # and the number of its operations
_COUNTERS = "counters_since_delta_snapshot"


def prune(
    serde: SerializerProtocol, thread_ids: Iterable[str], strategy: str
) -> BatchProgram[None]:
    """Deletes all but the latest checkpoint of each namespace of threads, or whole threads."""
    if strategy not in ("keep_latest", "delete"):
        raise ConfigurationError(f"strategy must be keep_latest or delete, not {strategy!r:.80}")
    for thread_id in [thread_id_of(one) for one in encode_list(thread_ids, "thread_ids")]:
        if strategy == "delete":
            yield from putting.delete_thread(thread_id)
        else:
            yield from _keep(serde, thread_id, _keep_latest)


def delete_for_runs(serde: SerializerProtocol, run_ids: Collection[str]) -> BatchProgram[None]:
    """Deletes the checkpoints that these runs made, and the values that only they used."""
    wanted = set(map(str, encode_list(run_ids, "run_ids")))
    threads: dict[str, None] = {}
    last: str | None = None
    while True:
        headers, last = yield from finding.list_page(serde, None, None, None, last)
        threads.update(
            (header.thread.id, None)
            for header in headers
            if header.metadata.get("run_id") in wanted
        )
        if last is None:
            break

    def others(headers: Sequence[Header]) -> BatchProgram[list[Header]]:
        yield from ()
        return [header for header in headers if header.metadata.get("run_id") not in wanted]

    for thread in threads:
        yield from _keep(serde, thread, others)


def _keep(
    serde: SerializerProtocol,
    thread: str,
    choose: Callable[[Sequence[Header]], BatchProgram[list[Header]]],
) -> BatchProgram[None]:
    """Deletes the checkpoints of a thread that are not chosen, and values that only they use."""
    for attempt in range(1, _ATTEMPTS + 1):
        heads = yield from _entries(layout.of_thread(layout.HEADS, thread))
        values = yield from _list_keys(layout.of_thread(layout.BLOBS, thread))
        values += yield from _list_keys(layout.of_thread(layout.PARTS, thread))
        entries = yield from _entries(layout.checkpoints(thread, None))
        late = {found.latest for head in heads if (found := Late.of(head))}
        headers = [Header.from_value(entry.value, serde) for entry in reversed(entries)]
        headers.sort(key=lambda header: header.id not in late)  # late ones precede the newest
        kept = yield from choose(headers)
        used = yield from _used(kept)
        keys = {header.key for header in kept}
        deletions: list[ops.AnyOperation] = []
        for header in headers:
            if header.key not in keys:
                writes = layout.writes(thread, header.thread.namespace, header.id)
                deletions += [ops.DeleteKey(header.key), ops.ClearKeys(writes)]
        # Values go last: if this ends halfway, no checkpoint lacks its values.
        deletions += [ops.DeleteKey(key) for key in values if key not in used]
        if not deletions:
            return
        left = {header.thread.namespace for header in kept}
        ids = {header.id for header in kept}
        changes: list[ops.DeleteKey | ops.PutKey] = []
        for head in heads:
            namespace = cast("Json", head.value).value["checkpoint_ns"]
            if namespace not in left:
                changes.append(ops.DeleteKey(head.key))
            elif (found := Late.of(head)) and found.latest not in ids:
                plain = putting.head_value(Thread(thread, namespace, None))
                changes.append(ops.PutKey(head.key, plain))
        versions = {head.key: head.version for head in heads}
        try:
            for start in range(0, len(deletions), _PART):
                results = yield (
                    # A checkpoint added meanwhile may use the values deleted here.
                    *(ops.CheckKey(key, version) for key, version in versions.items()),
                    putting.mark(layout.pruned(thread)),
                    *changes,
                    *deletions[start : start + _PART],
                )
                for change, result in zip(changes, results[len(versions) + 1 :], strict=False):
                    versions[change.key] = result if isinstance(change, ops.PutKey) else 0
                changes = []
        except ConflictError:
            if attempt == _ATTEMPTS:
                raise
        else:
            return


def _used(headers: Sequence[Header]) -> BatchProgram[set[str]]:
    """Returns the keys of the values and parts that checkpoints use."""
    used = {key for header in headers for key in header.blobs().values()}
    for start in range(0, len(headers), _PAGE):
        for one in (yield from load(headers[start : start + _PAGE])):
            for channel in one.header.blobs():
                numbers = part_numbers(one.spans(channel) or ())
                used |= {one.header.part(channel, number) for number in numbers}
    return used


def _keep_latest(headers: Sequence[Header]) -> BatchProgram[list[Header]]:
    kept: dict[str, Header] = {}
    # They come newest first, so the dict keeps the latest of each namespace.
    for latest in {header.thread.namespace: header for header in reversed(headers)}.values():
        chain = yield from _needed(latest, headers)
        kept.update({header.key: header for header in chain})
    return list(kept.values())


def copy_thread(source: str, target: str) -> BatchProgram[None]:
    """Replaces a thread with a copy of another, including its whole past.

    A long thread takes several batches. They write checkpoints last, so the target appears empty
    until then.
    """
    source, target = thread_id_of(source), thread_id_of(target)
    batch: list[ops.AnyOperation] = [*layout.clear(target), putting.mark(layout.pruned(target))]
    size = 0
    # Writes the parts of lists before the checkpoints that use them.
    for kind in reversed(layout.KINDS):
        prefix = layout.of_thread(kind, source)
        following: ops.ScanKeys | None = ops.ScanKeys(prefix, limit=_PAGE)
        while following is not None:
            (page,) = yield (following,)
            for entry in page.entries:
                size += len(_bytes(entry.value))
                batch.append(_copy(entry, target))
                if size > _BATCH_BYTES or len(batch) >= _PART:
                    yield tuple(batch)
                    batch, size = [], 0
            following = following.following(page)
    if batch:
        yield tuple(batch)


def _bytes(value: ops.Value) -> bytes:
    return value if isinstance(value, bytes) else value.text.encode()


def _copy(entry: ops.KeyEntry, target: str) -> ops.PutKey:
    value = entry.value
    if entry.key.startswith((f"{layout.CHECKPOINTS}/", f"{layout.HEADS}/")):
        value = Json.of({**cast("Json", value).value, "thread_id": target})
    return ops.PutKey(layout.moved(entry.key, target), value)


def _needed(latest: Header, headers: Sequence[Header]) -> BatchProgram[list[Header]]:
    """Returns a checkpoint and the ancestors needed to rebuild its delta channels."""
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
    full = {entry.key for entry in entries if entry is not None}
    while True:
        stored = chain[-1].blobs()
        delta = {channel for channel in delta if stored.get(channel) not in full}
        parent = known.get(chain[-1].parent or "")
        if not delta or parent is None:
            return chain
        chain.append(parent)


class ThreadInfo(NamedTuple):
    """A thread in a listing.

    Attributes:
        thread_id: Its id.
        created_at: When its first checkpoint was put.
        updated_at: When its last checkpoint was put, in any namespace.
    """

    thread_id: str
    created_at: datetime
    updated_at: datetime


def threads(prefix: str) -> BatchProgram[list[ThreadInfo]]:
    """Returns the threads that hold checkpoints, by id."""
    check_prefix(prefix)
    found: dict[str, ThreadInfo] = {}
    # Long thread ids are stored as hashes, whatever the prefix is.
    for start in layout.thread_prefixes(prefix):
        for entry in (yield from _entries(start)):
            thread = cast("Json", entry.value).value["thread_id"]
            info = ThreadInfo(thread, to_datetime(entry.created_at), to_datetime(entry.updated_at))
            other = found.get(thread, info)
            found[thread] = ThreadInfo(
                thread,
                min(info.created_at, other.created_at),
                max(info.updated_at, other.updated_at),
            )
    return [found[thread] for thread in sorted(found) if thread.startswith(prefix)]


def delta_history(
    serde: SerializerProtocol, config: RunnableConfig, channels: Sequence[str]
) -> BatchProgram[dict[str, Any]]:
    """Returns the writes of channels since their last stored value, in two requests per page.

    It follows the chain of parents, so a fork sees only its own past.
    """
    channels = encode_each(channels, str, "channels")
    writes: dict[str, list[PendingWrite]] = {channel: [] for channel in channels}
    seeds: dict[str, Any] = {}
    thread = Thread.of(config)
    target = (yield from finding.find(serde, config)) if channels else None
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
) -> BatchProgram[None]:
    """Adds the writes and stored values of channels in these ancestors, nearest first."""
    for one in (yield from load(chain, writes.keys())):
        wanted = [
            entry
            for entry in one.writes
            if (channel := cast("Json", entry.value).value["channel"]) in writes
            and channel not in seeds
        ]
        for write in reversed(pending_writes(wanted, serde)):
            writes[write[1]].append(write)
        values, _ = one.channels(serde, writes.keys() - seeds.keys())
        seeds.update(values)


def list_checkpoints(thread: str) -> BatchProgram[set[str]]:
    """Returns the keys of a thread's checkpoints."""
    return set((yield from _list_keys(layout.checkpoints(thread_id_of(thread), None))))


def _entries(prefix: str) -> BatchProgram[list[ops.KeyEntry]]:
    scan = ops.ScanKeys(prefix, limit=_PAGE)
    (page,) = yield (scan,)
    return (yield from rest(scan, page))


def _list_keys(prefix: str) -> BatchProgram[list[str]]:
    keys: list[str] = []
    following: ops.ListKeys | None = ops.ListKeys(prefix)
    while following is not None:
        (page,) = yield (following,)
        keys += page.keys
        following = following.following(page)
    return keys
