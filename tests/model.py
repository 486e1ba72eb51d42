"""A plain model of BotWire: dictionaries and lists, one process, no disk.

The random tests apply the same batches here and to every engine, and compare every answer. Nothing
here is fast, and nothing is shared with the engines but the operations themselves and the
predicates on metadata, which have tests of their own.
"""

from __future__ import annotations

import copy
import json
import math
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from botwire import filters, scopes
from botwire import operations as ops
from botwire.clock import Clock
from botwire.engines.sql import languages, words
from botwire.errors import ConflictError, InvalidRequestError, NotFoundError
from botwire.exact import Json
from botwire.operations.terms import Usage
from botwire.vectors import Vector


@dataclass
class _History:
    items: list[ops.HistoryItem] = field(default_factory=list)
    last_seq: int = 0
    archived_seq: int = 0
    created_at: int = 0
    updated_at: int = 0
    metadata: Json = ops.NO_METADATA
    metadata_version: int = 0
    expires_at: int | None = None

    @property
    def exists(self) -> bool:
        return bool(self.items or self.metadata.value)

    def is_expired(self, now: int) -> bool:
        return self.expires_at is not None and self.expires_at <= now


@dataclass
class _Collection:
    records: dict[str, ops.RecordEntry] = field(default_factory=dict)
    dimension: int | None = None


class _Past(list["_Namespace"]):
    """The state of a namespace after each batch, in order; never modified."""

    def __deepcopy__(self, memo: object) -> _Past:
        return _Past(self)


@dataclass
class _Namespace:
    """The contents of a namespace.

    Attributes:
        revision: How many changes were made; a version is the revision of its write.
        committed: The same without those of the batch that is being applied.
        usage: What it uses, without what the batch that is being applied changes.
        now: The time of the batch that is being applied.
        author: Who applies it.
        stored: The keys, those that have expired too.
        has_dead: Whether items of expired histories, or expired records, may wait for the sweep.
        has_dead_records: Whether expired records may; the scores of texts still count them.
        has_forks: Whether histories share items, which count once and as long as any reads them.
        keep: For how many seconds the past is kept; None if it is not.
        since: The first revision that is kept, and `began`, its time.
        kept_past: Whether any past was ever kept, whose bytes count until they are swept.
        past: What was after each batch.
        versions: Each key's entries since the past is kept, those that one batch replaced too.
    """

    revision: int = 0
    committed: int = 0
    usage: Usage = field(default_factory=lambda: Usage(0, 0, 0))
    now: int = 0
    author: ops.Author | None = None
    stored: dict[str, ops.KeyEntry] = field(default_factory=dict)
    histories: dict[str, _History] = field(default_factory=dict)
    has_dead: bool = False
    has_dead_records: bool = False
    has_forks: bool = False
    collections: dict[str, _Collection] = field(default_factory=dict)
    changes: list[ops.ChangeEntry] = field(default_factory=list)
    keep: float | None = None
    since: int = 0
    began: int = 0
    kept_past: bool = False
    past: _Past = field(default_factory=_Past)
    versions: dict[str, dict[int, ops.KeyEntry]] = field(default_factory=dict)

    @property
    def keys(self) -> dict[str, ops.KeyEntry]:
        """The keys that have not expired."""
        return {key: entry for key, entry in self.stored.items() if not self._is_expired(entry)}

    def _is_expired(self, entry: ops.KeyEntry | ops.RecordEntry) -> bool:
        return entry.expires_at is not None and entry.expires_at <= self.now

    def forget_expired_records(self) -> None:
        for collection in self.collections.values():
            records = collection.records
            for id in [id for id, record in records.items() if self._is_expired(record)]:
                del records[id]
                self.has_dead = self.has_dead_records = True
                if not records:
                    collection.dimension = None

    def change(self, shape: str, action: str, name: str) -> int:
        self.revision += 1
        changed_at = None if self.keep is None else self.now
        self.changes.append(
            ops.ChangeEntry(self.revision, shape, action, name, self.author, changed_at)
        )
        return self.revision

    def at(self, moment: ops.Moment) -> _Namespace:
        """Returns the namespace as of a moment, seen at that moment."""
        if self.keep is None:
            raise InvalidRequestError("no past is kept")
        if moment.revision is not None:
            if moment.revision > self.revision:
                raise InvalidRequestError("in the future")
            if moment.revision < self.since:
                raise NotFoundError("before what is kept")
            then = max(
                (one for one in self.past if one.revision <= moment.revision),
                key=lambda one: one.revision,
            )
            time = max(self.began, then.now)
        else:
            assert moment.time is not None
            if moment.time < self.began:
                raise NotFoundError("before what is kept")
            then = [one for one in self.past if one.now <= moment.time][-1]
            time = min(moment.time, self.now)
        seen = copy.deepcopy(then)
        seen.now = time
        seen.forget_expired_records()
        return seen


class Model:
    """An engine on plain values that searches by formula.

    Args:
        clock: Returns the present time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._namespaces: dict[str, _Namespace] = {}

    def apply(self, batch: ops.Batch) -> ops.Results:
        """Applies a batch; one that fails leaves everything as it was."""
        before = self._namespaces.setdefault(batch.namespace, _Namespace())
        after = copy.deepcopy(before)
        after.now = self._clock()
        after.author = batch.author or None
        after.forget_expired_records()
        if batch.at is not None:
            seen = after.at(batch.at)
            return [_HANDLERS[type(one)](seen, one) for one in batch.operations]
        usage = after.usage.on(after.now)
        results: list[Any] = []
        writes = 0
        for operation in batch.operations:
            revision = after.revision
            results.append(_HANDLERS[type(operation)](after, operation))
            writes += after.revision > revision and not operation.removes
        if after.revision > after.committed:
            after.usage = Usage(0, usage.writes + writes, usage.day)
        # Clearing removes expired keys too, which is no change.
        after.usage = after.usage._replace(bytes=_bytes(after))
        if after.keep is not None and (after.revision > after.committed or not after.past):
            after.past.append(copy.deepcopy(after))
        after.committed = after.revision
        self._namespaces[batch.namespace] = after
        return results

    def is_swept(self, namespace: str) -> bool:
        """Returns whether all engines count the same bytes now, because nothing expired is left."""
        space = self._namespaces.get(namespace, _Namespace())
        space.now = self._clock()
        expired = [one for one in space.histories.values() if one.is_expired(space.now)]
        space.forget_expired_records()
        hidden = expired or space.has_dead or space.has_forks or space.kept_past
        return len(space.keys) == len(space.stored) and not hidden

    def scores_texts(self, namespace: str) -> bool:
        """Returns whether all engines score texts alike now, because no expired record is left."""
        space = self._namespaces.get(namespace, _Namespace())
        space.now = self._clock()
        space.forget_expired_records()
        return not space.has_dead_records

    def revisions(self, namespace: str) -> list[tuple[int, int]]:
        """Returns the revisions after each batch since the past is kept, and their times."""
        space = self._namespaces.get(namespace, _Namespace())
        return [(one.revision, one.now) for one in space.past]


def _page(found: Iterable[Any], limit: int) -> tuple[tuple[Any, ...], bool]:
    everything = tuple(found)
    return everything[:limit], len(everything) > limit


# --- keys -----------------------------------------------------------------------------------


def _expect(space: _Namespace, key: str, version: int | None) -> None:
    current = space.keys[key].version if key in space.keys else 0
    if version is not None and version != current:
        raise ConflictError(f"version {current}")


def _put_key(space: _Namespace, op: ops.PutKey) -> int:
    _expect(space, op.key, op.if_version)
    expires_at = None if op.ttl is None else space.now + max(1, round(op.ttl * 1_000_000))
    return _put(space, op.key, op.value, expires_at)


def _put(space: _Namespace, key: str, value: ops.Value, expires_at: int | None) -> int:
    version = space.change("key", "put", key)
    old = space.keys.get(key)
    created_at = old.created_at if old else space.now
    times = created_at, space.now, expires_at
    entry = space.stored[key] = ops.KeyEntry(key, value, version, *times, space.author)
    space.versions.setdefault(key, {})[version] = entry
    return version


def _get_keys(space: _Namespace, op: ops.GetKeys) -> Any:
    return tuple(space.keys.get(key) for key in op.keys)


def _selected_keys(space: _Namespace, prefix: str) -> list[str]:
    return sorted(key for key in space.keys if key.startswith(prefix))


def _list_keys(space: _Namespace, op: ops.ListKeys) -> ops.KeyPage:
    keys = _selected_keys(space, op.prefix)
    return ops.KeyPage(*_page((k for k in keys if op.after is None or k > op.after), op.limit))


def _list_key_stats(space: _Namespace, op: ops.ListKeyStats) -> ops.KeyStatPage:
    names = [key for key in _selected_keys(space, op.prefix) if op.after is None or key > op.after]
    return ops.KeyStatPage(*_page((_key_stat(space.keys[key]) for key in names), op.limit))


def _key_stat(entry: ops.KeyEntry) -> ops.KeyStat:
    binary = isinstance(entry.value, bytes)
    stored = entry.value if isinstance(entry.value, bytes) else entry.value.text
    return ops.KeyStat(entry.key, len(stored), binary, *entry[2:])


def _scan_keys(space: _Namespace, op: ops.ScanKeys) -> ops.EntryPage:
    keys = [
        key
        for key in _selected_keys(space, op.prefix)
        if (op.after is None or key > op.after) and (op.before is None or key < op.before)
    ]
    if op.descending:
        keys.reverse()
    return ops.EntryPage(*_page((space.keys[key] for key in keys), op.limit))


def _count_keys(space: _Namespace, op: ops.CountKeys) -> int:
    return len(_selected_keys(space, op.prefix))


def _delete_key(space: _Namespace, op: ops.DeleteKey) -> bool:
    _expect(space, op.key, op.if_version)
    if op.key not in space.keys:
        return False
    del space.stored[op.key]
    space.change("key", "delete", op.key)
    return True


def _clear_keys(space: _Namespace, op: ops.ClearKeys) -> int:
    keys = _selected_keys(space, op.prefix)[: op.limit]
    for key in keys:
        del space.stored[key]
    if op.limit is None:
        # Expired ones are removed too, but not counted.
        for key in [key for key in space.stored if key.startswith(op.prefix)]:
            del space.stored[key]
    if keys:
        space.change("key", "clear", op.prefix)
    return len(keys)


def _increment_key(space: _Namespace, op: ops.IncrementKey) -> int:
    old = space.keys.get(op.key)
    start: Any = 0
    if old is not None:
        start = old.value.value if isinstance(old.value, Json) else old.value
        if isinstance(start, bool) or not isinstance(start, int):
            raise InvalidRequestError("not an int")
    total = int(start) + op.by
    _put(space, op.key, Json.of(total), None if old is None else old.expires_at)
    return total


def _check_key(space: _Namespace, op: ops.CheckKey) -> None:
    _expect(space, op.key, op.version)


# --- histories ------------------------------------------------------------------------------


def _seen(space: _Namespace, name: str) -> _History:
    """Returns a history as readers see it: one that expired is empty."""
    history = space.histories.get(name, _History())
    return _buried(history) if history.is_expired(space.now) else history


def _buried(history: _History) -> _History:
    return _History(
        last_seq=history.last_seq,
        archived_seq=history.last_seq,
        created_at=history.created_at,
        updated_at=history.updated_at,
    )


def _entered(space: _Namespace, name: str) -> _History:
    """Returns a history to change, created if there is none."""
    history = space.histories.setdefault(name, _History())
    if history.is_expired(space.now):
        space.has_dead |= bool(history.items)
        history = space.histories[name] = _buried(history)
    return history


def _touch(space: _Namespace, history: _History, ttl: float | None = None) -> None:
    history.updated_at = space.now
    history.created_at = history.created_at or space.now
    if ttl is not None:
        history.expires_at = space.now + max(1, round(ttl * 1_000_000))


def _append(
    space: _Namespace, name: str, values: Iterable[tuple[Json, str | None]], ttl: float | None
) -> tuple[int, ...]:
    history = _entered(space, name)
    _touch(space, history, ttl)
    version = space.change("history", "append", name)
    seqs = []
    for value, id in values:
        history.last_seq += 1
        seqs.append(history.last_seq)
        item = ops.HistoryItem(history.last_seq, id, value, space.now, version, space.author)
        history.items.append(item)
    return tuple(seqs)


def _expect_last(space: _Namespace, name: str, if_last: int | None) -> None:
    last = space.histories[name].last_seq if name in space.histories else 0
    if if_last is not None and if_last != last:
        raise ConflictError(f"ends at {last}")


def _extend_history(space: _Namespace, op: ops.ExtendHistory) -> tuple[int, ...]:
    ids = op.ids or (None,) * len(op.values)
    history = _seen(space, op.name)
    known = {item.id: item.seq for item in history.items if item.id is not None}
    new = [(value, id) for value, id in zip(op.values, ids, strict=True) if id not in known]
    if new or not op.values:
        _expect_last(space, op.name, op.if_last)
    seqs = iter(_append(space, op.name, new, op.ttl) if new else ())
    return tuple(known[id] if id is not None and id in known else next(seqs) for id in ids)


def _replace_history(space: _Namespace, op: ops.ReplaceHistory) -> tuple[int, ...]:
    _expect_last(space, op.name, op.if_last)
    history = _entered(space, op.name)
    if history.items:
        history.items = []
        _touch(space, history)
        space.change("history", "clear", op.name)
    if not op.values:
        return ()
    ids = op.ids or (None,) * len(op.values)
    return _append(space, op.name, zip(op.values, ids, strict=True), op.ttl)


def _update_item(space: _Namespace, op: ops.UpdateItem) -> int:
    history = _entered(space, op.name)
    found = [
        i
        for i, item in enumerate(history.items)
        if item.seq == op.seq or (op.id is not None and item.id == op.id)
    ]
    if not found:
        raise NotFoundError("no such item")
    (i,) = found
    item = history.items[i]
    if op.if_version not in (None, item.version):
        raise ConflictError(f"version {item.version}")
    version = space.change("history", "update", op.name)
    history.items[i] = item._replace(value=op.value, version=version, author=space.author)
    _touch(space, history, op.ttl)
    return version


def _set_history_metadata(space: _Namespace, op: ops.SetHistoryMetadata) -> int:
    history = _entered(space, op.name)
    if op.if_version not in (None, history.metadata_version):
        raise ConflictError(f"version {history.metadata_version}")
    version = space.change("history", "metadata", op.name)
    history.metadata = op.metadata
    history.metadata_version = version if op.metadata.value else 0
    _touch(space, history)
    return version


def _fork_history(space: _Namespace, op: ops.ForkHistory) -> int:
    source, target = _entered(space, op.name), _entered(space, op.to)
    if target.last_seq or target.exists:
        raise ConflictError("not new")
    if not source.exists:
        raise NotFoundError("no such history")
    up_to = source.last_seq if op.up_to is None else min(op.up_to, source.last_seq)
    space.change("history", "fork", op.to)
    space.has_forks = True
    target.items = [item for item in source.items if item.seq <= up_to]
    target.last_seq, target.archived_seq = up_to, min(source.archived_seq, up_to)
    _touch(space, target)
    return len(target.items)


def _expire_history(space: _Namespace, op: ops.ExpireHistory) -> bool:
    history = _entered(space, op.name)
    if not history.exists:
        return False
    space.change("history", "expire", op.name)
    history.expires_at = None
    _touch(space, history, op.ttl)
    return True


def _read_history(space: _Namespace, op: ops.ReadHistory) -> ops.ItemPage:
    history = _seen(space, op.name)
    items = [
        item
        for item in history.items
        if (op.archived or item.seq > history.archived_seq)
        and item.seq > op.after
        and (op.before is None or item.seq < op.before)
    ]
    if op.newest_first:
        items.reverse()
    return ops.ItemPage(*_page(items, op.limit))


def _stat(space: _Namespace, name: str) -> ops.HistoryStat:
    history = _seen(space, name)
    archived = sum(item.seq <= history.archived_seq for item in history.items)
    size = len(history.items) - archived
    times = history.created_at, history.updated_at
    about = history.metadata, history.metadata_version, history.expires_at
    return ops.HistoryStat(name, size, archived, history.last_seq, *times, *about)


def _stat_history(space: _Namespace, op: ops.StatHistory) -> ops.HistoryStat:
    return _stat(space, op.name)


def _delete_items(space: _Namespace, op: ops.DeleteItems) -> int:
    history = _entered(space, op.name)
    kept = [item for item in history.items if item.seq not in op.seqs]
    count = len(history.items) - len(kept)
    if count:
        history.items = kept
        history.updated_at = space.now
        space.change("history", "delete", op.name)
    return count


def _pop_item(space: _Namespace, op: ops.PopItem) -> ops.HistoryItem | None:
    newest = _read_history(space, ops.ReadHistory(op.name, limit=1, newest_first=True)).items
    if not newest:
        return None
    item: ops.HistoryItem = newest[0]
    _delete_items(space, ops.DeleteItems(op.name, (item.seq,)))
    return item


def _archive_history(space: _Namespace, op: ops.ArchiveHistory) -> int:
    history = _entered(space, op.name)
    up_to = min(op.up_to, history.last_seq)
    if up_to <= history.archived_seq:
        return 0
    count = sum(history.archived_seq < item.seq <= up_to for item in history.items)
    history.archived_seq = up_to
    history.updated_at = space.now
    space.change("history", "archive", op.name)
    return count


def _clear_history(space: _Namespace, op: ops.ClearHistory) -> int:
    history = _entered(space, op.name)
    count = len(history.items[: op.limit])
    if history.exists:
        if count < len(history.items):
            history.archived_seq = history.last_seq
        else:
            history.metadata, history.metadata_version = ops.NO_METADATA, 0
            history.expires_at = None
        history.items = history.items[count:]
        history.updated_at = space.now
        space.change("history", "clear", op.name)
    return count


def _list_histories(space: _Namespace, op: ops.ListHistories) -> ops.HistoryPage:
    by_time = op.order == "updated"
    found = [_stat(space, name) for name in space.histories if _seen(space, name).exists]

    def place(stat: ops.HistoryStat) -> tuple[int, str]:
        return (stat.updated_at if by_time else 0, stat.name)

    found.sort(key=place, reverse=op.descending)
    if op.after is not None:
        start = (op.after_time or 0, op.after)
        found = [
            stat
            for stat in found
            if (place(stat) < start if op.descending else place(stat) > start)
        ]
    found = [stat for stat in found if stat.name.startswith(op.prefix)]
    if op.where is not None:
        test = filters.read_filter(op.where)
        found = [stat for stat in found if test(stat.metadata.value)]
    return ops.HistoryPage(*_page(found, op.limit))


# --- records --------------------------------------------------------------------------------


def _collection(space: _Namespace, name: str) -> _Collection:
    return space.collections.setdefault(name, _Collection())


def _check_dimension(collection: _Collection, vector: Vector | None) -> None:
    if None not in (vector, collection.dimension) and vector.dimension != collection.dimension:
        raise InvalidRequestError(f"dimension {collection.dimension}")


def _put_records(space: _Namespace, op: ops.PutRecords) -> tuple[int, ...]:
    if not op.records:
        return ()
    collection = _collection(space, op.collection)
    for record in op.records:
        _check_dimension(collection, record.embedding)
        if record.embedding is not None:
            collection.dimension = record.embedding.dimension
    entries = collection.records
    for record in op.records:
        old = entries.get(record.id)
        if record.if_version not in (None, old.version if old else 0):
            raise ConflictError("version")
    revision = space.change("record", "put", op.collection)
    for record in op.records:
        old = entries.get(record.id)
        kept = old.embedding if old and op.keep_embedding else None
        created_at = old.created_at if old else space.now
        entries[record.id] = ops.RecordEntry(
            record.id,
            record.text,
            record.metadata,
            tuple(dict.fromkeys(record.tags)),
            record.scope,
            record.embedding or kept,
            revision,
            created_at if record.created_at is None else record.created_at,
            space.now,
            None if record.ttl is None else space.now + max(1, round(record.ttl * 1_000_000)),
            space.author,
        )
    return (revision,) * len(op.records)


def _patch_records(space: _Namespace, op: ops.PatchRecords) -> int:
    entries = _collection(space, op.collection).records
    found = [id for id in dict.fromkeys(op.ids) if id in entries]
    if found:
        revision = space.change("record", "put", op.collection)
        for id in found:
            metadata = Json.of({**entries[id].metadata.value, **op.metadata.value})
            expires_at = entries[id].expires_at
            if op.ttl is not None and expires_at is not None:
                expires_at = space.now + max(1, round(op.ttl * 1_000_000))
            entries[id] = entries[id]._replace(
                metadata=metadata,
                version=revision,
                updated_at=space.now,
                expires_at=expires_at,
                author=space.author,
            )
    return len(found)


def _without(entry: ops.RecordEntry, *, embeddings: bool) -> ops.RecordEntry:
    return entry if embeddings else entry._replace(embedding=None)


def _get_records(space: _Namespace, op: ops.GetRecords) -> Any:
    entries = _collection(space, op.collection).records
    return tuple(
        _without(entries[id], embeddings=op.embeddings) if id in entries else None for id in op.ids
    )


def _selected(space: _Namespace, collection: str, where: ops.Selection) -> list[ops.RecordEntry]:
    condition = None if where.filter is None else filters.compile_filter(where.filter.value)
    found = [
        entry
        for entry in _collection(space, collection).records.values()
        if (where.ids is None or entry.id in where.ids)
        and scopes.contains(where.scope, entry.scope)
        and (where.tags is None or not set(where.tags).isdisjoint(entry.tags))
        and (condition is None or condition(entry.metadata.value))
        and (where.created_after is None or entry.created_at > where.created_after)
        and (where.created_before is None or entry.created_at < where.created_before)
    ]
    return sorted(found, key=lambda entry: (-entry.created_at, entry.id))


def _delete_records(space: _Namespace, op: ops.DeleteRecords) -> int:
    collection = _collection(space, op.collection)
    chosen = _selected(space, op.collection, op.where)[: op.limit]
    for entry in chosen:
        del collection.records[entry.id]
    if not collection.records:
        collection.dimension = None
    if chosen:
        space.change("record", "clear" if op.all else "delete", op.collection)
    return len(chosen)


def _list_records(space: _Namespace, op: ops.ListRecords) -> ops.RecordPage:
    chosen = _selected(space, op.collection, op.where)[op.offset :]
    found = (_without(entry, embeddings=op.embeddings) for entry in chosen)
    return ops.RecordPage(*_page(found, op.limit))


def _stat_records(space: _Namespace, op: ops.StatRecords) -> ops.RecordStat:
    times = [entry.created_at for entry in _selected(space, op.collection, op.where)]
    dimension = _collection(space, op.collection).dimension
    if not times:
        return ops.RecordStat(0, None, None, dimension)
    return ops.RecordStat(len(times), min(times), max(times), dimension)


def _similarity(one: bytes, other: bytes, metric: str) -> float:
    a, b = (struct.unpack(f"<{len(raw) // 4}f", raw) for raw in (one, other))
    if metric == "l2":
        return 1 / (1 + math.fsum((x - y) ** 2 for x, y in zip(a, b, strict=True)))
    lengths = math.sqrt(math.fsum(x * x for x in a)) * math.sqrt(math.fsum(y * y for y in b))
    dot = math.fsum(x * y for x, y in zip(a, b, strict=True))
    return max(-1.0, min(1.0, dot / lengths)) if lengths else 0.0


def _text_sums(entries: Iterable[ops.RecordEntry], text: str) -> dict[str, float]:
    counts = {entry.id: words.count(entry.text) for entry in entries}
    if not counts:
        return {}
    average = sum(count.total() for count in counts.values()) / len(counts)
    known = {word for count in counts.values() for word in count}
    sums: dict[str, float] = {}
    asked = [word.decode() for word in words.query_words(text)]
    terms: dict[frozenset[bytes], bytes] = {}
    for wanted in languages.plan(asked, [word.decode() for word in words.names(text)]):
        forms = {wanted.word.encode(), *(form.encode() for form in wanted.forms)}
        if wanted.language is not None:
            forms |= {word for word in known if wanted.is_form(word.decode())}
        terms.setdefault(frozenset(forms), wanted.word.encode())
    for forms, exact in terms.items():
        holding = sum(form in count for form in forms for count in counts.values())
        weight = words.weight(min(holding, len(counts)), len(counts))
        for id, count in counts.items():
            if times := sum(count[form] for form in forms):
                part = weight * words.relevance(times, count.total(), average)
                sums[id] = sums.get(id, 0.0) + part * (1 if exact in count else words.OTHER_FORM)
    return sums


def _search_records(space: _Namespace, op: ops.SearchRecords) -> Any:
    collection = _collection(space, op.collection)
    _check_dimension(collection, op.vector)
    entries = collection.records
    chosen = {entry.id for entry in _selected(space, op.collection, op.where)}
    parts = []
    if op.vector is not None:
        raw = op.vector.raw
        parts.append(
            {
                id: _similarity(entry.embedding.raw, raw, op.metric)
                for id, entry in entries.items()
                if entry.embedding is not None
            }
        )
    if op.text is not None:
        sums = _text_sums(entries.values(), op.text)
        if op.vector is None:
            parts.append({id: words.normal(total) for id, total in sums.items()})
        else:
            count = words.BESIDE_A_VECTOR
            beside = {id: words.normal_beside_a_vector(total) for id, total in sums.items()}
            parts.append({id: count * score for id, score in beside.items()})
    scores: dict[str, float] = {}
    for part in reversed(parts):
        for id, score in part.items():
            if id in chosen:
                scores[id] = scores.get(id, 0.0) + score
    if len(parts) == 2:
        scores = {id: score / (words.BESIDE_A_VECTOR + 1) for id, score in scores.items()}
    ranked = sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))
    if op.min_score is not None:
        ranked = [pair for pair in ranked if pair[1] >= op.min_score]
    return tuple(
        ops.RecordMatch(_without(entries[id], embeddings=op.embeddings), score)
        for id, score in ranked[op.offset : op.offset + op.limit]
    )


def _list_scopes(space: _Namespace, op: ops.ListScopes) -> tuple[str, ...]:
    entries = _collection(space, op.collection).records.values()
    return scopes.children(op.parent, [entry.scope for entry in entries])


def _list_tags(space: _Namespace, op: ops.ListTags) -> tuple[ops.TagCount, ...]:
    counts: dict[str, int] = {}
    for entry in _selected(space, op.collection, op.where):
        for tag in entry.tags:
            counts[tag] = counts.get(tag, 0) + 1
    return tuple(ops.TagCount(tag, counts[tag]) for tag in sorted(counts))


def _list_collections(space: _Namespace, op: ops.ListCollections) -> ops.CollectionPage:
    names = sorted(
        name
        for name, collection in space.collections.items()
        if collection.records
        and name.startswith(op.prefix)
        and (op.after is None or name > op.after)
    )
    return ops.CollectionPage(*_page(names, op.limit))


# --- changes --------------------------------------------------------------------------------


def _read_changes(space: _Namespace, op: ops.ReadChanges) -> ops.ChangePage:
    revision = space.committed
    if op.after is None or op.after == revision:
        return ops.ChangePage((), revision)
    if op.after > revision:
        reset = ops.ChangeEntry(revision, "namespace", "reset", "")
        return ops.ChangePage((reset,), revision)
    changes = space.changes[op.after : revision]
    return ops.ChangePage(tuple(changes[: op.limit]), revision)


def _size(author: ops.Author | None, *parts: str | bytes | Json | Vector | None) -> int:
    """Returns the bytes that a key, an item or a record counts: 32, and its contents."""
    if author is not None:
        said = [author.framework, author.agent, author.run, author.key]
        while said[-1] is None:
            said.pop()
        parts += (json.dumps(said, separators=(",", ":")),)
    stored = [
        part.text if isinstance(part, Json) else part.raw if isinstance(part, Vector) else part
        for part in parts
        if part is not None
    ]
    return 32 + sum(
        len(part.encode("utf-8", "surrogatepass")) if isinstance(part, str) else len(part)
        for part in stored
    )


# --- the past -------------------------------------------------------------------------------


def _stat_past(space: _Namespace, op: ops.StatPast) -> ops.PastStat:
    if space.keep is None:
        return ops.PastStat(None, 0, None, space.revision)
    return ops.PastStat(space.keep, space.since, space.began, space.revision)


def _keep_past(space: _Namespace, op: ops.KeepPast) -> ops.PastStat:
    if op.seconds is None:
        space.past = _Past()
    elif space.keep is None:
        space.since, space.began = space.revision, space.now
        space.versions = {key: {entry.version: entry} for key, entry in space.stored.items()}
    space.keep = op.seconds
    space.kept_past |= op.seconds is not None
    return _stat_past(space, ops.StatPast())


def _find_revision(space: _Namespace, op: ops.FindRevision) -> int:
    return max(space.since, space.at(ops.Moment(time=op.time)).revision)


def _read_versions(space: _Namespace, op: ops.ReadVersions) -> ops.VersionPage:
    found: dict[int, ops.KeyEntry] = {}
    if space.keep is not None:
        found = space.versions.get(op.key, {})
    elif op.key in space.keys:
        entry = space.keys[op.key]
        found[entry.version] = entry
    versions = [
        ops.KeyVersion(version, entry.value, *entry[3:])
        for version, entry in sorted(found.items(), reverse=True)
        if op.before is None or version < op.before
    ]
    return ops.VersionPage(*_page(versions, op.limit))


def _list_changed(space: _Namespace, op: ops.ListChanged) -> ops.ChangedPage:
    space.at(op.at)
    return ops.ChangedPage((), more=False)  # expired items count among them once swept


def _restore_past(space: _Namespace, op: ops.RestorePast) -> ops.RestoredPart:
    then = space.at(op.at)
    then.now = space.now
    then.forget_expired_records()
    restored = {"key": _restore_key, "history": _restore_history, "record": _restore_records}
    return ops.RestoredPart(restored[op.shape](space, then, op.name))


def _restore_key(space: _Namespace, then: _Namespace, key: str) -> int:
    old, new = then.keys.get(key), space.keys.get(key)
    if old is None:
        return int(_delete_key(space, ops.DeleteKey(key)))
    if new is None or (old.value, old.expires_at) != (new.value, new.expires_at):
        _put(space, key, old.value, old.expires_at)
        return 1
    return 0


def _restore_history(space: _Namespace, then: _Namespace, name: str) -> int:
    old, new = _seen(then, name), _entered(space, name)
    if not old.exists:
        return max(1, _clear_history(space, ops.ClearHistory(name))) if new.exists else 0
    before = {item.seq: item for item in new.items}
    same = {
        item.seq for item in old.items if item.seq in before and item[:4] == before[item.seq][:4]
    }
    gone = before.keys() - {item.seq for item in old.items}
    written = [item for item in old.items if item.seq not in same]
    header = (old.archived_seq, old.metadata, old.expires_at)
    if not (written or gone or header != (new.archived_seq, new.metadata, new.expires_at)):
        return 0
    version = space.change("history", "restore", name)
    new.items = [
        before[item.seq]
        if item.seq in same
        else item._replace(version=version, author=space.author)
        for item in old.items
    ]
    if old.metadata != new.metadata:
        new.metadata_version = version if old.metadata.value else 0
    new.archived_seq, new.metadata, new.expires_at = header
    new.created_at, new.updated_at = old.created_at, space.now
    return len(written) + len(gone) or 1


def _restore_records(space: _Namespace, then: _Namespace, name: str) -> int:
    def content(record: ops.RecordEntry) -> tuple[Any, ...]:
        return (*record[:6], record.created_at, record.expires_at)

    old = then.collections.get(name, _Collection()).records
    new = space.collections.get(name, _Collection()).records
    going = tuple(sorted(new.keys() - old.keys()))
    coming = [one for id, one in old.items() if id not in new or content(new[id]) != content(one)]
    if going:
        _delete_records(space, ops.DeleteRecords(name, ops.Selection(ids=going)))
    if coming:
        put = [
            ops.NewRecord(
                *one[:6],
                one.created_at,
                ttl=None if one.expires_at is None else (one.expires_at - space.now) / 1_000_000,
            )
            for one in coming
        ]
        _put_records(space, ops.PutRecords(name, tuple(put), keep_embedding=False))
    return len(going) + len(coming)


def _read_usage(space: _Namespace, op: ops.ReadUsage) -> Usage:
    return space.usage.on(space.now)


def _bytes(space: _Namespace) -> int:
    sizes = [_size(entry.author, key, entry.value) for key, entry in space.stored.items()]
    for history in space.histories.values():
        sizes += [_size(item.author, item.id, item.value) for item in history.items]
        if history.metadata.value:
            sizes.append(len(history.metadata.text))
    for collection in space.collections.values():
        sizes += [
            _size(r.author, *r[:3], json.dumps(list(r.tags)), r.scope, r.embedding)
            for r in collection.records.values()
        ]
    return sum(sizes)


# Operations that move and maintain a store are tested in test_store_operations.py and
# places/test_retention.py, and the operations below in places/test_past.py.
_TESTED_ELSEWHERE = frozenset(
    f"botwire.operations.{module}" for module in ("retention", "store", "transfer")
)
_WITHOUT_MODEL = frozenset({ops.ReadItemVersions, ops.ReadRecordVersions, ops.ErasePast})


def _find_handlers() -> dict[type[Any], Callable[[_Namespace, Any], Any]]:
    """Returns the function above for each operation: `_put_key` for `PutKey`.

    Raises:
        NotImplementedError: An operation has no function, so the random tests would not cover it.
    """
    found: dict[type[Any], Callable[[_Namespace, Any], Any]] = {}
    for name, declared in ops.OPERATIONS.items():
        module = declared.make.__module__
        if not module.startswith("botwire.") or module in _TESTED_ELSEWHERE:
            continue
        if declared.make in _WITHOUT_MODEL:
            continue
        handler = globals().get(f"_{name}")
        if handler is None:
            raise NotImplementedError(
                f"{declared.make.__name__} has no model: write tests.model._{name}, and generate "
                "the operation in tests/test_model.py"
            )
        found[declared.make] = handler
    return found


_HANDLERS = _find_handlers()
MODELED = frozenset(_HANDLERS)
"""The operations that the random tests compare."""
