"""Runs a server of its own, for the tools and the benchmarks."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class NotServingError(Exception):
    """The server did not start; the message quotes its log, if it has one."""


class Served(NamedTuple):
    """A server that listens.

    Attributes:
        url: Its address.
        process: Its process.
    """

    url: str
    process: subprocess.Popen[str]

    @property
    def port(self) -> int:
        """Its port."""
        return int(self.url.rpartition(":")[2])


@contextlib.contextmanager
def serve(database: str, *options: str, log: Path | None = None) -> Iterator[Served]:
    """Serves a database during a block, on a free port unless an option names another.

    Args:
        database: Its URL.
        *options: Further options of ``botwire serve``; no setting comes from the environment.
        log: The file to add the server's log to; None discards it.

    Raises:
        NotServingError: The server ended before it listened.
    """
    command = [sys.executable, "-m", "botwire", "serve", "--port", "0", "--database", database]
    with (
        Path(os.devnull if log is None else log).open("a") as stderr,
        subprocess.Popen(
            [*command, *options],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env={name: one for name, one in os.environ.items() if not name.startswith("BOTWIRE_")},
        ) as process,
    ):
        try:
            assert process.stdout is not None
            line = process.stdout.readline()  # printed once it listens
            if not line:
                said = "" if log is None else f": {log.read_text().strip()[-2000:]}"
                raise NotServingError(f"the server did not start{said}")
            yield Served(line.split()[-1], process)
        finally:
            process.terminate()
