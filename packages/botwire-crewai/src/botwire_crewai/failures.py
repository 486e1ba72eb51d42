"""Reports failures that CrewAI swallows: it carries on silently when a storage raises."""

from __future__ import annotations

import logging
import threading
from typing import Any, Literal

from crewai.utilities.crew.crew_context import get_crew_context

from botwire import BotWireError

Doing = Literal["reading", "writing"]

logger = logging.getLogger("botwire.crewai")


class Failures:
    """Logs when a memory starts to fail and when it works again, and holds the first failure.

    Reading and writing are tracked separately: once a quota is used up, reads still succeed, and
    must not turn every refused write into a first failure. A failure belongs to the kickoff that
    swallowed it, and is handed out once.

    Args:
        name: The memory's name in messages.
        what: Its kind in messages, such as ``memory`` or ``knowledge``.
    """

    def __init__(self, name: str, what: str = "memory") -> None:
        self._name = name
        self._what = what
        self._lock = threading.Lock()  # CrewAI searches from up to eight threads
        self._failing: set[Doing] = set()
        self._first: BotWireError | None = None
        self._kickoff: Any = None

    def __reduce__(self) -> tuple[type[Failures], tuple[str, str]]:
        """Returns what copies consist of; the failures stay with this object."""
        return type(self), (self._name, self._what)

    def take(self, *, of_any_kickoff: bool = False) -> BotWireError | None:
        """Returns the first failure of the current kickoff and forgets it.

        Args:
            of_any_kickoff: Whether to return a failure of another kickoff too.
        """
        with self._lock:
            error, kickoff = self._first, self._kickoff
            self._first = self._kickoff = None
        return error if of_any_kickoff or kickoff is get_crew_context() else None

    def failed(self, doing: Doing, error: BotWireError) -> None:
        """Records a failure, and logs it if it follows a success."""
        kickoff = get_crew_context()  # the same object in all threads of a kickoff
        with self._lock:
            if self._first is None or self._kickoff is not kickoff:
                self._first, self._kickoff = error, kickoff
            known = doing in self._failing
            self._failing.add(doing)
        if not known:
            logger.warning(
                "%s CrewAI's %s %r fails, and CrewAI continues without it: %s",
                doing,
                self._what,
                self._name,
                error,
            )

    def succeeded(self, doing: Doing) -> None:
        """Records a success, and logs it if it follows a failure."""
        if doing not in self._failing:  # the usual case takes no lock
            return
        with self._lock:
            known = doing in self._failing
            self._failing.discard(doing)
        if known:
            logger.info("%s CrewAI's %s %r works again", doing, self._what, self._name)

    def shortened(self, notes: list[str]) -> None:
        """Logs what was shortened or left out."""
        if notes:
            logger.warning("CrewAI's %s %r: %s", self._what, self._name, "; ".join(notes[:10]))
