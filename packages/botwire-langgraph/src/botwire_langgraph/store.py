"""The long-term memory of a graph, which its threads share: found by key, filter or meaning."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple, Unpack, get_args
from weakref import WeakKeyDictionary

from langgraph.store.base import (
    BaseStore,
    IndexConfig,
    Op,
    Result,
    TTLConfig,
    ensure_embeddings,
)

from botwire import ConfigurationError, TransportError
from botwire.client.encoding import encode_list
from botwire.clock import now
from botwire.connection import Connected, Connection, ConnectionOptions
from botwire.names import check_collection
from botwire.operations import check_choice, check_count
from botwire_langgraph.acting import acting
from botwire_langgraph.opening import Opened
from botwire_langgraph.plan import SearchBy, StorePlan, StoreSettings
from botwire_langgraph.running import arun, run


class BotWireStore(Connected, BaseStore, framework="langgraph", gather_reads=True):
    """A store on BotWire, blocking and asynchronous in one.

    Pass it as ``store=`` to `create_agent` or to `StateGraph.compile`. A batch takes one request,
    and concurrent asynchronous calls share one.

    Filters accept ``$eq $ne $gt $gte $lt $lte`` and also ``$in $nin $exists $not $and $or``, with
    dots for nested objects, and are applied before the limit. An object without operators matches
    one that has its fields and perhaps more. A field that is missing or cannot be compared does not
    match, and never raises an error. Items come newest first, or best first if
    there is a query. An expired item is never returned, whatever `TTLConfig` says, and the store
    deletes it by itself.

    Args:
        namespace: The namespace of the items, which contains LangGraph's own namespaces. Defaults
            to the client's, then to ``BOTWIRE_NAMESPACE``, then to ``default``.
        index: How to embed items for semantic search; its ``fields`` may be called ``text_fields``,
            as for `SqliteStore`. Unset: queries are compared with texts.
        ttl: How long items live, in minutes by the store's clock. ``sweep_interval_minutes`` has no
            effect, since the store sweeps by itself.
        search: ``semantic`` compares a query with embeddings, ``text`` with words (BM25),
            ``hybrid`` with both. Defaults to ``semantic`` with an `index`, else to ``text``. Items
            that do not match a query at all are left out.
        collection: The collection of the records. Stores with different collections share nothing.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    supports_ttl = True

    def __init__(
        self,
        namespace: str | None = None,
        *,
        index: IndexConfig | None = None,
        ttl: TTLConfig | None = None,
        search: SearchBy | None = None,
        collection: str = "langgraph-store",
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        if search is not None:
            check_choice(search, get_args(SearchBy), "search")
        for name, config in (("index", index), ("ttl", ttl)):
            if config is not None and not isinstance(config, Mapping):
                raise ConfigurationError(
                    f"{name} must be a dict of LangGraph's settings, not {type(config).__name__}"
                )
        if index is None and search in ("semantic", "hybrid"):
            raise ConfigurationError(f"a {search} search needs an index with embed")
        if index is not None and "embed" not in index:
            raise ConfigurationError("the index needs embed")
        super().__init__(namespace, **connection)
        self.ttl_config = ttl
        self.embeddings = None if index is None else ensure_embeddings(index["embed"])
        given: Mapping[str, Any] = index or {}
        # LangGraph's `SqliteStore` has a name of its own for the fields.
        fields = given.get("fields") or given.get("text_fields") or ["$"]
        dims = given.get("dims")
        if dims is not None:
            check_count(dims, "index['dims']", least=1)
        self._settings = StoreSettings(
            check_collection(collection),
            search or ("text" if index is None else "semantic"),
            encode_list(fields, "index['fields']"),
            dims,
        )
        self._lock = threading.Lock()
        self._gatherings: WeakKeyDictionary[asyncio.AbstractEventLoop, _Gathering] = (
            WeakKeyDictionary()
        )

    def __getstate__(self) -> dict[str, Any]:
        """Returns what a copy or a pickle contains: all but what belongs to this process."""
        return {k: v for k, v in vars(self).items() if k not in ("_lock", "_gatherings")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restores a copy or a pickle."""
        self.__dict__.update(state, _lock=threading.Lock(), _gatherings=WeakKeyDictionary())

    @classmethod
    def from_conn_string(cls, conn_string: str, **kwargs: Any) -> Opened[BotWireStore]:
        """Returns a store for ``with`` and ``async with``, as LangGraph's own are opened.

        Args:
            conn_string: Where memory lives, a URL.
            **kwargs: The other arguments of the class.
        """
        return Opened(cls(url=conn_string, **kwargs))

    def setup(self) -> None:
        """Does nothing, as the store creates its tables; other stores need this call."""

    async def asetup(self) -> None:
        """Like `setup`."""

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Applies operations in one request; reads see the state before the writes."""
        plan = self._plan(encode_list(ops, "ops", "operations"))
        documents, queries = {}, {}
        if self._settings.embeds and self.embeddings is not None:
            texts = plan.texts
            if texts:
                documents = dict(zip(texts, self.embeddings.embed_documents(texts), strict=True))
            queries = {query: self.embeddings.embed_query(query) for query in plan.queries}
        return run(self._connection_now(), plan.run(documents, queries))

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Like `batch`; concurrent calls of other tasks share the request."""
        operations = encode_list(ops, "ops", "operations")
        # An invalid operation fails here, not together with the calls of other tasks.
        StorePlan(self._settings, operations, now)
        loop = asyncio.get_running_loop()
        with self._lock:
            gathering = self._gatherings.setdefault(loop, _Gathering())
        return await gathering.apply(self, self._connection_now(), operations)

    def sweep_ttl(self) -> int:
        """Does nothing and returns 0: the store deletes what has expired by itself."""
        return 0

    async def asweep_ttl(self) -> int:
        """Like `sweep_ttl`."""
        return 0

    async def apply(self, connection: Connection, operations: Sequence[Op]) -> list[Result]:
        """Applies operations in a request of their own, with the author of a connection."""
        plan = self._plan(operations)
        documents, queries = {}, {}
        if self._settings.embeds and self.embeddings is not None:
            texts = plan.texts
            if texts:
                embedded = await self.embeddings.aembed_documents(texts)
                documents = dict(zip(texts, embedded, strict=True))
            found = await asyncio.gather(*map(self.embeddings.aembed_query, plan.queries))
            queries = dict(zip(plan.queries, found, strict=True))
        return await arun(connection, plan.run(documents, queries))

    def _connection_now(self) -> Connection:
        now = acting()
        return self.connection.during(agent=now.agent, run=now.run)

    def _plan(self, operations: Sequence[Op]) -> StorePlan:
        return StorePlan(self._settings, operations, now)


class _Call(NamedTuple):
    """Operations that wait for their request."""

    connection: Connection
    operations: Sequence[Op]
    future: asyncio.Future[list[Result]]


class _Gathering:
    """The calls of one event loop; those that arrive during a request share the next one."""

    def __init__(self) -> None:
        self._waiting: list[_Call] = []
        self._task: asyncio.Task[None] | None = None

    async def apply(
        self, store: BotWireStore, connection: Connection, operations: Sequence[Op]
    ) -> list[Result]:
        future: asyncio.Future[list[Result]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Call(connection, operations, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain(store))
        return await future

    async def _drain(self, store: BotWireStore) -> None:
        calls: list[_Call] = []
        try:
            while self._waiting:
                calls, self._waiting = self._waiting, []
                calls = [call for call in calls if not call.future.done()]
                # A request has one author.
                for _, together in groupby(calls, lambda call: call.connection.author):
                    await self._apply(store, list(together))
        except BaseException:
            # This task was cancelled, as when its loop ends: no caller may wait forever.
            for call in (*calls, *self._waiting):
                call.future.cancel()
            self._waiting = []
            raise

    async def _apply(self, store: BotWireStore, calls: Sequence[_Call]) -> None:
        try:
            together = [operation for call in calls for operation in call.operations]
            results = iter(await store.apply(calls[0].connection, together))
        except TransportError as error:
            for call in calls:
                _fail(call.future, error)
        except Exception as error:  # noqa: BLE001 - raised at the call that it is about
            if len(calls) == 1:
                _fail(calls[0].future, error)
                return
            # The store or the embedder refused one call, and so all: send each again, with its own
            # answer.
            for call in calls:
                await self._apply(store, [call])
        else:
            for call in calls:
                found = [next(results) for _ in call.operations]
                if not call.future.done():
                    call.future.set_result(found)


def _fail(future: asyncio.Future[list[Result]], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
