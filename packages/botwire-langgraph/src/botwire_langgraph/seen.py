"""What a process knows of threads from what it read and put there, so that a put asks nothing.

All of it can be out of date, and is only ever used together with a check of the store's: then the
put is refused, and what is known read anew.
"""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Mapping
from contextvars import ContextVar
from typing import NamedTuple

from botwire_langgraph.lists import Kept
from botwire_langgraph.records import Header, Thread

_MOST_TIPS = 256
_MOST_READS = 32  # of one context: a run and its subgraphs


class Fences(NamedTuple):
    """The versions of the keys that say that a thread changed.

    Attributes:
        head: Of the key that every put of a checkpoint namespace writes.
        deleted: Of the key that deleting the thread writes.
        pruned: Of the key that deleting some of its checkpoints writes.
    """

    head: int = 0
    deleted: int = 0
    pruned: int = 0


class Tip(NamedTuple):
    """A checkpoint that a run may go on from.

    Attributes:
        header: The checkpoint; None where there is none yet.
        fences: As they were when it was the latest.
        lists: What is known of its channels that are lists.
    """

    header: Header | None
    fences: Fences
    lists: Mapping[str, Kept]

    @property
    def id(self) -> str | None:
        """The id of the checkpoint."""
        return self.header.id if self.header else None


class _Read(NamedTuple):
    """What a run found at its beginning."""

    addressed: str | None  # a checkpoint that was asked for by its id, and was not the latest
    fences: Fences


_reads: ContextVar[Mapping[tuple[int, str, str], _Read] | None] = ContextVar(
    "botwire_langgraph_reads", default=None
)


_tokens = itertools.count()


class Seen:
    """The tips of threads, shared by the copies of a saver; for any thread and event loop."""

    def __init__(self) -> None:
        self._tips: OrderedDict[tuple[str, str], Tip] = OrderedDict()
        self._lock = threading.Lock()
        self._token = next(_tokens)
        self._ended: OrderedDict[tuple[str, str | None], None] = OrderedDict()

    def tip(self, thread: Thread) -> Tip | None:
        """Returns what is known of the latest checkpoint of a thread's namespace."""
        with self._lock:
            return self._tips.get((thread.id, thread.namespace))

    def remember(self, thread: Thread, tip: Tip) -> None:
        """Takes what was found or made."""
        with self._lock:
            self._tips[thread.id, thread.namespace] = tip
            self._tips.move_to_end((thread.id, thread.namespace))
            if len(self._tips) > _MOST_TIPS:
                self._tips.popitem(last=False)

    def end(self, thread: Thread) -> None:
        """Notes that the run which made a checkpoint was interrupted there, or failed."""
        with self._lock:
            self._ended[thread.id, thread.checkpoint_id] = None
            if len(self._ended) > _MOST_TIPS:
                self._ended.popitem(last=False)

    def has_ended(self, thread: Thread, checkpoint_id: str) -> bool:
        """Says whether `end` was told of this checkpoint, perhaps before it was stored."""
        with self._lock:
            return (thread.id, checkpoint_id) in self._ended

    # LangGraph reads a thread and saves what comes of it in one context, a run's own.

    def begin(self, thread: Thread, found: str | None, fences: Fences) -> None:
        """Notes in this context what was read: a checkpoint asked for by its id, or the latest."""
        reads = dict(_reads.get() or {})
        key = (self._token, thread.id, thread.namespace)
        before = reads.pop(key, None)
        addressed = thread.checkpoint_id
        if addressed is None and before is not None and before.addressed != found:
            addressed = before.addressed
        reads[key] = _Read(addressed, fences)
        while len(reads) > _MOST_READS:
            del reads[next(iter(reads))]
        _reads.set(reads)

    def is_addressed(self, thread: Thread) -> bool:
        """Says whether this run was told to leave from a checkpoint that need not be the latest."""
        read = (_reads.get() or {}).get((self._token, thread.id, thread.namespace))
        return read is not None and read.addressed == thread.checkpoint_id is not None

    def at_start(self, thread: Thread) -> Fences | None:
        """Returns the fences as this run found them; None if it read nothing here."""
        read = (_reads.get() or {}).get((self._token, thread.id, thread.namespace))
        return None if read is None else read.fences
