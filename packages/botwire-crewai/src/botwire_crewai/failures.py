"""What CrewAI swallows, told once: it goes on without a word when a storage raises."""

from __future__ import annotations

import logging
import threading
from typing import Literal

from botwire import BotWireError

Doing = Literal["reading", "writing"]

logger = logging.getLogger("botwire.crewai")


class Failures:
    """Says when a memory begins to fail and when it works again, and keeps the first failure.

    Reading and writing are told apart: where a quota is used up, reads go on working, and must not
    make every refused write the first one again.

    Args:
        name: What to call the memory.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()  # CrewAI searches from up to eight threads
        self._failing: set[Doing] = set()
        self._first: BotWireError | None = None

    @property
    def first(self) -> BotWireError | None:
        """The first failure since `forget`, if there was one."""
        return self._first

    def forget(self) -> None:
        """Forgets the first failure."""
        with self._lock:
            self._first = None

    def failed(self, doing: Doing, error: BotWireError) -> None:
        """Notes a failure, and logs it if it follows a success."""
        with self._lock:
            self._first = self._first or error
            known = doing in self._failing
            self._failing.add(doing)
        if not known:
            logger.warning(
                "%s CrewAI's memory %r fails, and CrewAI goes on without it: %s",
                doing,
                self._name,
                error,
            )

    def succeeded(self, doing: Doing) -> None:
        """Notes a success, and logs it if it follows a failure."""
        if doing not in self._failing:  # the usual case takes no lock
            return
        with self._lock:
            known = doing in self._failing
            self._failing.discard(doing)
        if known:
            logger.info("%s CrewAI's memory %r works again", doing, self._name)
