"""Watchers of a namespace share one look; each sees every change once, in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import pytest

from botwire import operations as ops
from botwire.errors import AuthenticationError, ServerError
from botwire_server import watching
from botwire_server.metrics import Metrics
from botwire_server.watching import Watchers


class Log:
    """The log of changes of one namespace, and how often it was read."""

    def __init__(self) -> None:
        self.entries: list[ops.ChangeEntry] = []
        self.looks = self.reads = 0
        self.fails = False
        self.watchers = Watchers(self.look, Metrics())

    def add(self, action: str = "put") -> None:
        self.entries.append(ops.ChangeEntry(len(self.entries) + 1, "key", action, "k"))

    async def until(self, check: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not check():  # noqa: ASYNC110 - what it waits for has no event
                await asyncio.sleep(0)

    def page(self, after: int) -> ops.ChangePage:
        if self.fails:
            raise ServerError("the disk is full", status=503)
        found = [entry for entry in self.entries if entry.revision > after]
        return ops.ChangePage(found[:100], len(self.entries))

    async def look(self, namespace: str, after: int) -> ops.ChangePage:
        self.looks += 1
        return self.page(after)

    async def read(self, after: int | None) -> ops.ChangePage:
        self.reads += 1
        assert after is not None
        return self.page(after)

    async def allow(self) -> None: ...

    def follow(self, after: int = 0, check: Any = None) -> AsyncIterator[ops.ChangePage]:
        return self.watchers.follow("n", after, self.read, check or self.allow)


async def numbers(stream: AsyncIterator[ops.ChangePage], most: int) -> list[int]:
    found: list[int] = []
    async with aclosing(stream) as pages:  # type: ignore[type-var]
        async for page in pages:
            found += [entry.revision for entry in page.changes]
            if len(found) >= most:
                break
    return found


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    monkeypatch.setattr(watching, "LOOK_EVERY", 0.01)
    return Log()


async def started(log: Log, count: int, most: int, after: int = 0) -> list[asyncio.Task[list[int]]]:
    tasks = [asyncio.create_task(numbers(log.follow(after), most)) for _ in range(count)]
    await log.until(lambda: log.reads >= count)
    return tasks


async def test_all_watchers_of_a_namespace_share_one_look(log: Log) -> None:
    tasks = await started(log, 100, 3)
    for _ in range(3):
        looks = log.looks
        await log.until(lambda looks=looks: log.looks > looks)  # another process writes meanwhile
        log.add()
    assert await asyncio.gather(*tasks) == [[1, 2, 3]] * 100
    assert log.reads == 100  # each reads once to catch up, and never again
    looks = log.looks
    await asyncio.sleep(0.05)
    assert log.looks == looks  # without watchers there are no reads


async def test_a_write_of_this_process_is_looked_for_at_once(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "LOOK_EVERY", 1000.0)
    tasks = await started(log, 3, 1)
    log.add()
    log.watchers.wake("other")
    log.watchers.wake("n")
    assert await asyncio.gather(*tasks) == [[1]] * 3


async def test_a_watcher_that_falls_behind_misses_nothing(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_KEPT", 10)
    slow = log.follow()
    log.add()
    assert (await anext(slow)).changes[-1].revision == 1
    (quick,) = await started(log, 1, 400)
    for _ in range(399):
        log.add()
        log.watchers.wake("n")
        await asyncio.sleep(0)
    assert await quick == list(range(1, 401))
    assert await numbers(slow, 399) == list(range(2, 401))


async def test_a_reset_reaches_all(log: Log) -> None:
    log.add()
    log.add()
    tasks = [asyncio.create_task(numbers(log.follow(2), 1)) for _ in range(5)]
    await log.until(lambda: log.looks > 1)
    log.add("reset")
    assert await asyncio.gather(*tasks) == [[3]] * 5


async def test_a_store_that_fails_ends_all_with_its_error(log: Log) -> None:
    tasks = await started(log, 3, 1)
    await log.until(lambda: log.looks > 0)
    log.fails = True
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(result, ServerError)
    log.fails = False
    log.add()
    assert await numbers(log.follow(), 1) == [1]


async def test_a_revoked_key_ends_its_own_watcher(log: Log) -> None:
    async def refuse() -> None:
        raise AuthenticationError("this API key has expired or was revoked")

    revoked = asyncio.create_task(numbers(log.follow(0, refuse), 1))
    (other,) = await started(log, 1, 1)
    with pytest.raises(AuthenticationError):
        await revoked
    log.add()
    assert await other == [1]


async def test_silence_is_broken_by_an_empty_page(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "HEARTBEAT", 0.01)
    async with aclosing(log.follow()) as pages:  # type: ignore[type-var]
        assert (await anext(pages)).revision == 0


async def test_a_stop_ends_all(log: Log) -> None:
    tasks = await started(log, 3, 1)
    log.watchers.close()
    assert await asyncio.gather(*tasks) == [[]] * 3
