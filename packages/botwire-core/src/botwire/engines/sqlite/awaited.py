"""The asynchronous SQLite engine: reads run in two lanes of threads, writes share commits."""

from __future__ import annotations

import asyncio
import os
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from botwire.engines.lanes import Lanes
from botwire.engines.sql import pages, planning
from botwire.engines.sql.plans import UnplannedError
from botwire.engines.sqlite.engine import SQLiteEngine
from botwire.engines.sqlite.writer import CommitChooser, Planned
from botwire.errors import BotWireError
from botwire.operations import Batch, Results

_QUICK, _SLOW = 4, 2  # threads for reads; see `lanes`

_Waiting = list[tuple[Planned, "asyncio.Future[Results]"]]


class _Threads(NamedTuple):
    """Separate threads for reads, writes and maintenance."""

    readers: Lanes
    writer: ThreadPoolExecutor
    maintainer: ThreadPoolExecutor


class AsyncSQLiteEngine:
    """Runs a `SQLiteEngine` in threads, for any number of event loops.

    SQLite has no asynchronous interface. Short batches that arrive during a commit are handed over
    together as the next one, so a thousand concurrent writers cost one thread switch per commit.

    Args:
        engine: The engine that applies batches. Closed with this one.
    """

    def __init__(self, engine: SQLiteEngine) -> None:
        self.engine = engine
        self._threads = self._start_threads()
        self._process = os.getpid()
        self._waiting: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Waiting] = (
            weakref.WeakKeyDictionary()
        )
        self._committing: weakref.WeakKeyDictionary[
            asyncio.AbstractEventLoop, asyncio.Task[None]
        ] = weakref.WeakKeyDictionary()

    def _start_threads(self) -> _Threads:
        return _Threads(
            Lanes("botwire-read", quick=_QUICK, slow=_SLOW),
            ThreadPoolExecutor(1, thread_name_prefix="botwire-write"),
            ThreadPoolExecutor(1, thread_name_prefix="botwire-maintain"),
        )

    def _pool(self) -> _Threads:
        if self._process != os.getpid():
            # A fork copies this object but not its threads.
            self._threads, self._process = self._start_threads(), os.getpid()
        return self._threads

    async def apply(self, batch: Batch) -> Results:
        """Applies a batch and returns one result per operation; see `Engine.apply`."""
        loop = asyncio.get_running_loop()
        if batch.maintains:
            return await loop.run_in_executor(self._pool().maintainer, self.engine.apply, batch)
        if not batch.writes:
            results = self.engine.read_at_once(batch) if pages.is_short(batch) else None
            if results is not None:
                return results
            held_to = None if batch.terms is None else batch.terms.verdict
            return await self._pool().readers.run(
                batch.namespace, lambda: self.engine.apply(batch), held_to
            )
        tried = 0
        while True:
            try:
                return await self._write(loop, await self._plan(loop, batch, tried))
            except UnplannedError:
                tried += 1

    async def _plan(self, loop: asyncio.AbstractEventLoop, batch: Batch, tried: int) -> Planned:
        first = planning.first_plan(batch) if tried == 0 else None
        if first is not None:
            return Planned(batch, first)
        held_to = None if batch.terms is None else batch.terms.verdict
        return await self._pool().readers.run(
            batch.namespace, lambda: self.engine.plan(batch, tried), held_to
        )

    async def _write(self, loop: asyncio.AbstractEventLoop, planned: Planned) -> Results:
        answer: asyncio.Future[Results] = loop.create_future()
        self._waiting.setdefault(loop, []).append((planned, answer))
        if loop not in self._committing:
            self._committing[loop] = loop.create_task(self._commit(loop))
        # A cancelled caller gives up its own answer, not the commit that others share.
        return await answer

    async def _commit(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            turns = CommitChooser()
            while arrived := self._waiting.pop(loop, None):
                waiting, rest = turns.choose(arrived, lambda one: one[0])
                if rest:
                    self._waiting[loop] = rest
                batches = [batch for batch, _ in waiting]
                try:
                    outcomes = await loop.run_in_executor(
                        self._pool().writer, self.engine.apply_group, batches
                    )
                except asyncio.CancelledError:
                    # The loop ends and the waiting callers were cancelled too. asyncio would warn
                    # about an exception that is never retrieved, so cancel instead.
                    for _, answer in waiting + self._waiting.pop(loop, []):
                        answer.cancel()
                    raise
                except BaseException as error:
                    for _, answer in waiting:
                        if not answer.done():
                            answer.set_exception(error)
                    if not isinstance(error, Exception):
                        raise
                    continue
                for (_, answer), outcome in zip(waiting, outcomes, strict=True):
                    if answer.done():
                        continue
                    if isinstance(outcome, BotWireError):
                        answer.set_exception(outcome)
                    else:
                        answer.set_result(outcome)
        finally:
            del self._committing[loop]

    async def sweep(self) -> None:
        """Removes expired data; see `SQLiteEngine.sweep`."""
        await asyncio.get_running_loop().run_in_executor(self._pool().maintainer, self.engine.sweep)

    async def aclose(self) -> None:
        """Waits for the current commit, then closes the file."""
        loop = asyncio.get_running_loop()
        if committing := self._committing.get(loop):
            await committing
        threads = self._pool()
        await loop.run_in_executor(threads.writer, self.engine.close)
        threads.readers.close()
        threads.writer.shutdown(wait=False)
        threads.maintainer.shutdown(wait=False)
        self._process = 0  # makes the next use start new threads
