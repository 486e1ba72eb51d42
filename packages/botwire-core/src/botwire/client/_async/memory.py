"""`AsyncMemory`, the entry to everything: keys, histories and records of one namespace."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from botwire import operations as ops
from botwire.client._async.calls import AsyncCalls
from botwire.client._async.history import AsyncHistory
from botwire.client._async.records import AsyncRecords
from botwire.client._async.transaction import AsyncTransaction
from botwire.client.access import AwaitedAccess
from botwire.client.encoding import encode_value
from botwire.engines import retry
from botwire.engines.loops import AsyncTurns
from botwire.engines.opening import open_async_engine
from botwire.engines.protocol import AsyncEngine
from botwire.errors import ConfigurationError, ConflictError
from botwire.models import Change, Entry, HistoryInfo, plain
from botwire.names import check_key, check_namespace
from botwire.places import DEFAULT_TIMEOUT, Place, find_place

_turns = AsyncTurns()  # of those in this process who update the same key
_ENTRIES = 100  # keys read at a time with what they hold, which may be much


class AsyncMemory(AwaitedAccess):
    """The memory of one user, agent or tenant, which outlives the process.

    Nothing is opened before the first use. May be used by any number of threads, tasks and event
    loops at once.

    Args:
        namespace: Whose memory it is. A namespace never shows another's.
        url: Where memory lives: ``sqlite:///path``, ``http(s)://host`` of a BotWire server, or
            ``postgresql://…``. Unset: ``BOTWIRE_URL``, else a SQLite file in the user's data
            folder.
        api_key: For a server. Unset: ``BOTWIRE_API_KEY``.
        timeout: Seconds that a call to a server may take in all, retries included.
        place: A `Place` in the place of the three above.
        engine: An open engine in the place of all the above; it is then yours to close.

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
        place: Place | None = None,
        engine: AsyncEngine | None = None,
    ) -> None:
        self.namespace = check_namespace(namespace)
        self._owns_engine = engine is None
        if engine is None and place is None:
            place = find_place(url, api_key, timeout)
        self.place = place
        self.engine: AsyncEngine = engine or open_async_engine(place or find_place())
        self._calls = AsyncCalls(self.engine, self.namespace)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.namespace!r})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # it holds connections, and any number may use it

    def __reduce__(self) -> str:
        raise ConfigurationError(
            f"{self!r} holds connections and perhaps an API key, and cannot be pickled: make one "
            f"where it is needed, {type(self).__name__}({self.namespace!r}, url=…)"
        )

    def with_namespace(self, namespace: str) -> AsyncMemory:
        """Returns the memory of another namespace over the same connections."""
        return AsyncMemory(namespace, place=self.place, engine=self.engine)

    async def aclose(self) -> None:
        """Gives back connections; stored memory stays, and the next call opens them again."""
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
        """Sets a key.

        Args:
            key: Any non-empty string of at most 1,024 bytes.
            value: A JSON value, or bytes. It comes back equal, of the same type.
            ttl: Seconds until it is gone; None keeps it for good.
            if_version: Set only if the key still has this version; 0 if there is no such key yet.
            ttl_seconds: The same as `ttl`.

        Returns:
            The key's new version.

        Raises:
            ConflictError: The version is another; someone else wrote first.
            NotJSONError: JSON cannot hold the value; it says where. Also a `TypeError`.
        """
        if ttl_seconds is not None:
            if ttl is not None:
                raise ConfigurationError("ttl and ttl_seconds are the same: give one")
            ttl = ttl_seconds
        return await self._calls.apply(ops.PutKey(key, encode_value(value), ttl, if_version))

    async def get(self, key: str, default: Any = None) -> Any:
        """Returns the value of a key, or `default` if there is no such key."""
        (entry,) = await self._calls.apply(ops.GetKeys((key,)))
        return default if entry is None else plain(entry.value)

    async def entry(self, key: str) -> Entry | None:
        """Returns a key's value, version and times, or None if there is no such key."""
        (entry,) = await self._calls.apply(ops.GetKeys((key,)))
        return None if entry is None else Entry.of(entry)

    async def exists(self, key: str) -> bool:
        """Says whether there is such a key, whatever its value, None included."""
        # The first of those that start with it, so what it holds is not read.
        page = await self._calls.apply(ops.ListKeys(check_key(key), limit=1))
        return list(page.keys[:1]) == [key]

    async def delete(self, key: str, *, if_version: int | None = None) -> bool:
        """Deletes a key and says whether there was one.

        Args:
            key: The key.
            if_version: Delete only if the key still has this version.

        Raises:
            ConflictError: The version is another; someone else wrote first.
        """
        return await self._calls.apply(ops.DeleteKey(key, if_version))

    async def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Returns the values of those keys that there are, as they were at one moment.

        A server answers about 32 MB at once: values that hold more are read from it in parts, each
        as of a moment of its own.
        """
        entries = await self._calls.apply(ops.GetKeys(tuple(keys)))
        return {entry.key: plain(entry.value) for entry in entries if entry is not None}

    async def set_many(
        self, values: Mapping[str, Any], *, ttl: float | None = None
    ) -> dict[str, int]:
        """Sets several keys, all or none.

        Returns:
            The new version of each.
        """
        puts = [
            ops.PutKey(key, encode_value(value, f"values[{key!r:.60}]"), ttl)
            for key, value in values.items()
        ]
        versions = await self.engine.apply(ops.Batch(self.namespace, tuple(puts)))
        return dict(zip(values, versions, strict=True))

    async def update(self, key: str, fn: Callable[[Any], Any], default: Any = None) -> Any:
        """Reads a key, changes its value and writes it back, so that no one's change is lost.

        Args:
            key: The key.
            fn: Takes the present value and returns the new one. Called again with the newer
                value when someone else wrote in between. The key's expiry is dropped.
            default: What `fn` is given if there is no such key; it gets a copy.

        Returns:
            The new value.

        Raises:
            ConflictError: Other processes kept writing first, a hundred times.
        """
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
        """Adds to an int, which starts at 0, and returns the sum; concurrent calls all count.

        Raises:
            InvalidRequestError: The key holds something else than an int.
        """
        return await self._calls.apply(ops.IncrementKey(key, by))

    async def list_keys(self, prefix: str = "") -> list[str]:
        """Returns every key that starts with `prefix`, however many, in code point order.

        Args:
            prefix: What they start with; one ``*`` at its end is ignored.
        """
        return [key async for key in self.iter_keys(prefix)]

    async def keys(self) -> list[str]:
        """Returns every key; the same as `list_keys()`."""
        return await self.list_keys()

    async def iter_keys(self, prefix: str = "") -> AsyncIterator[str]:
        """Yields what `list_keys` returns, read in pages as it is asked for."""
        async for page in self._calls.pages(ops.ListKeys(_without_star(prefix))):
            for key in page.keys:
                yield key

    async def iter_entries(
        self, prefix: str = "", *, descending: bool = False
    ) -> AsyncIterator[Entry]:
        """Yields the keys that start with `prefix` with what they hold, in code point order.

        Args:
            prefix: What they start with; one ``*`` at its end is ignored.
            descending: From the last to the first.
        """
        read = ops.ScanKeys(_without_star(prefix), limit=_ENTRIES, descending=descending)
        async for page in self._calls.pages(read):
            for entry in page.entries:
                yield Entry.of(entry)

    async def count(self, prefix: str = "") -> int:
        """Returns how many keys start with `prefix`."""
        return await self._calls.apply(ops.CountKeys(_without_star(prefix)))

    async def clear(self) -> int:
        """Deletes every key and returns how many there were; histories and records stay.

        More than 1,000 are deleted in parts, between which others write; what they set before the
        last part is deleted too.
        """
        return await self._calls.in_parts(ops.ClearKeys(limit=ops.PART))

    # --- histories --------------------------------------------------------------------------

    def history(self, name: str) -> AsyncHistory:
        """Returns the history of this name; it need not exist yet.

        Args:
            name: Any non-empty string of at most 1,024 bytes.
        """
        return AsyncHistory(self.engine, self.namespace, name)

    async def list_histories(self, prefix: str = "") -> list[HistoryInfo]:
        """Returns every history that holds items and whose name starts with `prefix`, by name."""
        pages = self._calls.pages(ops.ListHistories(_without_star(prefix)))
        return [HistoryInfo.of(stat) async for page in pages for stat in page.histories]

    # --- records ----------------------------------------------------------------------------

    def records(self, collection: str = "default") -> AsyncRecords:
        """Returns the records of a collection; it need not exist yet.

        Args:
            collection: Any non-empty string of at most 1,024 bytes.
        """
        return AsyncRecords(self.engine, self.namespace, collection)

    async def list_collections(self, prefix: str = "") -> list[str]:
        """Returns every collection that holds records and whose name starts with `prefix`."""
        pages = self._calls.pages(ops.ListCollections(_without_star(prefix)))
        return [name async for page in pages for name in page.collections]

    # --- across the shapes ------------------------------------------------------------------

    async def revision(self) -> int:
        """Returns the number of the namespace's last change, for `watch` to go on after."""
        return (await self._calls.apply(ops.ReadChanges())).revision

    async def watch(
        self, prefix: str = "", *, after: int | None = None, poll: float = 0.5
    ) -> AsyncIterator[Change]:
        """Yields each change of the namespace as it happens, by whichever process, without end.

        What expires is not a change. Changes are kept for a day at least, of those the last
        10,000; who asks for older ones gets a change of action ``reset``.

        Args:
            prefix: Only what starts with it; one ``*`` at its end is ignored.
            after: Begin after this revision, for example the last one seen before a restart;
                None begins with what changes from now on.
            poll: Seconds between looks when nothing happens; shorter just after a change.
        """
        prefix = _without_star(prefix)
        if after is None:
            after = await self.revision()
        wait = shortest = min(0.02, poll)
        while True:
            page = await self._calls.apply(ops.ReadChanges(after))
            for entry in page.changes:
                after = entry.revision
                change = Change(*entry)
                if change.touches(prefix):
                    yield change
            if not page.changes:
                await asyncio.sleep(wait)
                wait = min(poll, wait * 2)
            else:
                wait = shortest

    def transaction(self) -> AsyncTransaction:
        """Returns a transaction: what its block writes lands together, or not at all."""
        return AsyncTransaction(self.engine, self.namespace)


def _without_star(prefix: str) -> str:
    return prefix[:-1] if isinstance(prefix, str) and prefix.endswith("*") else prefix
