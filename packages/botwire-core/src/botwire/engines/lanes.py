"""Threads for work of all lengths: what is short never waits for what is long.

All work begins in the quick lane. If it is still there after a twentieth of a second and others
wait, it gives up its thread and starts again in the slow lane, where the callers take turns. So a
caller with a hundred long requests makes only their own requests wait.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from botwire import work
from botwire.errors import BotWireError

T = TypeVar("T")

SHARE = 0.05
"""Seconds for which work keeps its thread in the quick lane while others wait."""


class TurnsPool:
    """A few threads that callers use in turn, whatever each of them asks for.

    Args:
        threads: How many.
        name: What their names begin with.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._lock = threading.Lock()
        self._queues: OrderedDict[object, deque[tuple[Future[Any], Callable[[], Any]]]]
        self._queues = OrderedDict()

    async def run(self, caller: object, call: Callable[[], T]) -> T:
        """Runs a function in a thread, when it is the caller's turn, and returns what it returns.

        Args:
            caller: Who takes turns with others.
            call: The function.
        """
        future: Future[T] = Future()
        with self._lock:
            self._queues.setdefault(caller, deque()).append((future, call))
        self._threads.submit(self._run_next)
        return await asyncio.wrap_future(future)

    def _run_next(self) -> None:
        with self._lock:
            caller, waiting = self._queues.popitem(last=False)
            future, call = waiting.popleft()
            if waiting:
                self._queues[caller] = waiting  # behind the others
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001 - whoever waits is told, whatever it is
            future.set_exception(error)
        else:
            future.set_result(result)

    def close(self) -> None:
        """Takes no more work; what runs ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class Lanes:
    """The quick lane and the slow one.

    Args:
        name: What the names of their threads begin with.
        quick: Threads of the quick lane.
        slow: Threads of the slow lane.
    """

    def __init__(self, name: str, *, quick: int, slow: int) -> None:
        self._quick = ThreadPoolExecutor(quick, thread_name_prefix=name)
        self._slow = TurnsPool(slow, f"{name}-slow")
        self._waiting: set[object] = set()

    async def run(
        self, caller: object, call: Callable[[], T], held_to: work.Verdict | None = None
    ) -> T:
        """Runs a function that can start again from the beginning, and returns what it returns.

        Args:
            caller: Who takes turns with others in the slow lane.
            call: The function; it looks up now and then, see `botwire.work`.
            held_to: What ends it early.
        """
        ticket = object()
        self._waiting.add(ticket)
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._quick, self._run_quickly, ticket, call, held_to
            )
        except work.PreemptedError:
            return await self._slow.run(caller, lambda: _held(held_to, call))
        finally:
            self._waiting.discard(ticket)  # cancelled before it began

    def _run_quickly(
        self, ticket: object, call: Callable[[], T], held_to: work.Verdict | None
    ) -> T:
        self._waiting.discard(ticket)
        end = time.monotonic() + SHARE
        given: list[BotWireError] = []

        def verdict() -> BotWireError | None:
            # Once given it stays: a database that was interrupted asks again why.
            if not given:
                if self._waiting and time.monotonic() > end:
                    given.append(work.PreemptedError("others wait"))
                elif held_to is not None and (error := held_to()) is not None:
                    given.append(error)
            return given[0] if given else None

        return _held(verdict, call)

    def close(self) -> None:
        """Takes no more work; what runs ends by itself."""
        self._quick.shutdown(wait=False, cancel_futures=True)
        self._slow.close()


def _held(verdict: work.Verdict | None, call: Callable[[], T]) -> T:
    with work.on(verdict):
        work.look()
        return call()
