"""The asynchronous SQLite engine: reads run in two lanes of threads, writes share commits."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from botwire.engines.lanes import Lanes
from botwire.engines.sql import pages, planning
from botwire.engines.sql.plans import UnplannedError
from botwire.engines.sqlite.choosing import CommitChooser, Planned, are_little
from botwire.engines.sqlite.engine import SQLiteEngine
from botwire.errors import BotWireError
from botwire.operations import Batch, Results
from botwire.threads import in_thread, running_loop

_QUICK, _SLOW = 4, 2  # threads for reads; see `lanes`
# Once commits block an event loop for longer than this on average, the thread commits for a while.
_QUICK_SECONDS, _SLOW_SECONDS = 0.005, 0.1


class _Order(NamedTuple):
    """A batch to commit, and the caller that waits for its outcome."""

    planned: Planned
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Results]


class _Writer:
    """A thread that commits batches, and tells their callers itself.

    Batches that arrive in one turn of an event loop, or during a commit, share the next commit. So
    a thousand concurrent writers cost one thread switch per commit.

    A few little batches may be committed on their event loop instead, which saves two switches of
    threads, as Redis does it. After slow commits, the disk is not trusted for a while.

    Args:
        engine: Commits batches together, and returns the outcome of each.
    """

    def __init__(self, engine: SQLiteEngine) -> None:
        self._engine = engine
        self._turns = CommitChooser()
        self._arriving: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, list[_Order]]
        self._arriving = weakref.WeakKeyDictionary()
        self._waiting: deque[_Order] = deque()
        self._is_called = False
        self._mean = self._slow_until = 0.0  # seconds that a commit blocked an event loop lately
        self._committing = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="botwire-write")

    async def write(self, planned: Planned, *, may_block: bool) -> Results:
        """Applies a batch and returns one result per operation.

        Args:
            planned: The batch.
            may_block: Whether the event loop may be blocked for a commit.
        """
        loop = running_loop()
        order = _Order(planned, loop, loop.create_future())
        arriving = self._arriving.get(loop)
        if arriving is None:
            self._arriving[loop] = [order]
            loop.call_soon(self._hand_over, loop, may_block)
        else:
            arriving.append(order)
        # A cancelled caller gives up its own answer, not the commit that others share.
        return await order.answer

    def _hand_over(self, loop: asyncio.AbstractEventLoop, may_block: bool = False) -> None:
        """Passes what has arrived in a turn of a loop to the thread."""
        arrived = self._arriving.pop(loop, [])
        if may_block and self._commit_at_once(arrived):
            return
        self._waiting.extend(arrived)
        if self._is_called or not self._waiting:
            return
        self._is_called = True
        try:
            self._thread.submit(self._commit_all)
        except RuntimeError:  # see `in_thread`
            self._commit_all()

    def _commit_at_once(self, arrived: Sequence[_Order]) -> bool:
        """Commits batches here, unless that may take long; returns whether they have an outcome."""
        began = time.monotonic()
        planned = [order.planned for order in arrived]
        if began < self._slow_until or self._waiting or not are_little(planned):
            return False
        outcomes: Sequence[Results | BaseException] | None
        try:
            outcomes = self._engine.apply_at_once(planned)
        except BaseException as error:  # noqa: BLE001 - raised where the callers wait
            outcomes = [error] * len(arrived)
        if outcomes is None:
            return False
        ended = time.monotonic()
        self._mean += (ended - began - self._mean) / 8
        if self._mean > _QUICK_SECONDS:
            self._mean, self._slow_until = 0.0, ended + _SLOW_SECONDS
        _tell(list(zip(arrived, outcomes, strict=True)))
        return True

    def _commit_all(self) -> None:
        self._is_called = False  # first: what arrives too late for this call makes another one
        with self._committing:
            self._commit_waiting()

    def _commit_waiting(self) -> None:
        while self._waiting:
            arrived = [self._waiting.popleft() for _ in range(len(self._waiting))]
            chosen, rest = self._turns.choose(arrived, lambda order: order.planned)
            self._waiting.extendleft(reversed(rest))
            outcomes: Sequence[Results | BaseException]
            try:
                outcomes = self._engine.apply_group([order.planned for order in chosen])
            except BaseException as error:  # noqa: BLE001 - raised where the callers wait
                outcomes = [error] * len(chosen)
            told = list(zip(chosen, outcomes, strict=True))
            for loop in {order.loop for order in chosen}:
                with contextlib.suppress(RuntimeError):  # it has ended, and its callers with it
                    loop.call_soon_threadsafe(_tell, [one for one in told if one[0].loop is loop])

    async def close(self, then: Callable[[], object]) -> None:
        """Commits what waits, calls a function, and ends the thread."""
        loop = running_loop()
        self._hand_over(loop)
        await in_thread(then, threads=self._thread)
        self._thread.shutdown(wait=False)


def _tell(told: Sequence[tuple[_Order, Results | BaseException]]) -> None:
    for order, outcome in told:
        if order.answer.done():  # the caller was cancelled
            continue
        if isinstance(outcome, BaseException):
            order.answer.set_exception(outcome)
        else:
            order.answer.set_result(outcome)


class _Threads(NamedTuple):
    """Separate threads for reads, writes and maintenance."""

    readers: Lanes
    writer: _Writer
    maintainer: ThreadPoolExecutor


class AsyncSQLiteEngine:
    """Runs a `SQLiteEngine` in threads, for any number of event loops.

    SQLite has no asynchronous interface.

    Args:
        engine: The engine that applies batches. Closed with this one.

    Attributes:
        commits_on_loop: Whether an event loop commits a lone, short write itself, which blocks it
            for a sync of the disk. Off unless a server, whose loop does nothing else, sets it.
    """

    def __init__(self, engine: SQLiteEngine) -> None:
        self.engine = engine
        self.commits_on_loop = False
        self._may_read_on_loop = True
        self._threads = self._start_threads()
        self._process = os.getpid()

    def _start_threads(self) -> _Threads:
        return _Threads(
            Lanes("botwire-read", quick=_QUICK, slow=_SLOW),
            _Writer(self.engine),
            ThreadPoolExecutor(1, thread_name_prefix="botwire-maintain"),
        )

    def _pool(self) -> _Threads:
        if self._process != os.getpid():
            # A fork copies this object but not its threads.
            self._threads, self._process = self._start_threads(), os.getpid()
        return self._threads

    async def apply(self, batch: Batch) -> Results:
        """Applies a batch and returns one result per operation; see `Engine.apply`."""
        if batch.maintains:
            return await in_thread(self.engine.apply, batch, threads=self._pool().maintainer)
        if not batch.writes:
            results = self._read_at_once(batch)
            if results is not None:
                return results
            held_to = None if batch.terms is None else batch.terms.verdict
            return await self._pool().readers.run(
                batch.namespace, lambda: self.engine.apply(batch), held_to
            )
        tried = 0
        while True:
            try:
                planned = await self._plan(batch, tried)
                return await self._pool().writer.write(planned, may_block=self.commits_on_loop)
            except UnplannedError:
                tried += 1

    def _read_at_once(self, batch: Batch) -> Results | None:
        """Returns the results of a short read; None if a thread must read."""
        if not self._may_read_on_loop or not pages.is_short(batch):
            return None
        try:
            return self.engine.read_at_once(batch)
        except BotWireError:
            raise
        except Exception:  # noqa: BLE001 - a thread meets the error again, if it is one of the store
            # `langgraph dev` lets no file be read on an event loop, by blockbuster.
            self._may_read_on_loop = False
            return None

    async def _plan(self, batch: Batch, tried: int) -> Planned:
        first = planning.first_plan(batch) if tried == 0 else None
        if first is not None:
            return Planned(batch, first)
        held_to = None if batch.terms is None else batch.terms.verdict
        return await self._pool().readers.run(
            batch.namespace, lambda: self.engine.plan(batch, tried), held_to
        )

    async def sweep(self) -> None:
        """Removes expired data; see `SQLiteEngine.sweep`."""
        await in_thread(self.engine.sweep, threads=self._pool().maintainer)

    async def aclose(self) -> None:
        """Waits for the batches that wait to be committed, then closes the file."""
        threads = self._pool()
        await threads.writer.close(self.engine.close)
        threads.readers.close()
        threads.maintainer.shutdown(wait=False)
        self._process = 0  # makes the next use start new threads
