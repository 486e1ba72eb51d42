"""Transactions: writes that are applied together, provided that what was read still holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from botwire import operations as ops
from botwire.client._async.calls import AsyncCalls
from botwire.client.encoding import (
    encode_ids,
    encode_item_name,
    encode_items,
    encode_list,
    encode_object,
    encode_records,
    encode_selection,
    encode_value,
)
from botwire.engines.protocol import AsyncEngine
from botwire.errors import ConfigurationError
from botwire.exact import Json
from botwire.models import Record, plain
from botwire.names import check_collection, check_history, check_key


class AsyncTransaction:
    """Collects writes and applies them atomically when its block ends.

    Nothing is locked meanwhile. At the end, every key read with `get` is checked: if someone else
    has written it, `ConflictError` is raised and nothing is written. If the block raises, nothing
    is written either.

    Returned by `AsyncMemory.transaction`.

    Attributes:
        results: After the block, the result of each write in order: the new version for `set`, the
            sum for `increment`, whether the key existed for `delete`, sequence numbers for an
            append, versions for `put`.
    """

    def __init__(
        self, engine: AsyncEngine, namespace: str, author: ops.Author | None = None
    ) -> None:
        self.results: list[Any] = []
        self._calls = AsyncCalls(engine, namespace, author)
        self._reads: dict[str, ops.CheckKey] = {}
        self._checks: list[ops.CheckKey] = []
        self._operations: list[ops.AnyOperation] = []
        self._written: dict[str, ops.Value | None] = {}
        self._unknown: set[str] = set()
        self._begun = False
        self._done = False

    async def __aenter__(self) -> Self:
        self._refuse_when_done()
        self._begun = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._done:  # an inner block of the same transaction has applied it
            return
        self._done = True
        checks = (*self._reads.values(), *self._checks)
        if kind is not None or not (self._operations or checks):
            return
        results = await self._calls.apply_all((*checks, *self._operations))
        self.results = results[len(checks) :]

    async def get(self, key: str, default: Any = None) -> Any:
        """Returns the value of a key, as set in this transaction or as stored.

        A stored value must still be the same when the transaction is applied.
        """
        self._refuse_outside()
        check_key(key)
        if key in self._unknown:
            raise ConfigurationError(
                f"key {key!r:.80} was incremented in this transaction, so its value is known only "
                "when the transaction is applied: read it before, or see results"
            )
        if key in self._written:
            value = self._written[key]
            return default if value is None else plain(value)
        (entry,) = await self._calls.apply(ops.GetKeys((key,)))
        check = ops.CheckKey(key, 0 if entry is None else entry.version)
        # The first read counts: if the key has changed since, the transaction must fail.
        self._reads.setdefault(key, check)
        return default if entry is None else plain(entry.value)

    def check(self, key: str, version: int) -> None:
        """Requires a key to have this version when the transaction is applied; 0: not to exist.

        Keys read with `get` are checked anyway.
        """
        self._refuse_outside()
        self._checks.append(ops.CheckKey(key, version))

    def set(
        self, key: str, value: Any, *, ttl: float | None = None, if_version: int | None = None
    ) -> None:
        """Sets a key; see `AsyncMemory.set`."""
        encoded = encode_value(value)
        self._add(ops.PutKey(key, encoded, ttl, if_version))
        self._written[key] = encoded
        self._unknown.discard(key)

    def delete(self, key: str, *, if_version: int | None = None) -> None:
        """Deletes a key; see `AsyncMemory.delete`."""
        self._add(ops.DeleteKey(key, if_version))
        self._written[key] = None
        self._unknown.discard(key)

    def increment(self, key: str, by: int = 1) -> None:
        """Adds to an integer; see `AsyncMemory.increment`."""
        self._add(ops.IncrementKey(key, by))
        self._unknown.add(key)

    def history(self, name: str, *, ttl: float | None = None) -> TransactionHistory:
        """Returns the history with this name, for writing in this transaction.

        Args:
            name: The history's name.
            ttl: See `AsyncMemory.history`.
        """
        return TransactionHistory(self, check_history(name), ttl)

    def records(self, collection: str = "default") -> TransactionRecords:
        """Returns the records of a collection, for writing in this transaction."""
        return TransactionRecords(self, check_collection(collection))

    def _add(self, operation: ops.AnyOperation) -> None:
        self._refuse_outside()
        self._operations.append(operation)

    def _refuse_outside(self) -> None:
        self._refuse_when_done()
        if not self._begun:
            raise ConfigurationError(
                "this transaction would never be applied: use it inside its with block"
            )

    def _refuse_when_done(self) -> None:
        if self._done:
            raise ConfigurationError("this transaction has ended: start another one")


class TransactionHistory:
    """Writes to a history, collected by a transaction."""

    def __init__(self, transaction: AsyncTransaction, name: str, ttl: float | None = None) -> None:
        self.name = name
        self._transaction = transaction
        self._ttl = ttl

    def append(self, value: Any, *, id: str | None = None) -> None:
        """Appends an item; see `AsyncHistory.append`."""
        self.extend([value], ids=None if id is None else [id])

    def extend(
        self,
        values: Iterable[Any],
        *,
        ids: Iterable[str | None] | None = None,
        if_last: int | None = None,
    ) -> None:
        """Appends items; see `AsyncHistory.extend`."""
        self._add(
            ops.ExtendHistory(self.name, encode_items(values), encode_ids(ids), if_last, self._ttl)
        )

    def replace(
        self,
        values: Iterable[Any],
        *,
        ids: Iterable[str | None] | None = None,
        if_last: int | None = None,
    ) -> None:
        """Replaces all items; see `AsyncHistory.replace`."""
        self._add(
            ops.ReplaceHistory(self.name, encode_items(values), encode_ids(ids), if_last, self._ttl)
        )

    def update(self, seq_or_id: int | str, value: Any, if_value_version: int | None = None) -> None:
        """Replaces the value of an item; see `AsyncHistory.update`."""
        seq, id = encode_item_name(seq_or_id)
        self._add(ops.UpdateItem(self.name, Json.of(value), seq, id, if_value_version, self._ttl))

    def set_metadata(self, metadata: Mapping[str, Any], *, if_version: int | None = None) -> None:
        """Replaces the metadata; see `AsyncHistory.set_metadata`."""
        encoded = encode_object(metadata, "metadata")
        self._add(ops.SetHistoryMetadata(self.name, encoded, if_version))

    def expire(self, ttl: float | None) -> None:
        """Sets when the history expires; see `AsyncHistory.expire`."""
        self._add(ops.ExpireHistory(self.name, ttl))

    def delete(self, seq: int) -> None:
        """Deletes the item with this sequence number."""
        self.delete_many((seq,))

    def delete_many(self, seqs: Iterable[int]) -> None:
        """Deletes the items with these sequence numbers."""
        self._add(ops.DeleteItems(self.name, encode_list(seqs, "seqs", "ints")))

    def archive(self, up_to: int) -> None:
        """Archives items; see `AsyncHistory.archive`."""
        self._add(ops.ArchiveHistory(self.name, up_to))

    def clear(self) -> None:
        """Deletes every item."""
        self._add(ops.ClearHistory(self.name))

    def _add(self, operation: ops.AnyOperation) -> None:
        self._transaction._add(operation)


class TransactionRecords:
    """Writes to a collection of records, collected by a transaction."""

    def __init__(self, transaction: AsyncTransaction, collection: str) -> None:
        self.collection = collection
        self._transaction = transaction

    def put(
        self,
        records: Iterable[Record],
        *,
        keep_embedding: bool = True,
        if_versions: Iterable[int | None] | None = None,
        ttl: float | None = None,
    ) -> None:
        """Adds or replaces records; see `AsyncRecords.put`."""
        encoded = encode_records(records, if_versions, ttl)
        self._add(ops.PutRecords(self.collection, encoded, keep_embedding))

    def patch(
        self, ids: Iterable[str], metadata: Mapping[str, Any], *, ttl: float | None = None
    ) -> None:
        """Sets metadata fields of records; see `AsyncRecords.patch`."""
        patch = encode_object(metadata, "metadata")
        self._add(ops.PatchRecords(self.collection, encode_list(ids, "ids"), patch, ttl))

    def delete(
        self,
        *,
        ids: Iterable[str] | None = None,
        scope: str | None = None,
        tags: Iterable[str] | None = None,
        filter: Mapping[str, Any] | None = None,  # noqa: A002 - the field's own name
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        all: bool = False,  # noqa: A002 - what it says
    ) -> None:
        """Deletes the records that pass every filter; see `AsyncRecords.delete`."""
        where = encode_selection(ids, scope, tags, filter, created_after, created_before)
        self._add(ops.DeleteRecords(self.collection, where, all))

    def _add(self, operation: ops.AnyOperation) -> None:
        self._transaction._add(operation)
