"""Leases: a run holds one on its thread from its first read to its end.

A lease is a key that expires. The process renews it while the run is alive, so a killed process
blocks others only until the lease expires. Another process cannot see whether a run is alive, only
whether its lease is renewed. Until it sees a renewal, it waits, and refuses no run. For a run of
this process, its own state counts, not its lease. Leases provide fairness only. No turn is lost
without them either, because a put is refused if another came first.

Generators without I/O, as in `running`.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Literal, cast

from botwire import ConflictError
from botwire import operations as ops
from botwire.exact import Json
from botwire_langgraph import layout, runs
from botwire_langgraph.errors import busy
from botwire_langgraph.running import BatchProgram, Pause
from botwire_langgraph.runs import Run

OnConflict = Literal["reject", "wait", "fork"]

_MOST_BETWEEN = 1.0  # seconds between renewals, also of a long lease
_GRACE = 0.3  # seconds for the event loop to unwind a run whose stream was dropped
_SETTLING = 2.0  # seconds for the puts of a stream that its caller abandoned
_SHORT_POLL = 0.005
_POLL = 0.02
_WAIT = 0.1


class Lease:
    """The lease of a run on its thread.

    Args:
        run: The run.
        seconds: How long the lease lasts unless it is renewed.
        wait: Whether to wait until another run ends; if not, this run is refused.
    """

    def __init__(self, run: Run, seconds: float, *, wait: bool) -> None:
        self.run = run
        self.seconds = seconds
        self.wait = wait
        self.key = layout.busy(run.thread)

    @property
    def interval(self) -> float:
        """Seconds from one renewal to the next."""
        return min(self.seconds / 4, _MOST_BETWEEN)

    def put(self, version: int) -> ops.PutKey:
        """Returns the operation that takes or renews the lease, if its key has this version."""
        return ops.PutKey(self.key, Json.of({"run": self.run.token}), self.seconds, version)

    def take(self, reads: tuple[ops.AnyOperation, ...]) -> BatchProgram[ops.Results]:
        """Takes the lease, and applies `reads` in the same batch; returns their results.

        Raises:
            ConcurrentRunError: Another run holds the thread.
        """
        version = 0
        while True:
            try:
                self.run.version, *results = yield (self.put(version), *reads)
            except ConflictError:
                version = yield from free(self.run.thread, wait=self.wait)
            else:
                return results

    def renew(self) -> BatchProgram[None]:
        """Renews the lease, unless another run has taken the thread."""
        try:
            (self.run.version,) = yield (self.put(self.run.version),)
        except ConflictError:
            entry = yield from _read(self.run.thread)
            # The lease expired while the process was stopped, and no other run took the thread.
            if entry is None or _token(entry) == self.run.token:
                version = entry.version if entry else 0
                (self.run.version,) = yield (self.put(version),)

    def release(self) -> BatchProgram[None]:
        """Ends the lease; a no-op if another run has taken the thread."""
        try:
            yield (ops.DeleteKey(self.key, self.run.version),)
        except ConflictError:
            entry = yield from _read(self.run.thread)  # a renewal may have been in flight
            if entry is not None and _token(entry) == self.run.token:
                # The renewal releases the lease too, once it sees that the run has ended.
                with suppress(ConflictError):
                    yield (ops.DeleteKey(self.key, entry.version),)


def free(thread: str, *, wait: bool) -> BatchProgram[int]:
    """Waits until no other run holds a thread; returns the version of its lease key.

    Args:
        thread: The thread's id.
        wait: Whether to wait until a live run ends, and not only until the lease of a dead run
            expires.

    Raises:
        ConcurrentRunError: Another run is alive.
    """
    first: ops.KeyEntry | None = None
    while True:
        entry = yield from _read(thread)
        if entry is None:
            return 0
        rival = runs.find(_token(entry))
        if rival is not None:
            yield from _outlive(rival, wait=wait)
            return entry.version
        first = first or entry
        if entry.version != first.version and not wait:
            raise busy(thread)  # the lease was renewed, or another run took it
        yield Pause(_WAIT if wait else _POLL)


def _outlive(rival: Run, *, wait: bool) -> BatchProgram[None]:
    """Waits until a run of this process ends.

    Raises:
        ConcurrentRunError: The run is alive, or would have to wait for the caller.
    """
    patience = time.monotonic() + (_GRACE if rival.is_async else 0)
    settled = time.monotonic() + _SETTLING
    while rival.is_alive:
        now = time.monotonic()
        if rival.is_left():
            if rival.is_settled() or now > settled:
                rival.end()
        elif rival.is_around() or (not wait and now > patience):
            raise busy(rival.thread)
        yield Pause(_SHORT_POLL)


def is_running(thread: str) -> BatchProgram[bool]:
    """Returns whether a run holds a thread; for other processes, whether they hold a lease."""
    entry = yield from _read(thread)
    if entry is None:
        return False
    run = runs.find(_token(entry))
    return run is None or (run.is_alive and not run.is_left())


def _read(thread: str) -> BatchProgram[ops.KeyEntry | None]:
    ((entry,),) = yield (ops.GetKeys((layout.busy(thread),)),)
    return cast("ops.KeyEntry | None", entry)


def _token(entry: ops.KeyEntry) -> str:
    return str(cast("Json", entry.value).value["run"])
