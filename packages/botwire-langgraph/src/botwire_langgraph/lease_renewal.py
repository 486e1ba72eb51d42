"""Renews the leases of this process's runs on a dedicated thread.

A node may therefore take any amount of time, and even block its event loop, without another
process considering its run dead.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import defaultdict

from botwire import BotWireError, ConflictError
from botwire.connection import Connection
from botwire.operations import Batch
from botwire_langgraph.leases import Lease
from botwire_langgraph.running import run

logger = logging.getLogger("botwire.langgraph")


class LeaseRenewer:
    """Holds the leases of a process, and the thread that renews them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: dict[Lease, tuple[float, Connection]] = {}
        self._thread: threading.Thread | None = None
        self._is_idle = False

    def keep(self, lease: Lease, connection: Connection) -> None:
        """Starts renewing a lease, for as long as its run is alive."""
        with self._changed:
            self._due[lease] = (time.monotonic() + lease.interval, connection)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="botwire-langgraph-leases", daemon=True
                )
                self._thread.start()
            elif self._is_idle:
                self._changed.notify()

    def drop(self, lease: Lease) -> None:
        """Stops renewing a lease."""
        with self._changed:
            self._due.pop(lease, None)

    def _work(self) -> None:
        while True:
            for connection, leases in self._wait().items():
                try:
                    _renew(connection, leases)
                except BotWireError as error:
                    # If the store stays unreachable, the run's next put reports it.
                    logger.warning("The lease of a run was not renewed: %s", error)

    def _wait(self) -> dict[Connection, list[Lease]]:
        """Waits until leases are due; returns them by connection."""
        with self._changed:
            while True:
                now = time.monotonic()
                found: defaultdict[Connection, list[Lease]] = defaultdict(list)
                for lease, (due, connection) in list(self._due.items()):
                    if due <= now:
                        self._due[lease] = (now + lease.interval, connection)
                        found[connection].append(lease)
                if found:
                    return found
                first = min((due for due, _ in self._due.values()), default=None)
                self._is_idle = first is None
                self._changed.wait(None if first is None else first - now)
                self._is_idle = False


def _renew(connection: Connection, leases: list[Lease]) -> None:
    alive = []
    for lease in leases:
        if lease.run.is_alive:
            if lease.run.version:  # without a version, the run is still waiting for the thread
                alive.append(lease)
        else:  # the event loop closed, or the run failed as it began
            renewer.drop(lease)
            run(connection, lease.release())
    if not alive:
        return
    memory = connection.memory
    puts = tuple(lease.put(lease.run.version) for lease in alive)
    try:
        versions = memory.engine.apply(Batch(memory.namespace, puts, author=memory.author))
    except ConflictError:
        for lease in alive:
            if lease.run.is_alive:
                run(connection, lease.renew())
    else:
        for lease, version in zip(alive, versions, strict=True):
            lease.run.version = version
    for lease in alive:
        if not lease.run.is_alive:  # the run ended meanwhile, perhaps before this renewal
            run(connection, lease.release())


renewer = LeaseRenewer()
"""The renewer of this process."""

if hasattr(os, "register_at_fork"):
    # A forked child inherits neither the thread nor the runs.
    os.register_at_fork(after_in_child=renewer.__init__)  # type: ignore[misc]
