"""What each method of a checkpointer asks of the store, without I/O.

Each function is a generator that yields operations, all to be applied in one batch, and is sent
their results. The saver runs it with a blocking client or an awaited one.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Sequence
from typing import Any, TypeVar

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_checkpoint_id,
    get_checkpoint_metadata,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from botwire import ConflictError
from botwire import operations as ops
from botwire.exact import Json
from botwire_langgraph import layout
from botwire_langgraph.records import EMPTY, Header, Thread, to_blob, write_value

T = TypeVar("T")

Steps = Generator[tuple[ops.Operation, ...], ops.Results, T]
"""Yields the operations of a batch, is sent their results, returns what the method returns."""

_PAGE = 100  # checkpoints read at a time, with their values


_TOMBSTONE_TTL = 30 * 86_400.0  # seconds; no run goes on for longer


class ThreadDeletedError(ConflictError):
    """A run wanted to go on in a thread that was deleted meanwhile; nothing was written."""


def get_tuple(serde: SerializerProtocol, config: RunnableConfig) -> Steps[CheckpointTuple | None]:
    """Two batches: the checkpoint, then its values and pending writes."""
    header = yield from find(serde, config)
    if header is None:
        return None
    (found,) = yield from load(serde, [header])
    return found


def find(serde: SerializerProtocol, config: RunnableConfig) -> Steps[Header | None]:
    """One batch: the checkpoint that a config means, without values."""
    thread = Thread.of(config)
    if thread.checkpoint_id is not None:
        key = layout.checkpoint(thread.id, thread.namespace, thread.checkpoint_id)
        ((entry,),) = yield (ops.GetKeys((key,)),)
    else:
        prefix = layout.checkpoints(thread.id, thread.namespace)
        (page,) = yield (ops.ScanKeys(prefix, limit=1, descending=True),)
        entry = page.entries[0] if page.entries else None
    return None if entry is None else Header.from_value(entry.value, serde)


def list_page(
    serde: SerializerProtocol,
    config: RunnableConfig | None,
    filter: dict[str, Any] | None,  # noqa: A002 - named by LangGraph
    before: RunnableConfig | None,
    last: str | None,
) -> Steps[tuple[list[Header], str | None]]:
    """Reads the next checkpoints, newest first, without values; and where the next page goes on."""
    configurable = (config or {}).get("configurable", {})
    thread = str(configurable["thread_id"]) if config is not None else None
    prefix = layout.checkpoints(thread, configurable.get("checkpoint_ns"))
    (page,) = yield (ops.ScanKeys(prefix, before=last, limit=_PAGE, descending=True),)
    headers = [Header.from_value(entry.value, serde) for entry in page.entries]
    wanted = get_checkpoint_id(config) if config else None
    bound = get_checkpoint_id(before) if before else None
    found = [
        header
        for header in headers
        if (not wanted or header.id == wanted)
        and (not bound or header.id < bound)
        and all(header.metadata.get(name) == value for name, value in (filter or {}).items())
    ]
    return found, page.entries[-1].key if page.more else None


def put(
    serde: SerializerProtocol,
    config: RunnableConfig,
    checkpoint: Checkpoint,
    metadata: CheckpointMetadata,
    new_versions: ChannelVersions,
) -> Steps[RunnableConfig]:
    """One batch: the checkpoint and the values that are new in it."""
    thread = Thread.of(config)
    values = checkpoint["channel_values"]
    blobs = [
        ops.PutKey(
            layout.blob(thread.id, thread.namespace, channel, version),
            to_blob(serde, values[channel]) if channel in values else EMPTY,
        )
        for channel, version in new_versions.items()
    ]
    header = Header(
        thread,
        checkpoint["id"],
        thread.checkpoint_id,
        checkpoint,
        get_checkpoint_metadata(config, metadata),
    )
    key = layout.checkpoint(thread.id, thread.namespace, header.id)
    yield from _put(thread, (*blobs, ops.PutKey(key, header.to_value(serde))))
    return thread.config(header.id)


def put_writes(
    serde: SerializerProtocol,
    config: RunnableConfig,
    writes: Sequence[tuple[str, Any]],
    task_id: str,
    task_path: str,
) -> Steps[None]:
    """One batch, unless some of the writes are there already: those stay as they are."""
    thread = Thread.of(config)
    puts = []
    for position, (channel, value) in enumerate(writes):
        index = WRITES_IDX_MAP.get(channel, position)
        key = layout.write(thread.id, thread.namespace, thread.checkpoint_id or "", task_id, index)
        kept = write_value(serde, task_id, task_path, index, channel, value)
        # Special writes, such as an error, have an index of their own and replace each other.
        puts.append(ops.PutKey(key, kept, if_version=0 if index >= 0 else None))
    if not puts:
        return
    try:
        yield from _put(thread, tuple(puts))
    except ThreadDeletedError:
        raise
    except ConflictError:
        (entries,) = yield (ops.GetKeys(tuple(put.key for put in puts)),)
        missing = [
            ops.PutKey(put.key, put.value)
            for put, entry in zip(puts, entries, strict=True)
            if entry is None or put.if_version is None
        ]
        if missing:
            yield from _put(thread, tuple(missing))


def delete_thread(thread_id: str) -> Steps[None]:
    """One batch; a run that is still going on cannot bring the thread back, see `_put`."""
    thread = str(thread_id)
    tombstone = ops.PutKey(layout.tombstone(thread), Json.of(True), _TOMBSTONE_TTL)
    yield (*layout.clear(thread), tombstone)


def _put(thread: Thread, puts: tuple[ops.PutKey, ...]) -> Steps[None]:
    """Puts what a run made, unless it goes on from a checkpoint of a thread deleted since.

    One batch, or three in a thread that was deleted before and began anew.
    """
    tombstone = layout.tombstone(thread.id)
    try:
        yield (ops.CheckKey(tombstone, 0), *puts)
    except ConflictError:
        parent = layout.checkpoint(thread.id, thread.namespace, thread.checkpoint_id or "")
        ((deleted, known),) = yield (ops.GetKeys((tombstone, parent)),)
        if deleted is None:
            raise
        if thread.checkpoint_id is not None and known is None:
            raise ThreadDeletedError(
                f"the thread {thread.id!r:.80} was deleted while this run was going on"
            ) from None
        yield (ops.CheckKey(tombstone, deleted.version), *puts)


def delete_for_runs(serde: SerializerProtocol, run_ids: Collection[str]) -> Steps[None]:
    """Deletes the checkpoints that these runs made, with their pending writes."""
    wanted = set(run_ids)
    last: str | None = None
    while True:
        headers, last = yield from list_page(serde, None, None, None, last)
        doomed = [header for header in headers if header.metadata.get("run_id") in wanted]
        if doomed:
            yield tuple(deletion(doomed))
        if last is None:
            return


def copy_thread(source: str, target: str) -> Steps[None]:
    """Copies everything of a thread; what the target had is replaced."""
    source, target = str(source), str(target)
    copies: list[ops.Operation] = []
    for clearing in layout.clear(source):
        assert isinstance(clearing, ops.ClearKeys)
        last: str | None = None
        while True:
            (page,) = yield (ops.ScanKeys(clearing.prefix, after=last, limit=_PAGE),)
            copies += [_copy(entry, target) for entry in page.entries]
            if not page.more:
                break
            last = page.entries[-1].key
    yield (*layout.clear(target), *copies)


def _copy(entry: ops.KeyEntry, target: str) -> ops.PutKey:
    value = entry.value
    if not isinstance(value, bytes) and entry.key.startswith(f"{layout.CHECKPOINTS}/"):
        value = Json.of({**value.value, "thread_id": target})
    return ops.PutKey(layout.moved(entry.key, target), value)


def deletion(headers: Sequence[Header]) -> Iterator[ops.Operation]:
    """Yields what deletes checkpoints and their pending writes."""
    for header in headers:
        thread = header.thread
        yield ops.DeleteKey(layout.checkpoint(thread.id, thread.namespace, header.id))
        yield ops.ClearKeys(layout.writes(thread.id, thread.namespace, header.id))


def load(serde: SerializerProtocol, headers: Sequence[Header]) -> Steps[list[CheckpointTuple]]:
    """Reads the values and pending writes of checkpoints, as a rule in one batch."""
    keys = tuple(dict.fromkeys(key for header in headers for key in header.blobs().values()))
    scans = [
        ops.ScanKeys(layout.writes(header.thread.id, header.thread.namespace, header.id))
        for header in headers
    ]
    entries, *pages = yield (ops.GetKeys(keys), *scans)
    values = {entry.key: entry.value for entry in entries if entry is not None}
    tuples = []
    for header, scan, page in zip(headers, scans, pages, strict=True):
        writes = yield from rest(scan.prefix, page)
        tuples.append(header.to_tuple(values, writes, serde))
    return tuples


def rest(prefix: str, page: ops.EntryPage) -> Steps[list[ops.KeyEntry]]:
    """Returns the entries of a page and all that follow."""
    entries = list(page.entries)
    while page.more:
        (page,) = yield (ops.ScanKeys(prefix, after=entries[-1].key),)
        entries += page.entries
    return entries
