"""The cache of the snapshots of an engine's collections."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence

from botwire.engines.loops import renew_in_child
from botwire.engines.sql.vector_snapshots import Snapshot, VectorRow

CACHE_BYTES = 512 * 1024 * 1024
"""The most bytes that an engine's matrices take; the one used last is always kept."""
_SNAPSHOTS = 4  # kept per collection, so that readers slightly behind still find theirs


class VectorCache:
    """The snapshots that an engine remembers, the last few of each collection.

    Thread-safe. The cache is not locked while an engine reads.
    """

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self._limit = limit
        self.renew()
        renew_in_child(self)

    def renew(self) -> None:
        """Forgets everything; a child does so after a fork."""
        self._lock = threading.RLock()
        self._kept: OrderedDict[tuple[bytes, bytes], list[Snapshot]] = OrderedDict()

    def find(self, key: tuple[bytes, bytes], revision: int) -> tuple[Snapshot | None, bool]:
        """Returns the snapshot of a revision and True, or else the latest one and False."""
        with self._lock:
            kept = self._kept.get(key)
            if not kept:
                return None, False
            self._kept.move_to_end(key)
            latest = kept[-1]
            # Not a loop, because of the lock; see `engines/sqlite/writer.py`.
            found = next((one for one in kept if one.revision == revision), None)
            return (latest, False) if found is None else (found, True)

    def keep(self, key: tuple[bytes, bytes], snapshot: Snapshot) -> None:
        """Remembers a snapshot of a whole collection, unless a later one is known."""
        with self._lock:
            kept = self._kept.get(key)
            if kept and kept[-1].revision >= snapshot.revision:
                return
            self._kept[key] = [snapshot]
            self._trim(key)

    def advance(
        self,
        key: tuple[bytes, bytes],
        base: Snapshot,
        changed: Sequence[VectorRow],
        kept: Mapping[bytes, int] | None,
        revision: int,
    ) -> Snapshot | None:
        """Returns the snapshot that follows `base`, or None if another thread advanced it first."""
        with self._lock:
            known = self._kept.get(key)
            if not known or known[-1] is not base:
                return None
            later = base.advanced(changed, kept, revision)
            self._kept[key] = [*known, later][-_SNAPSHOTS:]
            self._trim(key)
            return later

    def _trim(self, key: tuple[bytes, bytes]) -> None:
        self._kept.move_to_end(key)
        total = sum(kept[-1].nbytes for kept in self._kept.values())
        while total > self._limit and len(self._kept) > 1:
            _, dropped = self._kept.popitem(last=False)
            total -= dropped[-1].nbytes
