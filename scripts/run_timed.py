"""Runs a program and writes down how long each of its memory calls takes.

``python scripts/run_timed.py PROGRAM``: milliseconds, one a line, into the file that
``MEMORY_TIMINGS`` names. The program itself is run as it is.
"""

from __future__ import annotations

import os
import runpy
import sys
import time
from pathlib import Path
from typing import Any

from botwire._async.http import AsyncHTTPEngine
from botwire._sync.http import HTTPEngine
from botwire.engines.async_sqlite import AsyncSQLiteEngine
from botwire.engines.sqlite import SQLiteEngine


def write(started: float) -> None:
    """Writes down the time since `started`."""
    with Path(os.environ["MEMORY_TIMINGS"]).open("a") as file:
        file.write(f"{(time.perf_counter() - started) * 1000:.4f}\n")


def time_blocking(engine: Any) -> None:
    """Makes an engine's class time its calls."""
    apply = engine.apply

    def timed(self: Any, batch: Any) -> Any:
        started = time.perf_counter()
        try:
            return apply(self, batch)
        finally:
            write(started)

    engine.apply = timed


def time_awaited(engine: Any) -> None:
    """Makes an asynchronous engine's class time its calls."""
    apply = engine.apply

    async def timed(self: Any, batch: Any) -> Any:
        started = time.perf_counter()
        try:
            return await apply(self, batch)
        finally:
            write(started)

    engine.apply = timed


if __name__ == "__main__":
    time_blocking(HTTPEngine)
    time_blocking(SQLiteEngine)
    time_awaited(AsyncHTTPEngine)
    time_awaited(AsyncSQLiteEngine)
    program = Path(sys.argv[1])
    sys.argv = sys.argv[1:]
    sys.path[0] = str(program.parent)
    runpy.run_path(str(program), run_name="__main__")
