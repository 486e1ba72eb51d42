"""Log lines are written in groups, whatever happens to the output, and no caller waits."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys

import pytest

from botwire import TransportError
from botwire_server import problems
from botwire_server.logs import BatchingHandler, JSONLines, LogLine


def record(level: int, text: str) -> logging.LogRecord:
    return logging.LogRecord("n", level, "", 0, text, None, None)


@pytest.fixture
def pipe() -> tuple[int, int]:
    """A pipe that stays open, because a handler's thread outlives its test."""
    return os.pipe()


def test_lines_are_written_together_and_warnings_at_once(pipe: tuple[int, int]) -> None:
    handler = BatchingHandler(pipe[1])
    for i in range(3):
        handler.handle(record(logging.INFO, f"line {i}"))
    assert os.read(pipe[0], 1000) == b"line 0\nline 1\nline 2\n"
    handler.seconds = 3600
    handler.handle(record(logging.INFO, "before"))
    handler.handle(record(logging.WARNING, "worse"))
    assert os.read(pipe[0], 1000) == b"before\nworse\n"
    handler.handle(record(logging.INFO, "last"))
    handler.flush()  # as the interpreter does at exit
    assert os.read(pipe[0], 1000) == b"last\n"


def test_a_write_that_fails_is_tried_again_and_told_of(pipe: tuple[int, int]) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    handler = BatchingHandler(full)
    handler.setFormatter(JSONLines())
    handler.flush_seconds = 0.3
    handler.retry_seconds = 0.01
    handler.most_bytes = 500
    for i in range(100):
        handler.handle(record(logging.WARNING, f"line {i}"))
    handler.flush()
    os.dup2(pipe[1], full)  # the pipe has room again
    handler.flush_seconds = 30
    handler.flush()
    handler.handle(record(logging.WARNING, "and on"))
    handler.flush()
    lines = [json.loads(line) for line in os.read(pipe[0], 65536).splitlines()]
    kept = [line["message"] for line in lines if line["message"].startswith("line ")]
    assert kept == [f"line {i}" for i in range(len(kept))]
    told = [line for line in lines if "failed_writes" in line]
    assert sum(line["lines"] for line in told) == 100 - len(kept) > 0
    assert sum(line["failed_writes"] for line in told) > 0
    assert lines[-1]["message"] == "and on" or "failed_writes" in lines[-1]


def test_a_pipe_that_nobody_reads_makes_nobody_wait(pipe: tuple[int, int]) -> None:
    handler = BatchingHandler(pipe[1])
    handler.flush_seconds = 0.1
    for _ in range(5_000):
        handler.handle(record(logging.ERROR, "x" * 1000))
    handler.flush()
    assert handler._bytes <= handler.most_bytes


def test_an_outage_of_the_database_is_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(problems, "_outages", problems._Outages())
    error = TransportError("no answer from the database", url="postgresql://database")
    for _ in range(50):
        assert problems.translate(error).status == 503
    assert [record.getMessage() for record in caplog.records] == [
        "the database does not answer: no answer from the database"
    ]
    other = TransportError("no answer from the other", url="postgresql://other")
    for _ in range(2):
        assert problems.translate(other).status == 503
    assert [record.getMessage() for record in caplog.records][1:] == [
        "the database does not answer: no answer from the other"
    ]


SAYS = """
import logging
from botwire_server import logs

logs.log_to_stderr()
for name in ("psycopg", "botwire"):
    logging.getLogger(name).warning("a warning of %s", name)
    logging.getLogger(name).error("an error of %s", name)
logging.shutdown()
"""


def test_a_query_that_an_outage_keeps_from_being_cancelled_is_no_line_of_its_own() -> None:
    run = subprocess.run(
        [sys.executable, "-c", SAYS], capture_output=True, text=True, check=True, timeout=250
    )
    assert [json.loads(line)["message"] for line in run.stderr.splitlines()] == [
        "an error of psycopg",
        "a warning of botwire",
        "an error of botwire",
    ]


def test_a_line_can_be_formatted_by_any_formatter() -> None:
    """As by that of an application that mounts the server, or of pytest."""
    line = LogLine("n", "request", {"status": 200})
    names = sorted(vars(record(logging.INFO, "other")))
    text = logging.Formatter(" ".join(f"%({name})s" for name in names)).format(line)
    assert "INFO" in text
    assert line.getMessage() == "request"
