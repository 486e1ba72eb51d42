"""Tracks which version of a flow's state each run has seen, so that none overwrites another.

CrewAI does not tell a persistence which run loads or saves a state. The loaded version is therefore
kept in the run's context, which its tasks and threads inherit. A conversational flow also saves
once after its kickoff, outside that context, so the version is kept with the state object as well.
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

_REMEMBERED = 100  # loaded states that a context remembers

_numbers = itertools.count()


@dataclass
class KnownVersion:
    """The version of a state that a run last loaded or saved.

    Attributes:
        memory: The memory that holds the state.
        flow_uuid: The flow that the state belongs to.
        version: The version; 0 if there was no state; None if an answer was lost, so it is unknown.
    """

    memory: Memory
    flow_uuid: str
    version: int | None
    number: int = field(default_factory=lambda: next(_numbers))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def is_of(self, memory: Memory, flow_uuid: str) -> bool:
        """Returns whether this is the version of a certain state."""
        mine = (self.memory.engine, self.memory.namespace, self.flow_uuid)
        return mine == (memory.engine, memory.namespace, flow_uuid)

    def save(self, write: Callable[[int | None], int]) -> None:
        """Writes the next version.

        Args:
            write: Takes the version that must still be current, and returns the new one.

        Raises:
            ConflictError: Another run saved the state after this one loaded it.
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
                self.version = None  # the write may have happened
                raise


_loaded: ContextVar[Mapping[str, KnownVersion]] = ContextVar("botwire_crewai_flow_states")
_saved: dict[int, tuple[weakref.ref[Any], KnownVersion]] = {}


def note_loaded(memory: Memory, flow_uuid: str, version: int) -> None:
    """Records that a run begins with this version of a state."""
    seen = dict(_loaded.get({}))
    seen.pop(flow_uuid, None)
    seen[flow_uuid] = KnownVersion(memory, flow_uuid, version)
    if len(seen) > _REMEMBERED:
        del seen[next(iter(seen))]
    _loaded.set(seen)


def find_seen(memory: Memory, flow_uuid: str, state: Any) -> KnownVersion:
    """Returns the version of this state that the current run has seen."""
    loaded = _loaded.get({}).get(flow_uuid)
    saved = _saved[id(state)][1] if id(state) in _saved else None
    known = [one for one in (loaded, saved) if one is not None and one.is_of(memory, flow_uuid)]
    seen = max(known, key=lambda one: one.number, default=KnownVersion(memory, flow_uuid, None))
    if isinstance(state, BaseModel) and seen is not saved:
        key = id(state)
        _saved[key] = (weakref.ref(state, lambda _: _saved.pop(key, None)), seen)
    return seen
