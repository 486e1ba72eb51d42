"""The SQLite engine, awaited: a few threads read, and what waits to be written is one commit."""

from __future__ import annotations

import asyncio
import os
import weakref
from concurrent.futures import ThreadPoolExecutor

from botwire.engines.sqlite import SQLiteEngine
from botwire.errors import BotWireError
from botwire.operations import Batch, GetKeys, ReadHistory, Results, StatHistory

_READERS = 4
_FEW = 32  # values that are read in less time than another thread takes to begin

_Waiting = list[tuple[Batch, "asyncio.Future[Results]"]]


class AsyncSQLiteEngine:
    """Awaits a `SQLiteEngine`, from any number of event loops.

    SQLite has no asynchronous interface: threads do the work while the loop goes on. Batches that
    come while a commit is under way are handed over together as the next one, so a thousand
    concurrent writers cost a thread switch a commit and not one each.

    Args:
        engine: Where batches are applied; closed with this.
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

    def _start_threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(_READERS + 1, thread_name_prefix="botwire-sqlite")

    def _pool(self) -> ThreadPoolExecutor:
        if self._process != os.getpid():
            # A fork copies this object and not its threads.
            self._threads, self._process = self._start_threads(), os.getpid()
        return self._threads

    async def apply(self, batch: Batch) -> Results:
        """Applies a batch and returns one result an operation; see `Engine.apply`."""
        loop = asyncio.get_running_loop()
        if not batch.writes:
            results = self.engine.read_at_once(batch) if _is_short(batch) else None
            if results is not None:
                return results
            return await loop.run_in_executor(self._pool(), self.engine.apply, batch)
        answer: asyncio.Future[Results] = loop.create_future()
        self._waiting.setdefault(loop, []).append((batch, answer))
        if loop not in self._committing:
            self._committing[loop] = loop.create_task(self._commit(loop))
        # A caller that is cancelled gives up its own answer, and not the commit of all who wait.
        return await answer

    async def _commit(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            while waiting := self._waiting.pop(loop, None):
                batches = [batch for batch, _ in waiting]
                try:
                    outcomes = await loop.run_in_executor(
                        self._pool(), self.engine.apply_group, batches
                    )
                except asyncio.CancelledError:
                    # The loop ends, and whoever waited was cancelled too: nobody would look at an
                    # exception, and asyncio complains of one that nobody looked at.
                    for _, answer in waiting:
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
        """Removes what expired; see `SQLiteEngine.sweep`."""
        await asyncio.get_running_loop().run_in_executor(self._pool(), self.engine.sweep)

    async def aclose(self) -> None:
        """Waits for what is being written and gives the file back."""
        loop = asyncio.get_running_loop()
        if committing := self._committing.get(loop):
            await committing
        await loop.run_in_executor(self._pool(), self.engine.close)
        self._pool().shutdown(wait=False)
        self._process = 0  # the next use starts threads again


def _is_short(batch: Batch) -> bool:
    """Says whether a batch reads so little that handing it to a thread would take longer."""
    if len(batch.operations) != 1:
        return False
    (operation,) = batch.operations
    if isinstance(operation, GetKeys):
        return len(operation.keys) <= _FEW
    if isinstance(operation, ReadHistory):
        return operation.limit <= _FEW
    return isinstance(operation, StatHistory)
