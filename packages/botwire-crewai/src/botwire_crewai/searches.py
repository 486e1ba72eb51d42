"""Searches of many threads, sent together: one recall of CrewAI makes up to 120 of them."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future

from botwire import BotWireError, Match, Memory, TransportError
from botwire.operations import Batch
from botwire.record_operations import SearchRecords

_TOGETHER = 32  # searches of one batch; their answers are held in memory at once


class Searches:
    """Sends searches that come while another is on its way as one batch, the next.

    A lone search goes at once and alone, so nobody waits for company. Nothing is kept between
    searches, and each sees memory as it is after it was asked.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # held by whoever sends
        self._waiting: deque[tuple[SearchRecords, Future[list[Match]]]] = deque()

    @property
    def waiting(self) -> int:
        """How many searches wait for the one that is on its way."""
        return len(self._waiting)

    def search(self, memory: Memory, operation: SearchRecords) -> list[Match]:
        """Returns what a search finds, perhaps sent with those of other threads.

        Args:
            memory: Where to search; all calls give the same.
            operation: The search.

        Raises:
            BotWireError: It failed; another's failure is not raised here.
        """
        answer: Future[list[Match]] = Future()
        self._waiting.append((operation, answer))
        with self._lock:
            if not answer.done():
                self._send(memory)
        return answer.result()

    def _send(self, memory: Memory) -> None:
        together = [self._waiting.popleft() for _ in range(min(len(self._waiting), _TOGETHER))]
        try:
            found = _apply(memory, [operation for operation, _ in together])
        except TransportError as error:
            # Whoever came meanwhile has waited for this same answer: one time limit is enough.
            self._fail([*together, *self._taken()], error)
        except BotWireError as error:
            if len(together) == 1:
                self._fail(together, error)
                return
            # One of them may be to blame, for example a vector of another dimension.
            for operation, answer in together:
                try:
                    (alone,) = _apply(memory, [operation])
                except BotWireError as its_own:
                    self._fail([(operation, answer)], its_own)
                else:
                    answer.set_result(alone)
        except BaseException as error:
            self._fail(together, error)
            raise
        else:
            for (_, answer), matches in zip(together, found, strict=True):
                answer.set_result(matches)

    def _taken(self) -> list[tuple[SearchRecords, Future[list[Match]]]]:
        return [self._waiting.popleft() for _ in range(len(self._waiting))]

    @staticmethod
    def _fail(
        searches: list[tuple[SearchRecords, Future[list[Match]]]], error: BaseException
    ) -> None:
        for _, answer in searches:
            answer.set_exception(error)


def _apply(memory: Memory, operations: list[SearchRecords]) -> list[list[Match]]:
    results = memory.engine.apply(Batch(memory.namespace, tuple(operations)))
    return [[Match.of(match) for match in matches] for matches in results]
