"""Threads for work of all lengths: no one waits for others' long work."""

from __future__ import annotations

import asyncio
import functools
import threading
import time

import pytest

from botwire import work
from botwire.engines.lanes import FairPool, Lanes
from botwire.errors import InvalidRequestError


async def test_what_is_long_makes_room_for_what_is_short() -> None:
    lanes = Lanes("test", quick=2, slow=1)
    end = threading.Event()

    def long() -> str:
        while not end.is_set():
            work.look()
            time.sleep(0.001)
        return "long"

    try:
        slow = [asyncio.create_task(lanes.run("a", long)) for _ in range(8)]
        await asyncio.sleep(0)
        async with asyncio.timeout(30):
            assert await lanes.run("b", lambda: "short") == "short"
        assert not any(task.done() for task in slow)
        end.set()
        assert await asyncio.gather(*slow) == ["long"] * 8
    finally:
        end.set()
        lanes.close()


async def test_callers_take_turns() -> None:
    pool = FairPool(1, "test")
    begun, order = threading.Event(), []

    def first() -> None:
        begun.wait()

    try:
        waiting = [asyncio.create_task(pool.run("a", first))]
        waiting += [
            asyncio.create_task(pool.run(caller, functools.partial(order.append, caller)))
            for caller in ("a", "a", "a", "b")
        ]
        await asyncio.sleep(0)
        begun.set()
        await asyncio.gather(*waiting)
        assert order.index("b") <= 1
    finally:
        begun.set()
        pool.close()


async def test_work_ends_when_its_time_is_over_or_its_caller_has_left() -> None:
    lanes = Lanes("test", quick=1, slow=1)

    def endless() -> None:
        while True:
            work.look()

    try:
        with pytest.raises(InvalidRequestError, match="seconds of work"):
            await lanes.run("a", endless, work.Work(0.05).verdict)
        held_to = work.Work(60)
        running = asyncio.create_task(lanes.run("a", endless, held_to.verdict))
        await asyncio.sleep(0)
        held_to.cancel()
        with pytest.raises(work.CancelledWorkError):
            await running
    finally:
        lanes.close()
