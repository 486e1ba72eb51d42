"""An engine before another: what several threads read at once is one request."""

from __future__ import annotations

import os
import threading
from collections import deque
from concurrent.futures import Future

from botwire.engines.protocol import Engine
from botwire.errors import BotWireError, TransportError
from botwire.operations import Batch, Results

_TOGETHER = 32  # batches of one request; their answers are held in memory at once

_Waiting = tuple[Batch, "Future[Results]"]


class GatheringEngine:
    """Sends reads that come while another is on its way as one batch, the next.

    For frameworks that read from many threads over a network: CrewAI makes up to 120 searches for
    one recall. A lone read goes at once and alone, so nobody waits for company; nothing is kept
    between reads, and each sees memory as it is after it was asked. Writes pass as they come.

    Args:
        engine: Where batches are applied; closed with this.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._turns: dict[int, _Turn] = {}

    @property
    def waiting(self) -> int:
        """How many reads wait for the one that is on its way."""
        return len(self._turn().waiting)

    def apply(self, batch: Batch) -> Results:
        """Applies a batch, perhaps together with those of other threads.

        Raises:
            BotWireError: It failed; another's failure is not raised here.
        """
        if batch.writes:
            return self.engine.apply(batch)
        turn = self._turn()
        answer: Future[Results] = Future()
        turn.waiting.append((batch, answer))
        with turn.lock:
            # Whoever gets the lock asks for all who wait; the others then find their answers.
            while not answer.done():
                self._send(turn)
        return answer.result()

    def sweep(self) -> None:
        """Removes what expired; see `Engine.sweep`."""
        self.engine.sweep()

    def close(self) -> None:
        """Closes the engine behind; see `Engine.close`."""
        self.engine.close()

    def _turn(self) -> _Turn:
        # A fork may copy a lock that a thread holds which is not copied: a child has its own.
        process = os.getpid()
        return self._turns.get(process) or self._turns.setdefault(process, _Turn())

    def _send(self, turn: _Turn) -> None:
        together = turn.take()
        try:
            answers = self._apply_all([batch for batch, _ in together])
        except TransportError as error:
            # Whoever came meanwhile has waited for this same answer: one time limit is enough.
            _fail([*together, *turn.take_all()], error)
        except BotWireError as error:
            if len(together) == 1:
                _fail(together, error)
                return
            # One of them may be to blame, for example a vector of another dimension.
            for batch, answer in together:
                try:
                    answer.set_result(self.engine.apply(batch))
                except BotWireError as its_own:
                    answer.set_exception(its_own)
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


class _Turn:
    """Who waits, in the order they came."""

    def __init__(self) -> None:
        self.lock = threading.Lock()  # held by whoever sends
        self.waiting: deque[_Waiting] = deque()

    def take(self) -> list[_Waiting]:
        """Returns the first who wait, all of one namespace."""
        together = [self.waiting.popleft()]
        namespace = together[0][0].namespace
        while self.waiting and len(together) < _TOGETHER:
            if self.waiting[0][0].namespace != namespace:
                break
            together.append(self.waiting.popleft())
        return together

    def take_all(self) -> list[_Waiting]:
        """Returns all who wait."""
        return [self.waiting.popleft() for _ in range(len(self.waiting))]


def _fail(waiting: list[_Waiting], error: BaseException) -> None:
    for _, answer in waiting:
        answer.set_exception(error)
