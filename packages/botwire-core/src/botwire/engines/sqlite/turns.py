"""Turns of the processes that write to one file.

Processes that wait for SQLite's lock sleep and retry, in no order: of two busy processes, one could
wait for hundreds of milliseconds. With ``flock``, the kernel wakes them at once, in order of
arrival.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from botwire.files import make_private

if sys.platform == "win32":
    fcntl: Any = None
else:
    import fcntl

_TURN_SECONDS = 0.01
_LONGEST_WAIT = 2.0  # seconds


class FileTurns:
    """An engine's turns, by a lock on an empty file beside the database.

    Turns are best effort, because SQLite's own lock protects the data. A process that cannot lock
    the file, or has waited for two seconds, proceeds without a turn. The file does not exist until
    two processes have met.

    A turn lasts for several transactions. If processes alternated with each one, they would have to
    reread what the other changed each time.

    Args:
        database: The database; None if no other process can use it.
    """

    def __init__(self, database: str | None) -> None:
        self._database = None if sys.platform == "win32" else database
        self._file: int | None = None
        self._is_held = False
        self._began = 0.0
        self._wait = _Wait()

    @property
    def lasts(self) -> bool:
        """Whether the last turn still lasts, even if it was given back.

        The process that has the next turn then waits for SQLite's lock.
        """
        return time.monotonic() - self._began < _TURN_SECONDS

    def try_to_take(self) -> bool:
        """Takes a turn and returns True, unless it would have to wait."""
        file = self._open()
        if file is not None:
            self._is_held = True  # first: an interrupt may strike behind the lock
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            except OSError:  # a file system without such locks
                self._database = None
        self._began = time.monotonic()
        return True

    def take(self) -> None:
        """Takes a turn; waits for it for at most two seconds."""
        self._introduce()
        if self.try_to_take():
            return
        assert self._file is not None
        wait = self._wait = _Wait()
        # `flock` has no time limit, so another thread waits for it.
        thread = threading.Thread(target=wait.run, args=(self._file,), daemon=True)
        with contextlib.suppress(RuntimeError, Empty):  # the interpreter ends; the time is over
            thread.start()
            wait.done.get(timeout=_LONGEST_WAIT)
        self._began = time.monotonic()

    def give_back(self) -> None:
        """Lets the next process have its turn."""
        if self._is_held:
            self._wait.is_over = True
            if self._file is not None:
                with contextlib.suppress(OSError):
                    fcntl.flock(self._file, fcntl.LOCK_UN)
            self._is_held = False

    def forget(self) -> None:
        """Closes the file. In a forked child, this does not end a turn of the parent."""
        file, self._file = self._file, None
        self._is_held = False
        if file is not None:
            os.close(file)

    def _path(self) -> str:
        return f"{self._database}-turns"

    def _open(self) -> int | None:
        if self._file is None and self._database is not None:
            with contextlib.suppress(OSError):  # no two processes have met, or it is not readable
                self._file = os.open(self._path(), os.O_RDONLY)
        return self._file

    def _introduce(self) -> None:
        """Creates the file, for the same users as the database."""
        if self._file is None and self._database is not None:
            with contextlib.suppress(OSError):
                make_private(self._path())
                mode = Path(self._database).stat().st_mode & 0o777
                Path(self._path()).chmod(mode)

    def __del__(self) -> None:
        self.forget()


class _Wait:
    """A wait for a turn, by a thread of its own."""

    def __init__(self) -> None:
        self.done: SimpleQueue[None] = SimpleQueue()
        self.is_over = False

    def run(self, file: int) -> None:
        """Locks a file, and unlocks it if nobody waits any more."""
        # The original may be closed meanwhile. Until then, it holds what its duplicate locks.
        with contextlib.suppress(OSError):
            file = os.dup(file)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                self.done.put(None)
                if self.is_over:
                    fcntl.flock(file, fcntl.LOCK_UN)
            finally:
                os.close(file)
