"""The log: a JSON object a line on standard error, without names, keys or values of memory."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import sys
import threading
import time
from collections.abc import Mapping
from typing import TextIO


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


class TogetherHandler(logging.StreamHandler[TextIO]):
    """Writes lines together, a tenth of a second after the first of them.

    A line a request costs less to make than to write. What is a warning or worse is written at
    once, with all that was said before it, and so is everything when the process ends.
    """

    seconds = 0.1

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._lines: list[str] = []
        self._begun = threading.Event()
        threading.Thread(target=self._write, name="botwire-log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a line for the next time."""
        try:
            self._lines.append(self.format(record) + self.terminator)
        except Exception:  # noqa: BLE001 - as in every handler: a bad record must not stop a request
            self.handleError(record)
            return
        if record.levelno >= logging.WARNING:
            self.flush()
        elif not self._begun.is_set():
            self._begun.set()

    def flush(self) -> None:
        """Writes the lines that are kept."""
        with self.lock or contextlib.nullcontext():
            lines, self._lines = self._lines, []
            if lines:
                self.stream.write("".join(lines))
            super().flush()

    def _write(self) -> None:
        while True:
            self._begun.wait()
            time.sleep(self.seconds)
            self._begun.clear()
            self.flush()


def log_to_stderr() -> None:
    """Sends what BotWire, the HTTP server and the database's driver say to standard error."""
    handler = TogetherHandler(sys.stderr)
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


def close(seconds: float) -> None:
    """Writes what is kept, if that takes no longer than this."""
    thread = threading.Thread(target=_flush_all, daemon=True)
    thread.start()
    thread.join(seconds)


def _flush_all() -> None:
    for handler in logging.getLogger("botwire").handlers:
        handler.flush()
