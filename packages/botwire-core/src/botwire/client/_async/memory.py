"""`AsyncMemory`, the entry point to the keys, histories and records of one namespace."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, Self

from botwire import operations as ops
from botwire import scopes
from botwire.arguments import check_seconds, check_type
from botwire.client._async.calls import AsyncCalls
from botwire.client._async.history import AsyncHistory
from botwire.client._async.past import AsyncMemoryPast, moment_of
from botwire.client._async.recall import AsyncMemories
from botwire.client._async.records import AsyncRecords
from botwire.client._async.transaction import AsyncTransaction
from botwire.client._async.watching import watch
from botwire.client.encoding import (
    check_change,
    encode_cursor,
    encode_filter,
    encode_list,
    encode_puts,
    encode_value,
    without_star,
)
from botwire.client.operators import AsyncMemoryOperators
from botwire.embedders import AsyncTextEmbedder, Embedder
from botwire.engines import retry
from botwire.engines.loops import AsyncTurns
from botwire.engines.opening import check_async_engine, open_async_engine
from botwire.engines.protocol import AsyncEngine
from botwire.errors import ConfigurationError, ConflictError
from botwire.models import Change, Entry, HistoryInfo, Recall, plain
from botwire.names import check_key, check_namespace, check_prefix
from botwire.operations import Author, read_author
from botwire.places import DEFAULT_TIMEOUT, Place, find_place

_turns = AsyncTurns()  # serializes updates of the same key within this process
_ENTRIES = 100  # keys per page when reading values too, which may be large


class AsyncMemory(AsyncMemoryPast, AsyncMemoryOperators):
    """The memory of one user, agent or tenant. It outlives the process.

    Nothing is opened before the first call. Any number of threads, tasks and event loops may share
    one object.

    Args:
        namespace: The user, agent or tenant. Namespaces are isolated from each other.
        url: Where memory lives: ``sqlite:///path``, ``http(s)://host`` of a BotWire server, or
            ``postgresql://…``. Default: ``BOTWIRE_URL``, else a SQLite file in the user's data
            folder.
        api_key: The API key for a server. Default: ``BOTWIRE_API_KEY``.
        timeout: Seconds that a call to a server may take, retries included.
        author: Who writes through this object: the name of an agent, or an `Author`. It is stored
            with every write; `entry.author`, `item.author`, `record.author` and `change.author`
            return it.
        place: A `Place`, instead of `url`, `api_key` and `timeout`.
        engine: An open engine, instead of all of the above. You close it.
        embed: Makes the vectors with which `recall` finds memories of similar meaning: a function,
            asynchronous or not, that takes a list of texts and returns a vector for each, or a name
            such as ``fastembed:BAAI/bge-small-en-v1.5`` or ``openai:text-embedding-3-small``
            (extras ``fastembed`` and ``openai``). Needs the extra ``vector``.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    def __init__(
        self,
        namespace: str,
        *,
        url: str | None = None,
        api_key: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        author: Author | str | None = None,
        place: Place | None = None,
        engine: AsyncEngine | None = None,
        embed: str | Embedder | None = None,
    ) -> None:
        self.namespace = check_namespace(namespace)
        self.author = read_author(author)
        self._owns_engine = engine is None
        if engine is None and place is None:
            place = find_place(url, api_key, timeout)
        if place is not None:
            check_type(place, Place, "place")
        self.place = place
        self.engine: AsyncEngine = (
            open_async_engine(place or find_place())
            if engine is None
            else check_async_engine(engine)
        )
        self._calls = AsyncCalls(self.engine, self.namespace, self.author)
        self._embedder = None if embed is None else AsyncTextEmbedder(embed)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.namespace!r})"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # holds connections, and is safe to share

    def __reduce__(self) -> str:
        raise ConfigurationError(
            f"{self!r} holds connections and perhaps an API key, so it cannot be pickled: create "
            f"{type(self).__name__}({self.namespace!r}, url=…) where it is needed"
        )

    def with_namespace(self, namespace: str) -> AsyncMemory:
        """Returns the memory of another namespace, with the same connections and author."""
        return self._again(namespace, self.author, self._calls.at)

    def by(self, author: Author | str | None) -> AsyncMemory:
        """Returns the same memory, with the same connections but another author for its writes."""
        return self._again(self.namespace, author, self._calls.at)

    def at(self, moment: datetime | int) -> AsyncMemory:
        """Returns the memory as of an earlier moment, with the same connections; it is read-only.

        Keys, histories and records are all read as of that moment. `keep_past` must have kept it.

        Args:
            moment: A revision, or a time; a naive datetime means UTC.
        """
        return self._again(self.namespace, self.author, moment_of(moment))

    def _again(
        self, namespace: str, author: Author | str | None, at: ops.Moment | None
    ) -> AsyncMemory:
        embed = None if self._embedder is None else self._embedder.given
        again = AsyncMemory(
            namespace, author=author, place=self.place, engine=self.engine, embed=embed
        )
        again._calls.at = at
        return again

    async def aclose(self) -> None:
        """Closes the connections. Stored memory stays, and the next call connects again."""
        if self._owns_engine:
            await self.engine.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    # --- keys -------------------------------------------------------------------------------

    async def set(
        self,
        key: str,
        value: Any,
        *,
        ttl: float | None = None,
        if_version: int | None = None,
        ttl_seconds: float | None = None,
    ) -> int:
        """Sets a key and returns its new version.

        Args:
            key: Any non-empty string of at most 1,024 bytes.
            value: A JSON value, or bytes. It comes back equal and of the same type.
            ttl: Seconds until the key expires; None keeps it until it is deleted.
            if_version: Set only if the key still has this version; 0 means it must not exist.
            ttl_seconds: An alias for `ttl`.

        Returns:
            The key's new version.

        Raises:
            ConflictError: The key has another version: someone else wrote first.
            NotJSONError: JSON cannot hold the value; the message says where. Also a `TypeError`.
        """
        if ttl_seconds is not None:
            if ttl is not None:
                raise ConfigurationError("ttl and ttl_seconds mean the same: give only one")
            ttl = ttl_seconds
        return await self._calls.apply(ops.PutKey(key, encode_value(value), ttl, if_version))

    async def get(self, key: str, default: Any = None) -> Any:
        """Returns the value of a key, or `default` if it does not exist."""
        (entry,) = await self._calls.apply(ops.GetKeys((key,)))
        return default if entry is None else plain(entry.value)

    async def entry(self, key: str) -> Entry | None:
        """Returns a key's value, version and times, or None if it does not exist."""
        (entry,) = await self._calls.apply(ops.GetKeys((key,)))
        return None if entry is None else Entry.of(entry)

    async def exists(self, key: str) -> bool:
        """Returns whether the key exists, even with the value None."""
        # Lists one key instead of reading its value, which may be large.
        page = await self._calls.apply(ops.ListKeys(check_key(key), limit=1))
        return list(page.keys[:1]) == [key]

    async def delete(self, key: str, *, if_version: int | None = None) -> bool:
        """Deletes a key and returns whether it existed.

        Args:
            key: The key.
            if_version: Delete only if the key still has this version.

        Raises:
            ConflictError: The key has another version: someone else wrote first.
        """
        return await self._calls.apply(ops.DeleteKey(key, if_version))

    async def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Returns the values of the keys that exist, all as of one moment.

        A server returns at most about 32 MB at once. Larger results are read in parts, each as of
        its own moment.
        """
        entries = await self._calls.apply(ops.GetKeys(encode_list(keys, "keys")))
        return {entry.key: plain(entry.value) for entry in entries if entry is not None}

    async def set_many(
        self, values: Mapping[str, Any], *, ttl: float | None = None
    ) -> dict[str, int]:
        """Sets several keys, all or none.

        Returns:
            The new version of each key.
        """
        versions = await self._calls.apply_all(encode_puts(values, ttl))
        return dict(zip(values, versions, strict=True))

    async def update(self, key: str, fn: Callable[[Any], Any], default: Any = None) -> Any:
        """Reads a key, changes its value and writes it back, without losing concurrent changes.

        Afterwards the key no longer expires.

        Args:
            key: The key.
            fn: Takes the current value and returns the new one. Called again with the newer value
                if someone else wrote in between.
            default: Passed to `fn`, as a copy, if the key does not exist.

        Returns:
            The new value.

        Raises:
            ConflictError: A hundred attempts failed because other processes wrote first.
        """
        check_change(fn)
        check_key(key)
        async with _turns.take((self.place or id(self.engine), self.namespace, key)):
            return await self._update(key, fn, default)

    async def _update(self, key: str, fn: Callable[[Any], Any], default: Any) -> Any:
        attempts = 100
        for attempt in range(1, attempts + 1):
            entry = await self.entry(key)
            value = fn(copy.deepcopy(default) if entry is None else entry.value)
            try:
                await self.set(key, value, if_version=0 if entry is None else entry.version)
            except ConflictError:
                if attempt == attempts:
                    raise
                await asyncio.sleep(retry.spread(0.001 * min(attempt, 20)))
            else:
                return value
        raise AssertionError("unreachable")

    async def increment(self, key: str, by: int = 1) -> int:
        """Adds to an integer, atomically, and returns the sum. A missing key counts as 0.

        Raises:
            InvalidRequestError: The key holds something other than an integer.
        """
        return await self._calls.apply(ops.IncrementKey(key, by))

    async def list_keys(self, prefix: str = "") -> list[str]:
        """Returns every key that starts with `prefix`, in code point order.

        Args:
            prefix: The prefix; one trailing ``*`` is ignored.
        """
        return [key async for key in self.iter_keys(prefix)]

    async def keys(self) -> list[str]:
        """Returns every key, as `list_keys()` does."""
        return await self.list_keys()

    async def iter_keys(self, prefix: str = "", *, after: str | None = None) -> AsyncIterator[str]:
        """Yields what `list_keys` returns, reading pages as needed.

        Args:
            prefix: The prefix; one trailing ``*`` is ignored.
            after: Start after this key, which need not exist.
        """
        async for page in self._calls.pages(ops.ListKeys(without_star(prefix), after)):
            for key in page.keys:
                yield key

    async def iter_entries(
        self, prefix: str = "", *, descending: bool = False
    ) -> AsyncIterator[Entry]:
        """Yields the entries of the keys that start with `prefix`, in code point order.

        Args:
            prefix: The prefix; one trailing ``*`` is ignored.
            descending: Reverse the order.
        """
        read = ops.ScanKeys(without_star(prefix), limit=_ENTRIES, descending=descending)
        async for page in self._calls.pages(read):
            for entry in page.entries:
                yield Entry.of(entry)

    async def count(self, prefix: str = "") -> int:
        """Returns the number of keys that start with `prefix`."""
        return await self._calls.apply(ops.CountKeys(without_star(prefix)))

    async def clear(self, prefix: str = "") -> int:
        """Deletes every key that starts with `prefix`, and returns how many there were.

        Histories and records stay. More than 1,000 keys are deleted in parts. Others can write in
        between; keys they set before the last part are deleted too.
        """
        return await self._calls.in_parts(ops.ClearKeys(without_star(prefix), ops.PART))

    # --- histories --------------------------------------------------------------------------

    def history(self, name: str, *, ttl: float | None = None) -> AsyncHistory:
        """Returns the history with this name, which need not exist yet.

        Args:
            name: Any non-empty string of at most 1,024 bytes.
            ttl: Seconds until the history expires, counted from each write through this object;
                None leaves its expiry as it is. See `AsyncHistory.expire`.
        """
        return AsyncHistory(
            *(self.engine, self.namespace, name), ttl=ttl, author=self.author, at=self._calls.at
        )

    async def list_histories(
        self,
        prefix: str = "",
        *,
        order: Literal["name", "updated"] = "name",
        descending: bool = False,
        after: HistoryInfo | str | None = None,
        limit: int | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> list[HistoryInfo]:
        """Returns the histories that hold items or have metadata.

        The most recent conversations of an agent::

            await memory.list_histories(order="updated", descending=True, limit=20)

        Args:
            prefix: Only names that start with it; one trailing ``*`` is ignored.
            order: ``name``, or ``updated``: by the time of the last change.
            descending: Reverse the order.
            after: Start after this history, the last one of the previous page. In the order
                ``name``, its name is enough.
            limit: The most histories to return; None returns all.
            where: Only histories whose metadata matches this filter; see `botwire.filters`.
        """
        if limit is not None:
            ops.check_count(limit, "limit")
        name, time = encode_cursor(after, order)
        read = ops.ListHistories(
            without_star(prefix),
            name,
            order=order,
            descending=descending,
            where=None if where is None else encode_filter(where),
            after_time=time,
        )
        pages = self._calls.pages(read, limit)
        return [HistoryInfo.of(stat) async for page in pages for stat in page.histories]

    # --- records ----------------------------------------------------------------------------

    def records(self, collection: str = "default") -> AsyncRecords:
        """Returns the records of a collection, which need not exist yet.

        Args:
            collection: Any non-empty string of at most 1,024 bytes.
        """
        return AsyncRecords(
            self.engine, self.namespace, collection, author=self.author, at=self._calls.at
        )

    async def list_collections(self, prefix: str = "") -> list[str]:
        """Returns every non-empty collection whose name starts with `prefix`, sorted by name."""
        pages = self._calls.pages(ops.ListCollections(without_star(prefix)))
        return [name async for page in pages for name in page.collections]

    # --- memories ---------------------------------------------------------------------------

    async def remember(
        self,
        text: str,
        *,
        about: str = scopes.ROOT,
        tags: Iterable[str] = (),
        id: str | None = None,
        ttl: float | None = None,
    ) -> str:
        """Remembers a text for `recall` and returns its id.

        It becomes a record in the collection ``default``, which `records` can read and delete.

        Args:
            text: What to remember, in words that are clear without context.
            about: A path for who or what it is about, such as ``/people/ada``.
            tags: Any strings by which to recall it.
            id: Your own id; a memory with the same id is replaced. Default: a random one.
            ttl: Seconds until the memory expires; None keeps it until it is deleted.

        Raises:
            EmbedderMismatchError: The stored vectors come from another embedder.
        """
        return await self._memories().remember(text, about, tags, id, ttl)

    async def recall(
        self,
        query: str | None = None,
        *,
        about: str | None = None,
        tags: Iterable[str] | None = None,
        since: datetime | None = None,
        limit: int = 8,
        max_chars: int | None = None,
    ) -> Recall:
        """Returns the memories that match a query best, or the newest ones.

        All filters must hold. If nothing is found, the result says what was searched.

        Args:
            query: A question or some words; None or a blank string returns the newest memories.
            about: Only memories about this path and those below it.
            tags: Only memories with at least one of these tags.
            since: Only memories created after this moment; a naive datetime means UTC.
            limit: The most memories to return.
            max_chars: The most characters that their texts may have in all. A memory that does not
                fit is left out; shorter ones after it may still fit.

        Raises:
            EmbedderMismatchError: The stored vectors come from another embedder.
        """
        return await self._memories().recall(query, about, tags, since, limit, max_chars)

    def _memories(self) -> AsyncMemories:
        return AsyncMemories(self.records(), self._calls, self._embedder)

    # --- across the shapes ------------------------------------------------------------------

    async def revision(self) -> int:
        """Returns the number of the namespace's last change; pass it to `watch` as `after`."""
        return (await self._calls.apply(ops.ReadChanges())).revision

    async def watch(
        self, prefix: str = "", *, after: int | None = None, poll: float = 0.5
    ) -> AsyncIterator[Change]:
        """Yields each change of the namespace as it happens, made by any process. Never ends.

        An expiry is not a change. The last 10,000 changes are kept for at least a day; a watcher
        that asks for older ones gets a change whose action is ``reset``.

        Args:
            prefix: Only yield changes of names that start with it; one trailing ``*`` is ignored.
            after: Start after this revision, for example the last one seen before a restart;
                None starts now.
            poll: Most seconds between polls; fewer just after a change. A server that can push
                changes is not polled.
        """
        check_seconds(poll, "poll")
        prefix = check_prefix(without_star(prefix))
        if after is None:
            after = await self.revision()
        async for entry in watch(self._calls, prefix, after, poll):
            change = Change.of(entry)
            if change.touches(prefix):
                yield change

    def transaction(self) -> AsyncTransaction:
        """Returns a transaction, whose writes are applied together or not at all."""
        if self._calls.at is not None:
            raise ConfigurationError(
                "this is an earlier state, which cannot be changed: write to the present memory"
            )
        return AsyncTransaction(self.engine, self.namespace, self.author)
