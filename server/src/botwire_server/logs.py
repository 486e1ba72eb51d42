"""The log: one JSON object per line on standard error, without namespaces, keys or values."""

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

_LINE_BYTES = 300  # of a `LogLine`, about


class JSONLines(logging.Formatter):
    """Formats a log record as a JSON object on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line, which includes what the caller passes as ``extra={"fields": …}``."""
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


class LogLine(logging.LogRecord):
    """A log record that omits its source location, for events too frequent to look that up.

    It is formatted later, by the thread that writes it, so its fields must not change.

    Args:
        logger: The logger's name.
        message: What happened.
        fields: Part of the line; see `JSONLines`.
    """

    def __init__(self, logger: str, message: str, fields: Mapping[str, object]) -> None:
        now = time.time()
        # The initializer of `LogRecord` looks these up, which takes longer than all else done here.
        self.__dict__ = {
            **_NOT_LOOKED_UP,
            "name": logger,
            "msg": message,
            "created": now,
            "msecs": now % 1 * 1000,
            "fields": fields,
        }


_NOT_LOOKED_UP = {
    "levelno": logging.INFO,
    "levelname": "INFO",
    "lineno": 0,
    "relativeCreated": 0.0,
    **dict.fromkeys(("pathname", "filename", "module", "funcName"), ""),
    **dict.fromkeys(("args", "exc_info", "exc_text", "stack_info")),
    **dict.fromkeys(("thread", "threadName", "process", "processName", "taskName")),
}


class BatchingHandler(logging.Handler):
    """Collects lines and writes them together in a thread of its own.

    Callers never wait, neither for a blocked pipe nor for a full disk. The handler retries a failed
    write, and meanwhile keeps lines up to a limit. Once a write succeeds, a line reports how many
    lines were lost. Warnings and errors are written at once.

    Args:
        file_descriptor: Where lines are written.
    """

    seconds = 0.1
    """Seconds from the first line to the write."""
    retry_seconds = 1.0
    """Seconds from a failed write to the next attempt."""
    most_bytes = 1024 * 1024
    """Largest total size of the lines kept; further lines are lost."""
    flush_seconds = 2.0
    """The longest that `flush` waits, in seconds."""

    def __init__(self, file_descriptor: int) -> None:
        super().__init__()
        self._file_descriptor = file_descriptor
        self._condition = threading.Condition()
        self._lines: deque[bytes | LogLine] = deque()
        self._bytes = self._lost = self._failures = 0
        self._is_urgent = self._is_writing = False
        threading.Thread(target=self._write_for_ever, name="botwire-log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a line for the next write."""
        line = record if isinstance(record, LogLine) else self._to_bytes(record)
        size = _size_of(line)
        with self._condition:
            if self._bytes + size > self.most_bytes:
                self._lost += 1
                return
            self._lines.append(line)
            self._bytes += size
            urgent = record.levelno >= logging.WARNING
            self._is_urgent = self._is_urgent or urgent
            if urgent or len(self._lines) == 1:
                self._condition.notify_all()

    def _to_bytes(self, record: logging.LogRecord) -> bytes:
        try:
            return f"{self.format(record)}\n".encode(errors="backslashreplace")
        except Exception:  # noqa: BLE001 - as in every handler: a bad record must not stop a request
            self.handleError(record)
            return b""

    def flush(self) -> None:
        """Waits until all lines are written, for at most `flush_seconds`."""
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
                taken = list(self._lines)
                lost, failures = self._lost, self._failures
                self._lines.clear()
                self._is_urgent, self._is_writing = False, True
            lines = b"".join(
                [self._to_bytes(line) if isinstance(line, LogLine) else line for line in taken]
            )
            # Losses are reported once something can be written.
            rest = self._write(lines)
            if not rest and (lost or failures):
                rest = self._write(self._report(lost, failures))
                lost, failures = (0, 0) if rest else (lost, failures)
                rest = b""
            elif rest:
                lost = failures = 0
            with self._condition:
                self._is_writing = False
                if rest:
                    self._lines.appendleft(rest)
                    self._failures += 1
                self._bytes = sum(map(_size_of, self._lines))
                self._lost -= lost
                self._failures -= failures
                self._condition.notify_all()
            if rest:
                time.sleep(self.retry_seconds)

    def _report(self, lost: int, failures: int) -> bytes:
        fields = {"lines": lost, "failed_writes": failures}
        line = LogLine("botwire.log", "lines of the log were lost or late", fields)
        return f"{self.format(line)}\n".encode()

    def _write(self, lines: bytes) -> bytes:
        """Writes lines; returns what could not be written."""
        while lines:
            try:
                written = os.write(self._file_descriptor, lines)
            except OSError:
                return lines
            lines = lines[written:]
        return lines


def _size_of(line: bytes | LogLine) -> int:
    return len(line) if isinstance(line, bytes) else _LINE_BYTES


def log_to_stderr() -> None:
    """Sends the logs of BotWire, uvicorn and psycopg to standard error."""
    handler = BatchingHandler(sys.stderr.fileno())
    handler.setFormatter(JSONLines())
    for name, level in (
        ("botwire", logging.INFO),
        ("uvicorn", logging.WARNING),
        ("psycopg", logging.ERROR),  # warns of each query that it could not cancel
    ):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level)
        logger.propagate = False
