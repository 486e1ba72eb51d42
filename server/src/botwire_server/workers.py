"""Supervises several processes that serve one listener.

Each worker is a new process, not a fork. It inherits the listening socket and reads its settings
from standard input, which stays open as long as the supervisor lives. So no worker outlives the
supervisor, however the supervisor ends.
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
"""The line that a worker prints when it serves."""
ALIVE = "alive"
"""The line that a worker keeps printing as long as its event loop runs."""
ALIVE_SECONDS = 2.0
"""Seconds between these lines."""
START_SECONDS = 60.0
"""Seconds that a worker may take until it serves."""

PROGRAM = (sys.executable, "-m", "botwire_server.hosting")
"""The command line of a worker."""

_HANG_UP = getattr(signal, "SIGHUP", -1)  # missing on Windows, where there are no workers
_MISSED = 15  # consecutive missing lines after which the supervisor replaces a worker
_RETRY_SECONDS = 1.0  # before replacing a worker that died before it served


class _Worker:
    """A worker process, running or ended."""

    def __init__(
        self,
        command: Sequence[str],
        listener: socket.socket,
        message: str,
        metrics: str,
        events: queue.SimpleQueue[Any],
    ) -> None:
        self.seen_at = time.monotonic()
        self.is_ready = False
        self.has_settled = threading.Event()  # set once it serves or has ended
        self._events = events
        self.process = subprocess.Popen(  # noqa: S603 - this very program
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(listener.fileno(),),
            # prometheus_client reads this when it is imported.
            env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": metrics},
            process_group=0,  # Ctrl-C reaches only the supervisor, which ends workers in order
            text=True,
        )
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died, which `_watch` notices
            self.process.stdin.write(message + "\n")
            self.process.stdin.flush()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.seen_at = time.monotonic()
            if line.strip() == READY:
                self.is_ready = True
                self.has_settled.set()
                self._events.put(("ready", self))
        self.process.wait()
        self.has_settled.set()
        self._events.put(("exit", self))

    def end(self) -> None:
        """Tells the worker to finish the requests that it accepted."""
        if self.process.poll() is None:
            self.process.terminate()


class Supervisor:
    """Keeps the configured number of workers running.

    Args:
        settings: The server's settings.
        listener: The listening socket that all workers accept from.
        greeting: What to print once all workers serve.
        alive_seconds: Interval at which a worker reports that its event loop runs. The supervisor
            kills and replaces a worker that is silent for 15 times as long.
        start_seconds: Seconds that a worker may take until it serves. The supervisor kills a
            slower one too.
        program: The command line of a worker.
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
        self._message = self._metrics = ""

    def run(self) -> None:
        """Serves until told to stop; SIGHUP replaces the workers one by one.

        Raises:
            ConfigurationError: A worker cannot start; its log says why.
        """
        with _new_folder() as folder, _signals(self._events):
            logs.log_to_stderr()
            self._metrics = str(Path(folder) / "metrics")
            Path(self._metrics).mkdir()
            self._message = json.dumps(dataclasses.asdict(self._settings))
            try:
                self._workers = [self._start() for _ in range(self._settings.workers)]
                self._wait_for_all()
                self._supervise()
            finally:
                self._end_all()

    def _start(self) -> _Worker:
        command = [*self._program, str(self._listener.fileno()), str(self._alive_seconds)]
        return _Worker(command, self._listener, self._message, self._metrics, self._events)

    def _wait_for_all(self) -> None:
        deadline = time.monotonic() + self._start_seconds
        while not all(worker.is_ready for worker in self._workers):
            try:
                kind, what = self._events.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise ConfigurationError(
                    f"the workers did not start within {self._start_seconds:g} s"
                ) from None
            if kind == "exit":
                raise ConfigurationError("a worker could not start: the log above says why")
            if kind == "signal" and what != _HANG_UP:
                self._events.put((kind, what))
                return
        print(self._greeting, flush=True)  # noqa: T201 - the program that started it waits for this

    def _supervise(self) -> None:
        look_every = min(self._alive_seconds, self._start_seconds)
        while True:
            try:
                kind, what = self._events.get(timeout=look_every)
            except queue.Empty:
                self._end_hung()
                continue
            if kind == "signal" and what == _HANG_UP:
                self._replace_all()
            elif kind == "signal":
                return
            elif kind == "exit":
                # Drops its gauges, which no longer apply; its counters stay.
                multiprocess.mark_process_dead(  # type: ignore[no-untyped-call]
                    what.process.pid, self._metrics
                )
                if what not in self._workers:
                    continue
                logger.error("a worker died with status %s: replacing it", what.process.returncode)
                if not what.is_ready:
                    time.sleep(_RETRY_SECONDS)
                self._workers[self._workers.index(what)] = self._start()

    def _end_hung(self) -> None:
        """Kills workers whose event loop is stuck; `_supervise` then replaces them."""
        now = time.monotonic()
        for worker in self._workers:
            serving = self._alive_seconds * _MISSED
            longest = serving if worker.is_ready else self._start_seconds
            if now - worker.seen_at > longest:
                logger.error("a worker has hung for %.0f s: killing it", longest)
                worker.seen_at = now
                worker.process.kill()

    def _replace_all(self) -> None:
        """Replaces each worker with a new one; the old one ends once the new one serves."""
        for i, old in enumerate(self._workers):
            new = self._start()
            new.has_settled.wait(self._start_seconds)
            if not new.is_ready:
                logger.error("a new worker does not start: keeping the old ones")
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
                logger.error("a worker did not end in time: killing it")  # noqa: TRY400
                worker.process.kill()
                worker.process.wait()


def _new_folder() -> tempfile.TemporaryDirectory[str]:
    """Creates the folder in which workers count."""
    try:
        return tempfile.TemporaryDirectory(prefix="botwire-")
    except OSError as error:
        raise ConfigurationError(
            f"several workers need a folder for temporary files ({error}): set TMPDIR to one, or "
            "omit --workers"
        ) from error


@contextlib.contextmanager
def _signals(events: queue.SimpleQueue[Any]) -> Iterator[None]:
    """Turns signals into events during a block."""
    wanted = (signal.SIGTERM, signal.SIGINT, _HANG_UP)
    before = {
        number: signal.signal(number, lambda number, _: events.put(("signal", number)))
        for number in wanted
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
