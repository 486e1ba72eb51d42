"""Which version of a flow's state each run has seen, so that no run overwrites another in silence.

CrewAI does not tell a persistence which run loads a state and which one saves it. What a run loads
is noted in its context, which its tasks and threads inherit. A conversational flow also saves once
after its kickoff, outside that context, so the version is noted with the state's object as well.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from botwire import ConflictError, Memory

_REMEMBERED = 100  # states that one context has loaded

_numbers = itertools.count()


@dataclass
class Seen:
    """The version of a state that a run has loaded or saved last.

    Attributes:
        memory: Where the state is.
        flow_uuid: Whose state it is.
        version: 0 if there was none; None if it is unknown because an answer was lost.
    """

    memory: Memory
    flow_uuid: str
    version: int | None
    number: int = field(default_factory=lambda: next(_numbers))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def is_of(self, memory: Memory, flow_uuid: str) -> bool:
        """Says whether this is about a certain state."""
        mine = (self.memory.engine, self.memory.namespace, self.flow_uuid)
        return mine == (memory.engine, memory.namespace, flow_uuid)

    def save(self, write: Callable[[int | None], int]) -> None:
        """Writes the next version.

        Args:
            write: Takes the version that must still be stored, and returns the new one.

        Raises:
            ConflictError: Another run saved the state after this one had loaded it.
        """
        with self.lock:
            try:
                self.version = write(self.version)
            except ConflictError as error:
                raise ConflictError(
                    f"the state of flow {self.flow_uuid!r} was saved by another run since this one "
                    "loaded it, and nothing was overwritten: run it again, with its id in inputs"
                ) from error
            except BaseException:
                self.version = None  # it may have been written
                raise


_loaded: ContextVar[Mapping[str, Seen]] = ContextVar("botwire_crewai_flow_states")
_saved: dict[int, tuple[weakref.ref[Any], Seen]] = {}


def note_loaded(memory: Memory, flow_uuid: str, version: int) -> None:
    """Notes that a run begins with this version of a state."""
    seen = dict(_loaded.get({}))
    seen.pop(flow_uuid, None)
    seen[flow_uuid] = Seen(memory, flow_uuid, version)
    if len(seen) > _REMEMBERED:
        del seen[next(iter(seen))]
    _loaded.set(seen)


def find_seen(memory: Memory, flow_uuid: str, state: Any) -> Seen:
    """Returns what the run that saves this state has seen of it."""
    loaded = _loaded.get({}).get(flow_uuid)
    saved = _saved[id(state)][1] if id(state) in _saved else None
    known = [one for one in (loaded, saved) if one is not None and one.is_of(memory, flow_uuid)]
    seen = max(known, key=lambda one: one.number, default=Seen(memory, flow_uuid, None))
    if isinstance(state, BaseModel) and seen is not saved:
        key = id(state)
        _saved[key] = (weakref.ref(state, lambda _: _saved.pop(key, None)), seen)
    return seen
