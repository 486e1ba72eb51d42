"""An engine that wraps another one and sends concurrent reads as one request."""

from __future__ import annotations

import os
import threading
from collections import deque
from concurrent.futures import Future

from botwire.engines.protocol import Engine
from botwire.errors import BotWireError, TransportError
from botwire.operations import Batch, Results

_TOGETHER = 32  # most batches per request; all their answers are in memory at once

_Waiting = tuple[Batch, "Future[Results]"]


class GatheringEngine:
    """Collects the reads that arrive during a request and sends them together as the next one.

    For frameworks that read from many threads over a network: CrewAI makes up to 120 searches per
    recall. A lone read is sent at once, nothing is cached, and writes are passed on directly.

    Args:
        engine: The engine that applies batches. Closed with this one.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._queues: dict[int, _WaitingReads] = {}

    @property
    def waiting(self) -> int:
        """The number of reads that wait for the current request to end."""
        return len(self._queue().waiting)

    def apply(self, batch: Batch) -> Results:
        """Applies a batch, possibly in one request with those of other threads.

        Raises:
            BotWireError: This batch failed. Failures of other batches are not raised here.
        """
        if batch.writes or batch.at is not None:
            return self.engine.apply(batch)
        queue = self._queue()
        answer: Future[Results] = Future()
        queue.waiting.append((batch, answer))
        with queue.lock:
            self._send_until(answer, queue)
        return answer.result()

    def sweep(self) -> None:
        """Removes expired data; see `Engine.sweep`."""
        self.engine.sweep()

    def close(self) -> None:
        """Closes the engine behind this one; see `Engine.close`."""
        self.engine.close()

    def _queue(self) -> _WaitingReads:
        # A fork may copy a lock whose owning thread is not copied, so a child uses its own.
        process = os.getpid()
        return self._queues.get(process) or self._queues.setdefault(process, _WaitingReads())

    def _send_until(self, answer: Future[Results], queue: _WaitingReads) -> None:
        """Sends all waiting reads, unless the thread that had the lock before has done so."""
        # A function of its own because a block that holds a lock must not contain a loop; see
        # `engines/sqlite/writer.py`.
        while not answer.done():
            self._send(queue)

    def _send(self, queue: _WaitingReads) -> None:
        together = queue.take()
        try:
            answers = self._apply_all([batch for batch, _ in together])
        except TransportError as error:
            # Reads that arrived meanwhile fail too: they have already waited for the whole timeout.
            _fail([*together, *queue.take_all()], error)
        except BotWireError as error:
            if len(together) == 1:
                _fail(together, error)
                return
            # A single batch may be to blame, for example one with a vector of the wrong dimension.
            for batch, answer in together:
                try:
                    answer.set_result(self.engine.apply(batch))
                except BotWireError as own_error:
                    answer.set_exception(own_error)
        except BaseException as error:
            _fail(together, error)
            raise
        else:
            for (_, answer), results in zip(together, answers, strict=True):
                answer.set_result(results)

    def _apply_all(self, batches: list[Batch]) -> list[Results]:
        operations = [operation for batch in batches for operation in batch.operations]
        results = iter(self.engine.apply(Batch(batches[0].namespace, tuple(operations))))
        return [[next(results) for _ in batch.operations] for batch in batches]


class _WaitingReads:
    """The waiting reads, in order of arrival."""

    def __init__(self) -> None:
        self.lock = threading.Lock()  # held by the thread that sends
        self.waiting: deque[_Waiting] = deque()

    def take(self) -> list[_Waiting]:
        """Removes and returns the first waiting reads, all of one namespace."""
        together = [self.waiting.popleft()]
        namespace = together[0][0].namespace
        while self.waiting and len(together) < _TOGETHER:
            if self.waiting[0][0].namespace != namespace:
                break
            together.append(self.waiting.popleft())
        return together

    def take_all(self) -> list[_Waiting]:
        """Removes and returns all waiting reads."""
        return [self.waiting.popleft() for _ in range(len(self.waiting))]


def _fail(waiting: list[_Waiting], error: BaseException) -> None:
    for _, answer in waiting:
        answer.set_exception(error)
