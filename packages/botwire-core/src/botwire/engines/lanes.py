"""Thread pools in which short work never waits for long work.

All work starts in the quick lane. If it runs for more than a twentieth of a second while others
wait, it gives up its thread and restarts in the slow lane, where callers take turns. So a caller
with a hundred long requests delays only itself.
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
from botwire.threads import in_thread

T = TypeVar("T")

SHARE = 0.05
"""Seconds that work may keep a thread of the quick lane while others wait."""


class FairPool:
    """A thread pool that serves callers round robin, however much each submits.

    Args:
        threads: The number of threads.
        name: The prefix of the threads' names.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._lock = threading.Lock()
        self._queues: OrderedDict[object, deque[tuple[Future[Any], Callable[[], Any]]]]
        self._queues = OrderedDict()

    async def run(self, caller: object, call: Callable[[], T]) -> T:
        """Returns the result of a function, run in a thread when it is the caller's turn.

        Args:
            caller: Identifies the caller that takes turns with others.
            call: The function.
        """
        future: Future[T] = Future()
        with self._lock:
            self._queues.setdefault(caller, deque()).append((future, call))
        try:
            self._threads.submit(self._run_next)
        except RuntimeError:  # see `in_thread`
            self._run_next()
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
        except BaseException as error:  # noqa: BLE001 - re-raised where the future is awaited
            future.set_exception(error)
        else:
            future.set_result(result)

    def close(self) -> None:
        """Ends the threads once the calls that run or wait are done."""
        self._threads.shutdown(wait=False)


class Lanes:
    """The quick lane and the slow lane.

    Args:
        name: The prefix of the threads' names.
        quick: The number of threads in the quick lane.
        slow: The number of threads in the slow lane.
    """

    def __init__(self, name: str, *, quick: int, slow: int) -> None:
        self._quick = ThreadPoolExecutor(quick, thread_name_prefix=name)
        self._slow = FairPool(slow, f"{name}-slow")
        self._waiting: set[object] = set()

    async def run(
        self, caller: object, call: Callable[[], T], held_to: work.Verdict | None = None
    ) -> T:
        """Returns the result of a function that can be restarted.

        Args:
            caller: Identifies the caller that takes turns with others in the slow lane.
            call: The function. It calls `botwire.work.look` now and then.
            held_to: Ends the function early.
        """
        ticket = object()
        self._waiting.add(ticket)
        try:
            return await in_thread(self._run_quickly, ticket, call, held_to, threads=self._quick)
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
            # A verdict is final: an interrupted database asks a second time for the reason.
            if not given:
                if self._waiting and time.monotonic() > end:
                    given.append(work.PreemptedError("others wait"))
                elif held_to is not None and (error := held_to()) is not None:
                    given.append(error)
            return given[0] if given else None

        return _held(verdict, call)

    def close(self) -> None:
        """Ends the threads once the calls that run or wait are done."""
        self._quick.shutdown(wait=False)
        self._slow.close()


def _held(verdict: work.Verdict | None, call: Callable[[], T]) -> T:
    with work.on(verdict):
        work.look()
        return call()
