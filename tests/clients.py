"""One suite for both clients: wraps the blocking one so that it can be awaited."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from botwire import AsyncMemory, History, Memory
from botwire.clock import now
from botwire.engines.sqlite import SQLiteEngine


class Awaited:
    """Calls a blocking client at once, and makes its results awaitable."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._client, "close" if name == "aclose" else name)
        if not callable(member):
            return member
        if name in ("at", "by", "history", "records", "with_namespace"):
            return lambda *args, **kwargs: Awaited(member(*args, **kwargs))
        if name == "transaction":
            return member
        if name in ("iter_entries", "iter_keys", "newest_first", "watch"):
            return lambda *args, **kwargs: _stream(member(*args, **kwargs))

        async def call(*args: Any, **kwargs: Any) -> Any:
            answer = member(*args, **kwargs)
            return await answer if inspect.isawaitable(answer) else answer

        return call

    async def __aenter__(self) -> Any:
        if hasattr(self._client, "__aenter__"):
            await self._client.__aenter__()
        else:
            self._client.__enter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        if hasattr(self._client, "__aexit__"):
            await self._client.__aexit__(*error)
        else:
            self._client.__exit__(*error)

    def __aiter__(self) -> AsyncIterator[Any]:
        return _stream(iter(self._client))


async def _stream(iterator: Iterator[Any]) -> AsyncIterator[Any]:
    for part in iterator:
        yield part


def blocking(client: Memory | History) -> Any:
    """Returns a blocking client that can be awaited."""
    return Awaited(client)


def open_client(flavor: str, namespace: str, url: str) -> Any:
    """Opens a client of a flavor, ``blocking`` or ``awaited``, with the interface of the latter."""
    if flavor == "blocking":
        return blocking(Memory(namespace, url=url))
    return AsyncMemory(namespace, url=url)


@contextlib.contextmanager
def later(path: Path, namespace: str, seconds: float) -> Iterator[Memory]:
    """Yields a client of a SQLite file whose clock is some seconds ahead."""

    def ahead() -> int:
        return now() + round(seconds * 1_000_000)

    with contextlib.closing(SQLiteEngine(path, clock=ahead)) as engine:
        yield Memory(namespace, engine=engine)
