"""Bulk selections: their current state, deleting with a receipt, exporting."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from botwire import operations as ops
from botwire.errors import InvalidRequestError, TooComplexError
from botwire.names import decode_part
from botwire.transfer import lines
from botwire.transfer.progress import Tally
from botwire_console.links import link
from botwire_console.rendering import counted
from botwire_console.visit import Visit

KINDS = ("keys", "conversations", "memories")
"""The kinds of things that can be selected in a namespace."""
MOST = 1000
"""The most things to delete or export at once."""


@dataclass(frozen=True)
class Chosen:
    """A selected thing in its current state.

    Attributes:
        name: The key, the history, or the id of the record.
        label: What it is called.
        version: What changes when someone writes it.
        detail: How much it is, for people.
        address: Where it is shown.
        record: The memory, if it is one.
    """

    name: str
    label: str
    version: int
    detail: str
    address: str
    record: ops.RecordEntry | None = None


@dataclass(frozen=True)
class BulkSelection:
    """The things that a visitor has selected.

    Attributes:
        namespace: The namespace.
        kind: One of `KINDS`.
        collection: The collection of memories.
        names: The selected names; prefixes of keys are in `folders`.
        folders: Prefixes of keys: everything below them is selected.
    """

    namespace: str
    kind: str
    collection: str
    names: tuple[str, ...]
    folders: tuple[str, ...] = ()

    @classmethod
    def of(cls, visit: Visit, fields: Sequence[tuple[str, str]]) -> BulkSelection:
        """Reads the checked boxes; names are percent-encoded because forms change newlines."""
        kind = visit.need("kind")
        if kind not in KINDS:
            raise InvalidRequestError("follow a link of the console: there is no such kind")
        chosen = [decode_part(value) for name, value in fields if name == "n"]
        folders = [decode_part(value) for name, value in fields if name == "f"]
        if not chosen and not folders:
            raise InvalidRequestError("nothing is selected: go back and check a box")
        collection = visit.query.get("c") or "default"
        return cls(visit.namespace, kind, collection, tuple(chosen), tuple(folders))

    async def read(self, visit: Visit) -> list[Chosen]:
        """Returns the selected things that still exist, in their current state."""
        if self.kind == "keys":
            return await self._keys(visit)
        if len(self.names) > MOST:
            raise _too_many()
        if self.kind == "conversations":
            stats = await visit.apply_all(
                self.namespace, *[ops.StatHistory(name) for name in self.names]
            )
            return [
                Chosen(
                    one.name,
                    str(one.metadata.value.get("title") or one.name),
                    one.last_seq,
                    counted(one.count + one.archived, "message"),
                    link("conversation", ns=self.namespace, name=one.name),
                )
                for one in stats
                if one.count or one.archived or one.metadata.value
            ]
        get = ops.GetRecords(self.collection, self.names, embeddings=False)
        return [
            Chosen(
                one.id,
                one.text,
                one.version,
                f"version {one.version}",
                link("memory", ns=self.namespace, c=self.collection, id=one.id),
                one,
            )
            for one in await visit.apply(self.namespace, get)
            if one is not None
        ]

    async def _keys(self, visit: Visit) -> list[Chosen]:
        stats: dict[str, ops.KeyStat] = {}
        for folder in self.folders:
            page = await visit.apply(self.namespace, ops.ListKeyStats(folder))
            if page.more:
                raise _too_many()
            stats.update((one.key, one) for one in page.keys)
        for name in self.names:  # the first key with a name as its prefix is that name
            page = await visit.apply(self.namespace, ops.ListKeyStats(name, limit=1))
            stats.update((one.key, one) for one in page.keys if one.key == name)
        if len(stats) > MOST:
            raise _too_many()
        return [
            Chosen(
                one.key,
                one.key,
                one.version,
                f"{one.size:,} bytes, version {one.version}",
                link("key", ns=self.namespace, key=one.key),
            )
            for one in sorted(stats.values(), key=lambda one: one.key)
        ]

    def deletion(self, chosen: Sequence[Chosen]) -> list[ops.AnyOperation]:
        """Returns the operations that delete things, all or none, if they are as they were seen.

        Args:
            chosen: What was shown.
        """
        if self.kind == "keys":
            return [ops.DeleteKey(one.name, one.version) for one in chosen]
        if self.kind == "conversations":
            operations: list[ops.AnyOperation] = []
            for one in chosen:
                # A clear compares nothing, and removes what a replacement by nothing leaves.
                emptied = ops.ReplaceHistory(one.name, (), if_last=one.version)
                operations += [emptied, ops.ClearHistory(one.name)]
            return operations
        # A delete compares no versions, so each memory is put as it is first, if it still is.
        records = [one.record for one in chosen if one.record is not None]
        same = tuple(
            [
                ops.NewRecord(one.id, one.text, one.metadata, tuple(one.tags), one.scope,
                              if_version=one.version)
                for one in records
            ]
        )  # fmt: skip
        ids = tuple([one.id for one in records])
        return [
            ops.PutRecords(self.collection, same),
            ops.DeleteRecords(self.collection, ops.Selection(ids=ids)),
        ]

    async def export(self, visit: Visit) -> AsyncIterator[bytes]:
        """Yields the lines of an export, which `botwire import` reads."""
        tally = Tally()
        yield lines.header().encode("ascii") + b"\n"
        stat = await visit.apply(self.namespace, ops.StatNamespace())
        if stat.created_at is not None:
            state = lines.NamespaceState(stat.revision, stat.created_at)
            yield _line(tally, lines.Line(self.namespace, state))
        async for line in self._lines(visit):
            yield _line(tally, line)
        yield lines.end(tally).encode("ascii") + b"\n"

    async def _lines(self, visit: Visit) -> AsyncIterator[lines.Line]:
        chosen = [one.name for one in await self.read(visit)]
        if self.kind == "keys":
            for name in chosen:
                (entry,) = await visit.apply(self.namespace, ops.GetKeys((name,)))
                if entry is not None:
                    yield lines.Line(self.namespace, entry)
        elif self.kind == "conversations":
            for name in sorted(chosen):
                page = await visit.apply(self.namespace, ops.DumpHistories((name,)))
                for state in page.histories:
                    yield lines.Line(self.namespace, state)
                read: Any = ops.ReadHistory(name, archived=True)
                while read is not None:
                    items = await visit.apply(self.namespace, read)
                    for item in items.items:
                        yield lines.Line(self.namespace, item, name)
                    read = read.following(items)
        else:
            dump = ops.DumpCollections((self.collection,))
            for one in (await visit.apply(self.namespace, dump)).collections:
                yield lines.Line(self.namespace, one)
            for name in sorted(chosen):
                get = ops.GetRecords(self.collection, (name,))
                (record,) = await visit.apply(self.namespace, get)
                if record is not None:
                    yield lines.Line(self.namespace, record, self.collection)


def _line(tally: Tally, line: lines.Line) -> bytes:
    tally.count(line.kind)
    return lines.to_text(line)


def _too_many() -> TooComplexError:
    return TooComplexError(f"more than {MOST:,} things are selected: select a smaller folder")
