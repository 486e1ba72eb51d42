"""The log: a JSON object a line on standard error, without names, keys or values of memory."""

from __future__ import annotations

import functools
import json
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping


class JSONLines(logging.Formatter):
    """A log line as a JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line; what a caller passes as ``extra={"fields": …}`` is part of it."""
        fields = {
            "time": f"{_second(int(record.created))}.{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields)


@functools.lru_cache(maxsize=2)
def _second(since_1970: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(since_1970))


class Line(logging.LogRecord):
    """A line about something that happens so often that who logged it is not looked for.

    Args:
        logger: The logger's name.
        message: What happened.
        fields: Part of the line; see `JSONLines`.
    """

    # What a record's own initializer finds out, which takes longer than all that is done here.
    levelno, levelname = logging.INFO, "INFO"
    args = exc_info = exc_text = stack_info = None
    pathname = filename = module = funcName = ""  # noqa: N815 - logging's name
    thread = threadName = process = processName = taskName = None  # noqa: N815
    lineno, relativeCreated = 0, 0.0  # noqa: N815

    def __init__(self, logger: str, message: str, fields: Mapping[str, object]) -> None:
        self.name = logger
        self.msg = message
        self.created = time.time()
        self.msecs = self.created % 1 * 1000
        self.fields = fields


class TogetherHandler(logging.Handler):
    """Writes lines together, a tenth of a second after the first of them, by a thread of its own.

    Whoever logs never waits: not for a pipe that nobody reads, nor for a disk that is full. What
    cannot be written is tried again, and kept up to a bound; when lines can be written again, one
    says how many were lost meanwhile. What is a warning or worse is written at once.

    Args:
        file_descriptor: Where lines are written.
    """

    seconds = 0.1
    """Between the first line and the write."""
    retry_seconds = 1.0
    """Between two attempts after one that failed."""
    most_bytes = 1024 * 1024
    """Of lines that wait."""
    flush_seconds = 2.0
    """For which `flush` waits at most."""

    def __init__(self, file_descriptor: int) -> None:
        super().__init__()
        self._file_descriptor = file_descriptor
        self._condition = threading.Condition()
        self._lines: deque[bytes] = deque()
        self._bytes = self._lost = self._failures = 0
        self._is_urgent = self._is_writing = False
        threading.Thread(target=self._write_for_ever, name="botwire-log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a line for the next time."""
        try:
            line = f"{self.format(record)}\n".encode(errors="backslashreplace")
        except Exception:  # noqa: BLE001 - as in every handler: a bad record must not stop a request
            self.handleError(record)
            return
        with self._condition:
            if self._bytes + len(line) > self.most_bytes:
                self._lost += 1
                return
            self._lines.append(line)
            self._bytes += len(line)
            urgent = record.levelno >= logging.WARNING
            self._is_urgent = self._is_urgent or urgent
            if urgent or len(self._lines) == 1:
                self._condition.notify_all()

    def flush(self) -> None:
        """Waits until all lines are written, for a while at most."""
        with self._condition:
            self._is_urgent = True
            self._condition.notify_all()
            self._condition.wait_for(self._is_done, self.flush_seconds)

    def _is_done(self) -> bool:
        return not self._lines and not self._is_writing

    def _write_for_ever(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._lines)
                self._condition.wait_for(lambda: self._is_urgent, self.seconds)
                lines = b"".join(self._lines)
                lost, failures = self._lost, self._failures
                self._lines.clear()
                self._is_urgent, self._is_writing = False, True
            # Of what could not be written is told once something can be.
            rest = self._write(lines)
            if not rest and (lost or failures):
                rest = self._write(self._tell(lost, failures))
                lost, failures = (0, 0) if rest else (lost, failures)
                rest = b""
            elif rest:
                lost = failures = 0
            with self._condition:
                self._is_writing = False
                if rest:
                    self._lines.appendleft(rest)
                    self._failures += 1
                self._bytes = sum(map(len, self._lines))
                self._lost -= lost
                self._failures -= failures
                self._condition.notify_all()
            if rest:
                time.sleep(self.retry_seconds)

    def _tell(self, lost: int, failures: int) -> bytes:
        fields = {"lines": lost, "failed_writes": failures}
        line = Line("botwire.log", "lines of the log were lost or late", fields)
        return f"{self.format(line)}\n".encode()

    def _write(self, lines: bytes) -> bytes:
        """Writes lines; returns those that could not be."""
        while lines:
            try:
                written = os.write(self._file_descriptor, lines)
            except OSError:
                return lines
            lines = lines[written:]
        return lines


def log_to_stderr() -> None:
    """Sends what BotWire, the HTTP server and the database's driver say to standard error."""
    handler = TogetherHandler(sys.stderr.fileno())
    handler.setFormatter(JSONLines())
    for name, level in (
        ("botwire", logging.INFO),
        ("uvicorn", logging.WARNING),
        ("psycopg", logging.WARNING),
    ):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level)
        logger.propagate = False
