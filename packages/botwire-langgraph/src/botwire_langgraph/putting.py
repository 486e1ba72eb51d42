"""Stores checkpoints and pending writes, and deletes threads.

Generators without I/O, as in `running`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    get_checkpoint_metadata,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from botwire import ConfigurationError, ConflictError, framing
from botwire import operations as ops
from botwire.arguments import check_mapping
from botwire.client.encoding import encode_pairs
from botwire.exact import Json
from botwire.list_parts import MARK, part_number
from botwire_langgraph import layout, leases, lists
from botwire_langgraph.errors import ConcurrentRunError, ThreadDeletedError
from botwire_langgraph.finding import ask_for_fences, ask_for_latest, fences_in, header_in
from botwire_langgraph.lists import KnownList
from botwire_langgraph.reading import asking, take
from botwire_langgraph.records import (
    Header,
    Thread,
    thread_id_of,
    write_value,
)
from botwire_langgraph.running import BatchProgram
from botwire_langgraph.serializer import to_blob
from botwire_langgraph.thread_cache import Fences, Late, ThreadCache, Tip

_BY_HAND = ("update", "fork")
_ATTEMPTS = 50  # of a put that competes with other valid ones

_FENCE_TTL = 30 * 86_400.0  # seconds; no run lasts longer


def put(
    serde: SerializerProtocol,
    seen: ThreadCache,
    config: RunnableConfig,
    checkpoint: Checkpoint,
    metadata: CheckpointMetadata,
    new_versions: ChannelVersions,
    *,
    fork: bool,
    loop: Any = None,
    wait: bool | None = None,
) -> BatchProgram[RunnableConfig]:
    """Stores a checkpoint and its new values, in one batch if this process has the parent cached.

    Args:
        serde: Serializes the values.
        seen: This process's cache.
        config: Selects the parent.
        checkpoint: The checkpoint to store.
        metadata: Its metadata.
        new_versions: The versions of the channels that changed.
        fork: Whether the parent may already have children. It always may if the run was told to
            start from that parent.
        loop: The loop of the run that stores it; None if no run does.
        wait: Whether a manual change waits for an active run to end; if not, it is refused. None
            if runs hold no leases.
    """
    thread = Thread.of(config)
    _check_put(checkpoint, metadata, new_versions)
    # The caller asked for a checkpoint that says it is a fork: by time travel, or to copy one.
    fork = fork or metadata.get("source") == "fork" or seen.is_addressed(thread, loop)
    merged = get_checkpoint_metadata(config, metadata)
    # A manual change in the middle of a run would become the latest and get the run refused.
    by_hand = loop is None and wait is not None and metadata.get("source") in _BY_HAND
    free = 0
    tip = seen.tip(thread) or Tip(None, Fences(), {})
    if tip.id != thread.checkpoint_id:
        tip = yield from _read_tip(
            serde, seen, thread, checkpoint, new_versions, fork=fork, loop=loop
        )
    for attempt in range(1, _ATTEMPTS + 1):
        header, kept, puts = _plan(serde, thread, tip, checkpoint, merged, new_versions)
        late = None if fork else Late.after(tip, header.id)
        try:
            head, *_ = yield (
                ops.PutKey(
                    layout.head(thread.id, thread.namespace),
                    head_value(thread, late),
                    if_version=None if fork else tip.fences.head,
                ),
                ops.CheckKey(layout.deleted(thread.id), tip.fences.deleted),
                ops.CheckKey(layout.pruned(thread.id), tip.fences.pruned),
                *([ops.CheckKey(layout.busy(thread.id), free)] if by_hand else []),
                *puts,
            )
        except ConflictError:
            if attempt == _ATTEMPTS:
                raise
            if by_hand:
                free = yield from leases.free(thread.id, wait=bool(wait))
            # A stale cache is no reason to refuse the put, if this is still the parent.
            tip = yield from _read_tip(
                serde, seen, thread, checkpoint, new_versions, fork=fork, loop=loop
            )
        else:
            seen.remember(thread, Tip(header, tip.fences._replace(head=head), kept, late))
            break
    return thread.config(header.id)


def _check_put(checkpoint: object, metadata: object, new_versions: object) -> None:
    missing = {"id", "channel_values", "channel_versions"} - check_mapping(
        checkpoint, "checkpoint"
    ).keys()
    if missing:
        raise ConfigurationError(f"checkpoint has no {min(missing)!r}")
    check_mapping(metadata, "metadata")
    check_mapping(new_versions, "new_versions")


def _plan(
    serde: SerializerProtocol,
    thread: Thread,
    tip: Tip,
    checkpoint: Checkpoint,
    metadata: CheckpointMetadata,
    new_versions: ChannelVersions,
) -> tuple[Header, dict[str, KnownList], list[ops.AnyOperation]]:
    """Returns the checkpoint's header, its lists to cache, and the operations that store it."""
    values = checkpoint["channel_values"]
    versions = checkpoint["channel_versions"]
    old = tip.header.checkpoint["channel_versions"] if tip.header else {}
    # What is known of a channel still holds if the channel did not change.
    kept = {
        channel: known
        for channel, known in tip.lists.items()
        if channel not in new_versions and versions.get(channel) == old.get(channel)
    }
    puts: list[ops.AnyOperation] = []
    for channel, version in new_versions.items():
        if channel in tip.lists:
            # It may no longer be a list, but the numbers of its parts are taken.
            kept[channel] = lists.NOTHING._replace(last=tip.lists[channel].last)
        if channel not in values:
            continue
        value, key = values[channel], layout.blob(thread.id, thread.namespace, channel, version)
        if not lists.is_shared(value):
            puts.append(ops.PutKey(key, to_blob(serde, value)))
            continue
        before = tip.lists.get(channel, lists.NOTHING)
        known, fresh = lists.divide(serde, value, before)
        if fresh:
            part = layout.part(thread.id, thread.namespace, channel, known.last)
            puts.append(ops.PutKey(part, framing.join(fresh), if_version=0))
        spans = json.dumps(known.spans(), separators=(",", ":"))
        puts.append(ops.PutKey(key, MARK + spans.encode()))
        if versions.get(channel) == version:
            kept[channel] = known
    bare = cast("Checkpoint", {k: v for k, v in checkpoint.items() if k != "channel_values"})
    header = Header(
        thread,
        checkpoint["id"],
        thread.checkpoint_id,
        bare,
        metadata,
        {channel: known.spans() for channel, known in kept.items() if known.positions},
        {channel: known.last for channel, known in kept.items()},
    )
    return header, kept, [*puts, ops.PutKey(header.key, header.to_value(serde))]


def _read_tip(
    serde: SerializerProtocol,
    seen: ThreadCache,
    thread: Thread,
    checkpoint: Checkpoint,
    new_versions: ChannelVersions,
    *,
    fork: bool,
    loop: Any,
) -> BatchProgram[Tip]:
    """Reads the parent of a put in two batches; raises if the put must be refused."""
    parents = [thread.checkpoint_id] if thread.checkpoint_id else []
    keys = tuple(layout.checkpoint(thread.id, thread.namespace, id) for id in parents)
    asked_first = (ask_for_fences(thread), ops.GetKeys(keys), ask_for_latest(thread))
    versions, found, page = yield asked_first
    fences, parent, late = fences_in(versions), header_in(found, serde), Late.of(versions[0])
    greatest = header_in(page, serde)
    latest = late.latest if late else greatest.id if greatest else None
    _check_deleted(seen, thread, fences, known=parent is not None, loop=loop)
    # Without a parent, only a run that read the thread and found nothing is behind.
    is_behind = latest not in (None, thread.checkpoint_id, checkpoint["id"])
    if is_behind and not fork and (thread.checkpoint_id or seen.at_start(thread, loop)):
        raise ConcurrentRunError(
            f"another run continued the thread {thread.id!r:.80} from the checkpoint that this "
            "one began with; nothing of this step was stored: run the turn again"
        )
    values = checkpoint["channel_values"]
    shared = [channel for channel in new_versions if lists.is_shared(values.get(channel))]
    if not shared:
        return Tip(parent, fences, {}, late)
    ends = [
        ops.ScanKeys(layout.parts(thread.id, thread.namespace, channel), limit=1, descending=True)
        for channel in shared
    ]
    asked = asking([parent], shared) if parent else []
    results = yield (*ends, *asked)
    known: dict[str, KnownList] = {}
    if parent:
        (loaded,) = yield from take([parent], shared, results[len(ends) :])
        known = loaded.channels(serde, shared)[1]
    for channel, end in zip(shared, results, strict=False):
        last = part_number(end.entries[0].key) if end.entries else 0
        known[channel] = known.get(channel, lists.NOTHING)._replace(last=last)
    return Tip(parent, fences, known, late)


def put_writes(
    serde: SerializerProtocol,
    seen: ThreadCache,
    config: RunnableConfig,
    writes: Sequence[tuple[str, Any]],
    task_id: str,
    task_path: str,
) -> BatchProgram[None]:
    """Stores pending writes, in one batch unless some already exist; those stay unchanged."""
    thread = Thread.of(config)
    puts = []
    pairs = encode_pairs(writes, "writes", "a channel and a value")
    for position, (channel, value) in enumerate(pairs):
        index = WRITES_IDX_MAP.get(channel, position)
        key = layout.write(thread.id, thread.namespace, thread.checkpoint_id or "", task_id, index)
        kept = write_value(serde, task_id, task_path, index, channel, value)
        # Special writes, such as an error, have a reserved index and replace each other.
        puts.append(ops.PutKey(key, kept, if_version=0 if index >= 0 else None))
    if not puts:
        return
    tip, start = seen.tip(thread), seen.at_start(thread)
    deleted = (start or (tip.fences if tip else Fences())).deleted
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            yield (ops.CheckKey(layout.deleted(thread.id), deleted), *puts)
        except ConflictError:
            if attempt == _ATTEMPTS:
                raise
        else:
            return
        own = layout.checkpoint(thread.id, thread.namespace, thread.checkpoint_id or "")
        versions, (checkpoint,), entries = yield (
            ask_for_fences(thread),
            ops.GetKeys((own,)),
            ops.GetKeys(tuple(put.key for put in puts)),
        )
        fences = fences_in(versions)
        _check_deleted(seen, thread, fences, known=checkpoint is not None)
        deleted = fences.deleted
        puts = [
            put
            for put, entry in zip(puts, entries, strict=True)
            if entry is None or put.if_version is None
        ]
        if not puts:
            return


def _check_deleted(
    seen: ThreadCache, thread: Thread, fences: Fences, *, known: bool, loop: Any = None
) -> None:
    """Raises if the checkpoint that a run continues from was deleted.

    Args:
        seen: This process's cache.
        thread: Selects the checkpoint.
        fences: The current fences.
        known: Whether the checkpoint exists.
        loop: The loop of the run; None if there is no run.
    """
    if thread.checkpoint_id is None or known:
        return
    if fences.deleted != (seen.at_start(thread, loop) or Fences()).deleted:
        raise ThreadDeletedError(f"the thread {thread.id!r:.80} was deleted during this run")


def delete_thread(thread_id: str) -> BatchProgram[None]:
    """Deletes a thread in one batch; a run that is still active cannot bring it back."""
    thread = thread_id_of(thread_id)
    yield (*layout.clear(thread), mark(layout.deleted(thread)))


def mark(key: str) -> ops.PutKey:
    """Returns the operation that tells the runs of a thread that it changed."""
    return ops.PutKey(key, Json.of(True), _FENCE_TTL)


def head_value(thread: Thread, late: Late | None = None) -> ops.Value:
    """Returns the value of the head of a thread's namespace."""
    kept = {"thread_id": thread.id, "checkpoint_ns": thread.namespace}
    return Json.of({**kept, **late._asdict()} if late else kept)
