"""Several processes that serve one listener: started, replaced when they die, ended together.

Each worker is a process of its own program, not a fork, which inherits the listening socket and is
told the rest on its standard input. That stays open for as long as the supervisor lives, so that
no worker outlives it, however it ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from prometheus_client import multiprocess

from botwire.errors import ConfigurationError
from botwire_server import logs
from botwire_server.settings import Settings

logger = logging.getLogger("botwire.workers")

READY = "ready"
"""The line by which a worker says that it serves."""
ALIVE = "alive"
"""The line by which a worker says that its event loop moves."""
ALIVE_SECONDS = 2.0
"""Between two of them."""
START_SECONDS = 60.0
"""That a worker may take to serve."""

PROGRAM = (sys.executable, "-m", "botwire_server.hosting")
"""What a worker runs."""

_MISSED = 15  # of those lines in a row, after which a worker is replaced
_RETRY_SECONDS = 1.0  # between two starts of a worker that dies at once


class _Worker:
    """A process that serves, or did."""

    def __init__(
        self,
        command: Sequence[str],
        listener: socket.socket,
        told: str,
        metrics: str,
        events: queue.SimpleQueue[Any],
    ) -> None:
        self.seen_at = time.monotonic()
        self.is_ready = threading.Event()
        self._events = events
        self.process = subprocess.Popen(  # noqa: S603 - this very program
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(listener.fileno(),),
            # prometheus_client decides at its import where its numbers are.
            env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": metrics},
            process_group=0,  # a Ctrl-C is for the supervisor, which ends them in order
            text=True,
        )
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died: seen below
            self.process.stdin.write(told + "\n")
            self.process.stdin.flush()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.seen_at = time.monotonic()
            if line.strip() == READY:
                self.is_ready.set()
                self._events.put(("ready", self))
        self.process.wait()
        self._events.put(("exit", self))

    def end(self) -> None:
        """Asks it to finish what it accepted."""
        if self.process.poll() is None:
            self.process.terminate()


class Supervisor:
    """Keeps as many workers as are wanted.

    Args:
        settings: The server's.
        listener: A listening socket that all of them accept from.
        greeting: What to print once all serve.
        alive_seconds: How often a worker reports that its event loop moves. One that is silent for
            15 times as long is killed and replaced.
        start_seconds: How long a worker may take to serve. One that takes longer is too.
        program: What a worker runs.
    """

    def __init__(
        self,
        settings: Settings,
        listener: socket.socket,
        greeting: str,
        *,
        alive_seconds: float = ALIVE_SECONDS,
        start_seconds: float = START_SECONDS,
        program: Sequence[str] = PROGRAM,
    ) -> None:
        self._settings = settings
        self._listener = listener
        self._greeting = greeting
        self._alive_seconds = alive_seconds
        self._start_seconds = start_seconds
        self._program = program
        self._events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._workers: list[_Worker] = []
        self._retiring: list[_Worker] = []
        self._told = self._metrics = ""

    def run(self) -> None:
        """Serves until it is told to stop; SIGHUP replaces the workers one by one.

        Raises:
            ConfigurationError: A worker cannot be started at all; its log says why.
        """
        logs.log_to_stderr()
        with tempfile.TemporaryDirectory(prefix="botwire-") as folder, _signals(self._events):
            self._metrics = str(Path(folder) / "metrics")
            Path(self._metrics).mkdir()
            self._told = json.dumps(dataclasses.asdict(self._settings))
            try:
                self._workers = [self._start() for _ in range(self._settings.workers)]
                self._wait_for_all()
                self._supervise()
            finally:
                self._end_all()

    def _start(self) -> _Worker:
        command = [*self._program, str(self._listener.fileno()), str(self._alive_seconds)]
        return _Worker(command, self._listener, self._told, self._metrics, self._events)

    def _wait_for_all(self) -> None:
        deadline = time.monotonic() + self._start_seconds
        while not all(worker.is_ready.is_set() for worker in self._workers):
            try:
                kind, what = self._events.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise ConfigurationError("the workers do not start in time") from None
            if kind == "exit":
                raise ConfigurationError("a worker could not start; its log says why")
            if kind == "signal" and what != signal.SIGHUP:
                self._events.put((kind, what))
                return
        print(self._greeting, flush=True)  # noqa: T201 - whoever started it waits for this line

    def _supervise(self) -> None:
        look_every = min(self._alive_seconds, self._start_seconds)
        while True:
            try:
                kind, what = self._events.get(timeout=look_every)
            except queue.Empty:
                self._end_hung()
                continue
            if kind == "signal" and what == signal.SIGHUP:
                self._replace_all()
            elif kind == "signal":
                return
            elif kind == "exit":
                # Its gauges are of what is no more; its counters stay.
                multiprocess.mark_process_dead(  # type: ignore[no-untyped-call]
                    what.process.pid, self._metrics
                )
                if what not in self._workers:
                    continue
                logger.error("a worker died with status %s; another takes its place",
                             what.process.returncode)  # fmt: skip
                if not what.is_ready.is_set():
                    time.sleep(_RETRY_SECONDS)
                self._workers[self._workers.index(what)] = self._start()

    def _end_hung(self) -> None:
        """Kills workers whose event loop has not moved for long; others take their place."""
        now = time.monotonic()
        for worker in self._workers:
            is_ready = worker.is_ready.is_set()
            longest = self._alive_seconds * _MISSED if is_ready else self._start_seconds
            if now - worker.seen_at > longest:
                logger.error("a worker has hung for %.0f seconds: it is killed", longest)
                worker.seen_at = now
                worker.process.kill()

    def _replace_all(self) -> None:
        """Starts a new worker for each, and ends the old one when the new one serves."""
        for i, old in enumerate(self._workers):
            new = self._start()
            if not new.is_ready.wait(self._start_seconds):
                logger.error("a new worker does not start; the old ones stay")
                new.process.kill()
                return
            self._workers[i] = new
            self._retiring.append(old)
            old.end()

    def _end_all(self) -> None:
        everyone = [*self._workers, *self._retiring]
        for worker in everyone:
            worker.end()
        deadline = time.monotonic() + self._settings.drain + self._settings.grace + 5
        for worker in everyone:
            try:
                worker.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                logger.error("a worker did not end in time; it is killed")  # noqa: TRY400
                worker.process.kill()
                worker.process.wait()


@contextlib.contextmanager
def _signals(events: queue.SimpleQueue[Any]) -> Iterator[None]:
    """Turns signals into events while its block runs."""
    wanted = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {
        number: signal.signal(number, lambda number, _: events.put(("signal", number)))
        for number in wanted
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
