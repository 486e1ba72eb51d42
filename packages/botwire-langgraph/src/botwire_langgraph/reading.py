"""Reads checkpoints with the values of their channels, usually in one batch.

Generators without I/O, as in `running`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import CheckpointTuple
from langgraph.checkpoint.serde.base import SerializerProtocol

from botwire import operations as ops
from botwire.garbage import collection_paused
from botwire.list_parts import MARK, Span, part_key, part_numbers
from botwire_langgraph import layout, lists
from botwire_langgraph.finding import ask_for, ask_for_fences, fences_in, header_in
from botwire_langgraph.leases import Lease
from botwire_langgraph.lists import KnownList
from botwire_langgraph.records import Header, Thread
from botwire_langgraph.running import BatchProgram
from botwire_langgraph.serializer import from_blob, is_known
from botwire_langgraph.thread_cache import Late, ThreadCache, Tip


class LoadedCheckpoint(NamedTuple):
    """A checkpoint with its stored values, still serialized.

    Attributes:
        header: The checkpoint.
        values: The values stored under the keys of its channels and their parts.
        writes: Its pending writes.
        known: The cached lists; only their unread parts were read.
    """

    header: Header
    values: Mapping[str, bytes]
    writes: Sequence[ops.KeyEntry]
    known: Mapping[str, KnownList] = MappingProxyType({})

    def spans(self, channel: str) -> Sequence[Span] | None:
        """Returns the spans of a channel's list; None if the channel is not stored in parts."""
        if channel in self.header.lists:
            return self.header.lists[channel]
        blob = self.values.get(self.header.blobs().get(channel, ""), b"")
        spans: list[Span] | None = None
        if blob.startswith(MARK):
            spans = json.loads(blob.removeprefix(MARK))
        return spans

    def list_of(
        self, channel: str, serde: SerializerProtocol
    ) -> tuple[list[Any], KnownList] | None:
        """Returns a channel's list and its state to cache; None if it is not stored in parts."""
        prefix = layout.parts(self.header.thread.id, self.header.thread.namespace, channel)
        known = self.known.get(channel)
        if known is not None:
            unread = {n: self.values[part_key(prefix, n)] for n in known.unread()}
            return lists.rejoin(serde, known, unread)
        spans = self.spans(channel)
        if spans is None:
            return None
        parts = {n: self.values[part_key(prefix, n)] for n in part_numbers(spans)}
        return lists.rebuild(serde, spans, parts)

    @collection_paused
    def channels(
        self, serde: SerializerProtocol, wanted: Collection[str] | None = None
    ) -> tuple[dict[str, Any], dict[str, KnownList]]:
        """Returns the values of the channels that have one, and the lists to cache."""
        values, kept = {}, {}
        for channel, key in self.header.blobs().items():
            if wanted is not None and channel not in wanted:
                continue
            found = self.list_of(channel, serde)
            if found is not None:
                values[channel], kept[channel] = found
            elif key in self.values:
                values[channel] = from_blob(serde, self.values[key])
        for channel, end in self.header.ends.items():
            known = kept.get(channel, lists.NOTHING)
            kept[channel] = known._replace(last=max(known.last, end))
        return values, kept

    def to_tuple(self, serde: SerializerProtocol) -> CheckpointTuple:
        """Returns the checkpoint as LangGraph expects it."""
        return self.header.to_tuple(self.channels(serde)[0], self.writes, serde)


def get_tuple(
    serde: SerializerProtocol,
    seen: ThreadCache,
    config: RunnableConfig,
    loop: Any = None,
    lease: Lease | None = None,
) -> BatchProgram[CheckpointTuple | None]:
    """Reads the checkpoint that a config selects, with its values; None if there is none.

    This takes one batch if this process has the checkpoint cached, else two: the checkpoint, then
    its values.

    Args:
        serde: Deserializes the values.
        seen: This process's cache.
        config: Selects the checkpoint.
        loop: The loop of the run that begins with this read; None if no run does.
        lease: The lease to take in the first batch; None takes none.
    """
    thread = Thread.of(config)
    tip = seen.tip(thread)
    guess = tip.header if tip and thread.checkpoint_id in (None, tip.id) else None
    known: dict[str, KnownList] = {}
    if tip and guess and is_known(serde):
        known = {
            channel: kept
            for channel, kept in tip.lists.items()
            if kept.revived and channel in guess.lists
        }
    while True:
        asked = asking([guess], None, known) if guess else []
        reads = (ask_for_fences(thread), ask_for(thread), *asked)
        if lease is None:
            versions, found, *results = yield reads
        else:
            versions, found, *results = yield from lease.take(reads)
            lease = None
        header = header_in(found, serde)
        fences, late = fences_in(versions), Late.of(versions[0])
        if thread.checkpoint_id is None and late and header and header.id != late.latest:
            own = layout.checkpoint(thread.id, thread.namespace, late.latest)
            header = header_in((yield (ops.GetKeys((own,)),))[0], serde) or header
        if header is None:
            break
        loaded: Sequence[LoadedCheckpoint] = ()
        if guess and guess.blobs() == header.blobs() and guess.lists == header.lists:
            loaded = yield from take([header], None, results, known)
        if not loaded:
            loaded = yield from load([header])
        if loaded:
            values, kept = loaded[0].channels(serde)
            if thread.checkpoint_id is None:
                seen.remember(thread, Tip(header, fences, kept, late))
            seen.begin(thread, header.id, fences, loop)
            return header.to_tuple(values, loaded[0].writes, serde)
        guess = None  # deleted between the batches: look up the latest again
    if thread.checkpoint_id is None:
        seen.remember(thread, Tip(None, fences, {}))
    seen.begin(thread, None, fences, loop)
    return None


def load_tuples(
    serde: SerializerProtocol, headers: Sequence[Header]
) -> BatchProgram[list[CheckpointTuple]]:
    """Returns checkpoints with their values and pending writes."""
    if not headers:
        return []
    loaded = yield from load(headers)
    return [one.to_tuple(serde) for one in loaded]


def load(
    headers: Sequence[Header], channels: Collection[str] | None = None
) -> BatchProgram[list[LoadedCheckpoint]]:
    """Reads the values and pending writes of checkpoints, except those deleted meanwhile.

    Args:
        headers: The checkpoints.
        channels: Only these; None reads all.
    """
    still = ops.GetKeys(tuple(header.key for header in headers))
    # Read last, because large reads are split: a checkpoint that still exists now existed before.
    *results, entries = yield (*asking(headers, channels), still)
    there = {entry.key for entry in entries if entry is not None}
    loaded = yield from take(headers, channels, results)
    return [one for one in loaded if one.header.key in there]


def asking(
    headers: Sequence[Header],
    channels: Collection[str] | None = None,
    known: Mapping[str, KnownList] = MappingProxyType({}),
) -> list[ops.AnyOperation]:
    """Returns the operations that read the contents of checkpoints; `take` takes the results.

    Args:
        headers: The checkpoints.
        channels: Only these; None reads all.
        known: Cached lists by channel; only their unread parts are read.
    """
    keys: dict[str, None] = {}
    needed: dict[str, set[int]] = {}
    for header in headers:
        for channel, key in header.blobs().items():
            if channels is not None and channel not in channels:
                continue
            if channel in known:
                _add(needed, header, channel, [[n, n] for n in known[channel].unread()])
            elif channel in header.lists:
                _add(needed, header, channel, header.lists[channel])
            else:
                keys[key] = None
    return [ops.GetKeys(tuple(keys)), *_scans(needed), *_write_scans(headers)]


def take(
    headers: Sequence[Header],
    channels: Collection[str] | None,
    results: Sequence[Any],
    known: Mapping[str, KnownList] = MappingProxyType({}),
) -> BatchProgram[list[LoadedCheckpoint]]:
    """Returns the checkpoints that the operations of `asking` read."""
    entries, *pages = results
    values = {entry.key: entry.value for entry in entries if entry is not None}
    scans = cast("list[ops.ScanKeys]", asking(headers, channels, known)[1 : -len(headers)])
    values.update((yield from _values(scans, pages[: -len(headers)])))
    loaded = []
    for header, scan, page in zip(
        headers, _write_scans(headers), pages[-len(headers) :], strict=True
    ):
        loaded.append(LoadedCheckpoint(header, values, (yield from rest(scan, page)), known))
    # Spans missing from the checkpoint are stored with their channel's value.
    needed: dict[str, set[int]] = {}
    for one in loaded:
        for channel in one.header.blobs():
            wanted = channels is None or channel in channels
            if wanted and channel not in one.header.lists:
                _add(needed, one.header, channel, one.spans(channel) or ())
    if needed:
        scans = _scans(needed)
        values.update((yield from _values(scans, (yield tuple(scans)))))
    return loaded


def rest(scan: ops.ScanKeys, page: ops.EntryPage) -> BatchProgram[list[ops.KeyEntry]]:
    """Returns the entries of the first page of a scan and of all further pages."""
    entries = list(page.entries)
    following = scan.following(page)
    while following is not None:
        (page,) = yield (following,)
        entries += page.entries
        following = following.following(page)
    return entries


def _add(needed: dict[str, set[int]], header: Header, channel: str, spans: Iterable[Span]) -> None:
    numbers = part_numbers(spans)
    if numbers:
        prefix = layout.parts(header.thread.id, header.thread.namespace, channel)
        needed.setdefault(prefix, set()).update(numbers)


def _scans(needed: Mapping[str, set[int]]) -> list[ops.ScanKeys]:
    """Returns scans of adjacent parts, each of at most `MAX_PAGE`."""
    scans = []
    for prefix, numbers in needed.items():
        ranges: list[list[int]] = []
        for number in sorted(numbers):
            if ranges and number == ranges[-1][1] + 1 < ranges[-1][0] + ops.MAX_PAGE:
                ranges[-1][1] = number
            else:
                ranges.append([number, number])
        scans += [
            ops.ScanKeys(prefix, part_key(prefix, first - 1), part_key(prefix, last + 1))
            for first, last in ranges
        ]
    return scans


def _write_scans(headers: Iterable[Header]) -> list[ops.ScanKeys]:
    return [
        ops.ScanKeys(layout.writes(header.thread.id, header.thread.namespace, header.id))
        for header in headers
    ]


def _values(
    scans: Iterable[ops.ScanKeys], pages: Iterable[ops.EntryPage]
) -> BatchProgram[dict[str, Any]]:
    """Returns the values by key of scans whose first pages are given."""
    values: dict[str, Any] = {}
    for scan, page in zip(scans, pages, strict=True):
        values.update((entry.key, entry.value) for entry in (yield from rest(scan, page)))
    return values
