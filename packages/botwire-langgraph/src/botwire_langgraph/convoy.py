"""Sends the writes of a step's tasks in one batch with the checkpoint that follows them.

LangGraph puts both in the background, the writes of a step just before its checkpoint. So writes
wait a moment for a checkpoint of their thread. If none comes, as while other tasks of the step
still run, they go alone. If the joint batch fails, each is sent and answered separately.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from botwire import APIError, BotWireError
from botwire.connection import Connection
from botwire.operations import AnyOperation, Results
from botwire_langgraph.running import BatchProgram, Pause, arun, run

T = TypeVar("T")

_LINGER = 0.005  # seconds; LangGraph takes one or two from the writes to the checkpoint


class Convoy:
    """The writes that wait for a checkpoint; safe for use from any OS thread and event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, list[_Rider]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """A deep copy or a pickle of a saver has no writes that wait."""
        return type(self), ()

    def lead(self, thread: str, program: BatchProgram[T]) -> BatchProgram[T]:
        """Runs a program, whose first batch takes along the writes waiting in its thread."""
        try:
            operations = next(program)
            while isinstance(operations, Pause):
                yield operations
                operations = program.send([])
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        with self._lock:
            riders = self._waiting.pop(thread, [])
        results: Results | None = None
        if riders:
            together = [operation for rider in riders for operation in rider.operations]
            try:
                results = list((yield (*together, *operations)))
            except APIError:
                pass  # the store refused one of them: each is sent again and gets its own answer
            except BotWireError as error:
                # The server does not answer. All riders fail now, instead of each timing out again.
                for rider in riders:
                    rider.answer.set_exception(error)
                raise
            finally:
                # Runs even if this call was cancelled, so that no rider waits forever.
                for rider in riders:
                    if not rider.answer.done():
                        count = len(rider.operations)
                        rider.answer.set_result(None if results is None else results[:count])
                        if results is not None:
                            del results[:count]
        return (yield from _go_on(program, operations, results))

    def follow(self, connection: Connection, thread: str, program: BatchProgram[None]) -> None:
        """Runs a program that puts writes, its first batch with a checkpoint's if one comes."""
        operations = next(program, None)
        if operations is None or isinstance(operations, Pause):  # it never begins with a pause
            return
        rider = self._board(thread, operations)
        wait([rider.answer], _LINGER)
        results = None if self._leave(thread, rider) else rider.answer.result()
        run(connection, _go_on(program, operations, results))

    async def afollow(
        self, connection: Connection, thread: str, program: BatchProgram[None]
    ) -> None:
        """Like `follow`."""
        operations = next(program, None)
        if operations is None or isinstance(operations, Pause):  # it never begins with a pause
            return
        rider = self._board(thread, operations)
        answer = asyncio.wrap_future(rider.answer)
        try:
            await asyncio.wait([answer], timeout=_LINGER)
        finally:
            left = self._leave(thread, rider)
        results = None if left else await answer
        await arun(connection, _go_on(program, operations, results))

    def _board(self, thread: str, operations: tuple[AnyOperation, ...]) -> _Rider:
        rider = _Rider(operations)
        with self._lock:
            self._waiting.setdefault(thread, []).append(rider)
        return rider

    def _leave(self, thread: str, rider: _Rider) -> bool:
        """Withdraws a rider; returns False if a checkpoint has already taken it along."""
        with self._lock:
            riders = self._waiting.get(thread, [])
            if rider not in riders:
                return False
            riders.remove(rider)
            if not riders:
                del self._waiting[thread]
            return True


class _Rider:
    """A batch that waits for another to join.

    Attributes:
        operations: The batch.
        answer: Its results; None if it must be sent alone.
    """

    def __init__(self, operations: tuple[AnyOperation, ...]) -> None:
        self.operations = operations
        self.answer: Future[Results | None] = Future()
        # If the waiting task is cancelled, setting the answer must not fail.
        self.answer.set_running_or_notify_cancel()


def _go_on(
    program: BatchProgram[T], operations: tuple[AnyOperation, ...] | Pause, results: Results | None
) -> BatchProgram[T]:
    """Runs the rest of a program that yielded a batch; `results` are its results, if known."""
    try:
        while True:
            if results is None:
                try:
                    results = yield operations
                except BotWireError as error:
                    operations = program.throw(error)
                    continue
            operations = program.send(results)
            results = None
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
