"""Log lines are written together, and none is lost."""

from __future__ import annotations

import io
import logging
import threading

from botwire_server.logs import TogetherHandler


class Stream(io.StringIO):
    """Says when it was written to."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Event()
        self.writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        self.written.set()
        return super().write(text)


def record(level: int, text: str) -> logging.LogRecord:
    return logging.LogRecord("n", level, "", 0, text, None, None)


def test_lines_are_written_together_and_warnings_at_once() -> None:
    stream = Stream()
    handler = TogetherHandler(stream)
    for i in range(3):
        handler.handle(record(logging.INFO, f"line {i}"))
    assert stream.written.wait(30)
    assert (stream.getvalue(), stream.writes) == ("line 0\nline 1\nline 2\n", 1)
    handler.seconds = 3600
    handler.handle(record(logging.INFO, "before"))
    handler.handle(record(logging.WARNING, "worse"))
    assert stream.getvalue().endswith("before\nworse\n")
    handler.handle(record(logging.INFO, "last"))
    handler.flush()  # what the interpreter does when it ends
    assert stream.getvalue().endswith("worse\nlast\n")
