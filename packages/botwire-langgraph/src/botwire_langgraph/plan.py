"""Plans a batch of a LangGraph store as BotWire operations, without I/O.

A plan takes LangGraph's operations and lists the texts that need embeddings. It then runs as a
generator, as in `running`, with all reads and writes in one batch. As in
LangGraph's own stores, reads see the state before the writes of their batch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from langgraph.store.base import (
    GetOp,
    ListNamespacesOp,
    MatchCondition,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    get_text_at_path,
)

from botwire import ConfigurationError
from botwire import operations as ops
from botwire.arguments import check_type
from botwire.client.encoding import encode_each, encode_filter, encode_object
from botwire.exact import Json
from botwire.names import shown
from botwire.operations import MAX_PAGE, AnyOperation
from botwire.scopes import ROOT
from botwire.vectors import Vector
from botwire_langgraph import items
from botwire_langgraph.running import BatchProgram

SearchBy = Literal["semantic", "text", "hybrid"]


class StoreSettings(NamedTuple):
    """How a store keeps and finds items.

    Attributes:
        collection: The collection of the records.
        search: What a query is compared with: embeddings, words or both.
        fields: The paths of the indexed fields.
        dims: The dimension of embeddings; None if unspecified.
    """

    collection: str
    search: SearchBy
    fields: Sequence[str]
    dims: int | None

    @property
    def embeds(self) -> bool:
        """Whether texts need embeddings."""
        return self.search != "text"


class StorePlan:
    """A batch of a store.

    Args:
        settings: How the store keeps and finds items.
        operations: LangGraph's operations.
        clock: Returns the present time in microseconds.

    Raises:
        ConfigurationError: An operation is not valid.
        NamespaceError: A namespace is not valid.
        NotJSONError: JSON cannot represent a value; the message says where.
    """

    def __init__(
        self,
        settings: StoreSettings,
        operations: Sequence[Op],
        clock: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._operations = operations
        self._clock = clock
        self._puts: dict[str, PutOp] = {}
        self._texts: dict[str, list[str]] = {}
        self.queries: list[str] = []
        for operation in operations:
            self._add(operation)

    def _add(self, operation: Op) -> None:
        if isinstance(operation, PutOp):
            namespace = items.check_namespace(operation.namespace)
            id = items.id_of(namespace, _key(operation))
            if operation.value is not None:
                encode_object(operation.value, "value")  # refused here, before any I/O
            _check_minutes(operation.ttl)
            self._puts[id] = operation  # the last write of an item wins
            self._texts[id] = _texts(operation, self._settings.fields)
        elif isinstance(operation, SearchOp):
            items.check_namespace(operation.namespace_prefix)
            _check_window(operation.limit, operation.offset)
            if operation.filter is not None and not isinstance(operation.filter, Mapping):
                raise ConfigurationError(
                    f"filter must be a dict of fields, not {type(operation.filter).__name__}"
                )
            if operation.query is not None:
                check_type(operation.query, str, "query")
            if operation.query and operation.query not in self.queries:
                self.queries.append(operation.query)
        elif isinstance(operation, ListNamespacesOp):
            conditions = operation.match_conditions or ()
            for condition in encode_each(conditions, MatchCondition, "match_conditions"):
                items.check_namespace(condition.path)
            if operation.max_depth is not None:
                ops.check_count(operation.max_depth, "max_depth")
            _check_window(operation.limit, operation.offset)
        elif isinstance(operation, GetOp):
            items.check_namespace(operation.namespace)
            _key(operation)
        else:
            raise ConfigurationError(f"not an operation of a store: {operation!r:.80}")

    @property
    def texts(self) -> list[str]:
        """The distinct texts that need embeddings."""
        return list(dict.fromkeys(text for texts in self._texts.values() for text in texts))

    def run(
        self, documents: Mapping[str, Sequence[float]], queries: Mapping[str, Sequence[float]]
    ) -> BatchProgram[list[Result]]:
        """Applies the batch.

        Args:
            documents: The embedding of each of `texts`; empty if the store does not embed.
            queries: The embedding of each of `queries`; empty likewise.
        """
        reads = {
            position: self._read(operation, queries)
            for position, operation in enumerate(self._operations)
            if not isinstance(operation, PutOp)
        }
        writes = self._writes(documents)
        if not reads and not writes:
            return []
        answers = yield (*reads.values(), *writes)
        results: list[Result] = [None] * len(self._operations)
        used: list[ops.RecordEntry] = []
        for (position, read), answer in zip(reads.items(), answers, strict=False):
            operation = self._operations[position]
            if isinstance(operation, GetOp):
                entry = answer[0]
                if entry is not None:
                    results[position] = items.to_item(entry)
                    used += [entry] if operation.refresh_ttl else []
            elif isinstance(operation, SearchOp):
                entries, found = yield from _window(
                    operation, read, answer, scored=self._settings.embeds
                )
                results[position] = found
                used += entries if operation.refresh_ttl else []
            else:
                assert isinstance(operation, ListNamespacesOp)
                results[position] = _namespaces(operation, answer)
        refreshes = self._refreshes(used)
        if refreshes:
            yield refreshes
        return results

    def _read(self, operation: Op, queries: Mapping[str, Sequence[float]]) -> AnyOperation:
        collection = self._settings.collection
        if isinstance(operation, GetOp):
            id = items.id_of(tuple(operation.namespace), _key(operation))
            return ops.GetRecords(collection, (id,), embeddings=False)
        if isinstance(operation, ListNamespacesOp):
            scope = items.common_scope(operation.match_conditions or ())
            return ops.ListTags(collection, _where(scope))
        assert isinstance(operation, SearchOp)
        condition = items.value_filter(operation.filter) if operation.filter else None
        scope = items.scope_of(tuple(operation.namespace_prefix))
        size = min(max(operation.offset + operation.limit, 1), MAX_PAGE)
        if not operation.query:
            size = min(max(operation.limit, 1), MAX_PAGE)
            where = _where(scope, condition)
            return ops.ListRecords(collection, where, size, operation.offset, embeddings=False)
        by_vector = self._settings.embeds
        return ops.SearchRecords(
            collection,
            self._vector(queries[operation.query]) if by_vector else None,
            None if self._settings.search == "semantic" else operation.query,
            _where(scope, condition, parts=by_vector),
            size,
            embeddings=False,
        )

    def _writes(self, documents: Mapping[str, Sequence[float]]) -> list[AnyOperation]:
        collection, now = self._settings.collection, self._clock()
        writes: list[AnyOperation] = []
        if not self._puts:
            return writes
        ids = tuple(self._puts)
        deleted = tuple(id for id, put in self._puts.items() if put.value is None)
        tags = items.part_tags(ids)
        writes.append(ops.DeleteRecords(collection, ops.Selection(tags=tags)))
        if deleted:
            writes.append(ops.DeleteRecords(collection, ops.Selection(ids=deleted)))
        records = [
            record
            for id, put in self._puts.items()
            if put.value is not None
            for record in items.to_records(
                tuple(put.namespace),
                _key(put),
                put.value,
                ttl=put.ttl,
                now=now,
                text="\n".join(self._texts[id]),
                embeddings=self._vectors(id, documents),
            )
        ]
        if records:
            writes.append(ops.PutRecords(collection, tuple(records), keep_embedding=False))
        return writes

    def _vectors(self, id: str, documents: Mapping[str, Sequence[float]]) -> list[Vector]:
        if not self._settings.embeds:
            return []
        return [self._vector(documents[text]) for text in self._texts[id]]

    def _vector(self, numbers: Sequence[float]) -> Vector:
        vector = Vector.of(numbers)
        dims = self._settings.dims
        if dims is not None and vector.dimension != dims:
            raise ConfigurationError(
                f"the index has {dims} dimensions, but the embedding has {vector.dimension}"
            )
        return vector

    def _refreshes(self, used: Collection[ops.RecordEntry]) -> tuple[AnyOperation, ...]:
        ids: dict[float, dict[str, None]] = {}
        for entry in used:
            kept = entry.metadata.value
            if kept["ttl"] is not None:
                ids.setdefault(kept["ttl"], {}).update(dict.fromkeys(items.record_ids(kept)))
        # Sets only the expiry: a concurrent write of the item keeps its value, and an item that no
        # longer has a ttl stays for good.
        return tuple(
            ops.PatchRecords(
                self._settings.collection,
                tuple(of_ttl),
                Json.of({}),
                ttl=items.to_seconds(ttl),
            )
            for ttl, of_ttl in ids.items()
        )


def _window(
    operation: SearchOp, read: AnyOperation, answer: Any, *, scored: bool
) -> BatchProgram[tuple[list[ops.RecordEntry], list[SearchItem]]]:
    """Returns the requested window of items, reading further pages if necessary.

    As in LangGraph's own stores, items have a score only where there is an index.
    """
    if isinstance(read, ops.ListRecords):
        entries = list(answer.records)
        while answer.more and len(entries) < operation.limit:
            size = min(operation.limit - len(entries), MAX_PAGE)
            offset = operation.offset + len(entries)
            (answer,) = yield (
                ops.ListRecords(read.collection, read.where, size, offset, embeddings=False),
            )
            entries += answer.records
        entries = entries[: operation.limit]
        return entries, [items.to_search_item(entry) for entry in entries]
    assert isinstance(read, ops.SearchRecords)
    end = operation.offset + operation.limit
    best: dict[tuple[Any, ...], ops.RecordMatch] = {}
    seen = 0
    while True:
        for match in answer:
            kept = match.record.metadata.value
            # Matches come best first, so an item's first match is its best.
            best.setdefault((*kept["namespace"], kept["key"]), match)
        seen += len(answer)
        if len(best) >= end or len(answer) < read.limit:
            break
        read = ops.SearchRecords(
            read.collection, read.vector, read.text, read.where, MAX_PAGE, seen, embeddings=False
        )
        (answer,) = yield (read,)
    window = list(best.values())[operation.offset : end]
    found = [
        items.to_search_item(match.record, match.score if scored else None) for match in window
    ]
    return [match.record for match in window], found


def _namespaces(operation: ListNamespacesOp, tags: Iterable[ops.TagCount]) -> list[tuple[str, ...]]:
    conditions = operation.match_conditions or ()
    found = {
        namespace[: operation.max_depth]
        for namespace in items.namespaces(tags)
        if all(items.matches(condition, namespace) for condition in conditions)
    }
    return sorted(found)[operation.offset : operation.offset + operation.limit]


def _where(
    scope: str, condition: Mapping[str, Any] | None = None, *, parts: bool = False
) -> ops.Selection:
    tags = None if parts else (items.ITEM,)
    given = None if condition is None else encode_filter(condition)
    return ops.Selection(scope=scope or ROOT, tags=tags, filter=given)


def _texts(operation: PutOp, fields: Sequence[str]) -> list[str]:
    if operation.value is None or operation.index is False:
        return []
    paths = fields if operation.index is None else operation.index
    if isinstance(paths, str) or not isinstance(paths, Iterable):
        raise ConfigurationError(
            f"index must be False or a list of paths, such as ['text'], not {shown(paths)}"
        )
    for i, path in enumerate(paths):
        check_type(path, (str, list), f"index[{i}]")
    found = [text for path in paths for text in get_text_at_path(operation.value, path)]
    return list(dict.fromkeys(text for text in found if text))


def _key(operation: GetOp | PutOp) -> str:
    if operation.key is None:
        raise ConfigurationError(
            f"key must be a string, not None, in the namespace {shown(operation.namespace)}"
        )
    return str(operation.key)


def _check_minutes(ttl: object) -> None:
    if ttl is None:
        return
    if isinstance(ttl, bool) or not isinstance(ttl, (int, float)):
        raise ConfigurationError(f"ttl must be a number of minutes, not {type(ttl).__name__}")
    ops.check_ttl(items.to_seconds(ttl), "ttl, 60 times its minutes,")


def _check_window(limit: object, offset: object) -> None:
    for name, number in (("limit", limit), ("offset", offset)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise ConfigurationError(f"{name} must be a non-negative int, not {number!r:.80}")
