"""Caches what a process read and put in threads, so that a put needs no read first.

The cache may be stale. Every use of it therefore includes a check in the store. If that check
fails, the store refuses the put, and the saver reloads the cache.
"""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, NamedTuple, cast
from weakref import WeakKeyDictionary

from botwire import operations as ops
from botwire.exact import Json
from botwire_langgraph.lists import KnownList
from botwire_langgraph.records import Header, Thread

_MOST_TIPS = 256
_MOST_BYTES = 64_000_000  # of the images of conversations
_MOST_READS = 32  # per context, which holds a run and its subgraphs


class Fences(NamedTuple):
    """The versions of the keys that reveal changes of a thread.

    Attributes:
        head: Version of the key that every put of a checkpoint namespace writes.
        deleted: Version of the key that deleting the thread writes.
        pruned: Version of the key that deleting some of its checkpoints writes.
    """

    head: int = 0
    deleted: int = 0
    pruned: int = 0


class Late(NamedTuple):
    """A latest checkpoint whose id is not the greatest of its thread, as it usually is.

    LangGraph derives ids from the time, and the clock of the machine that put this one was behind.

    Attributes:
        latest: The id of the latest checkpoint.
        greatest: The greatest id among the checkpoints before it.
    """

    latest: str
    greatest: str

    @classmethod
    def of(cls, head: ops.KeyEntry | None) -> Late | None:
        """Reads it from a thread's head; None if the latest checkpoint has the greatest id."""
        kept = cast("Json", head.value).value if head is not None else {}
        return cls(kept["latest"], kept["greatest"]) if "latest" in kept else None

    @classmethod
    def after(cls, tip: Tip, id: str) -> Late | None:
        """Returns what to store in the head when a checkpoint follows a tip; None if nothing."""
        greatest = max(tip.id or "", tip.late.greatest if tip.late else "")
        return cls(id, greatest) if id < greatest else None


class Tip(NamedTuple):
    """A checkpoint that a run may continue from.

    Attributes:
        header: The checkpoint; None if the thread has none yet.
        fences: The fences when it was the latest.
        lists: The known state of its channels that are lists.
        late: Set if its id is not the greatest of the thread.
    """

    header: Header | None
    fences: Fences
    lists: Mapping[str, KnownList]
    late: Late | None = None

    @property
    def weight(self) -> int:
        """The size of the images of its lists, in bytes."""
        return sum(kept.weight for kept in self.lists.values())

    @property
    def id(self) -> str | None:
        """The id of the checkpoint."""
        return self.header.id if self.header else None


class _Read(NamedTuple):
    """What a run found when it began."""

    addressed: str | None  # the checkpoint requested by id, if it was not the latest
    fences: Fences


_Key = tuple[int, str, str]

_reads: ContextVar[Mapping[_Key, _Read] | None] = ContextVar(
    "botwire_langgraph_reads", default=None
)


_tokens = itertools.count()


class ThreadCache:
    """The tips of threads, shared by the copies of a saver; for any thread and event loop."""

    def __init__(self) -> None:
        self._tips: OrderedDict[tuple[str, str], Tip] = OrderedDict()
        self._weight = 0
        self._lock = threading.Lock()
        self._token = next(_tokens)
        self._loops: WeakKeyDictionary[Any, dict[_Key, _Read]] = WeakKeyDictionary()

    def __reduce__(self) -> tuple[Any, ...]:
        """A deep copy or a pickle of a saver begins with an empty cache."""
        return type(self), ()

    def tip(self, thread: Thread) -> Tip | None:
        """Returns the cached tip of a thread's namespace; None if none is cached."""
        with self._lock:
            return self._tips.get((thread.id, thread.namespace))

    def remember(self, thread: Thread, tip: Tip) -> None:
        """Caches a tip that was read or put."""
        with self._lock:
            key = (thread.id, thread.namespace)
            before = self._tips.pop(key, None)
            self._weight += tip.weight - (before.weight if before else 0)
            self._tips[key] = tip
            self._shrink()

    def _shrink(self) -> None:
        # Not in the `with` block, which an interrupt of a loop could leave without releasing the
        # lock; see `SQLiteWriter`'s module.
        while len(self._tips) > _MOST_TIPS or (self._weight > _MOST_BYTES and len(self._tips) > 1):
            self._weight -= self._tips.popitem(last=False)[1].weight

    def begin(self, thread: Thread, found: str | None, fences: Fences, loop: Any = None) -> None:
        """Records a read of the latest checkpoint, or of one requested by its id.

        Args:
            thread: What was requested.
            found: The id of the checkpoint that was found.
            fences: The fences at that time.
            loop: The loop of the run that read it; None if no run did.
        """
        read = self._read(thread, loop)
        addressed = thread.checkpoint_id
        if addressed is None and read is not None and read.addressed != found:
            addressed = read.addressed
        self._note(thread, _Read(addressed, fences), loop)

    def leave_from(self, thread: Thread, loop: Any) -> None:
        """Records that a run was given a checkpoint that need not be the latest."""
        self._note(thread, _Read(thread.checkpoint_id, Fences()), loop)

    def has_begun(self, loop: Any) -> bool:
        """Returns whether a run has read anything before."""
        with self._lock:
            return loop in self._loops

    def is_addressed(self, thread: Thread, loop: Any) -> bool:
        """Returns whether a run was told to start from a checkpoint that need not be the latest."""
        read = self._read(thread, loop)
        return read is not None and read.addressed == thread.checkpoint_id is not None

    def at_start(self, thread: Thread, loop: Any = None) -> Fences | None:
        """Returns the fences that a run found; None if it read nothing here."""
        read = self._read(thread, loop)
        return None if read is None else read.fences

    # The context tells reads and puts outside a run apart: `update_state` reads a thread and saves
    # the result in one context. Likewise for the pending writes of a run, which tasks put.

    def _read(self, thread: Thread, loop: Any) -> _Read | None:
        key = (self._token, thread.id, thread.namespace)
        if loop is None:
            return (_reads.get() or {}).get(key)
        with self._lock:
            return self._loops.get(loop, {}).get(key)

    def _note(self, thread: Thread, read: _Read, loop: Any) -> None:
        key = (self._token, thread.id, thread.namespace)
        if loop is not None:
            with self._lock:
                self._loops.setdefault(loop, {})[key] = read
        reads = dict(_reads.get() or {})
        reads.pop(key, None)
        reads[key] = read
        while len(reads) > _MOST_READS:
            del reads[next(iter(reads))]
        _reads.set(reads)
