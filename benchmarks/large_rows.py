"""A large file: how fast things start with it, a server's memory, and how long a writer waits.

    hatch run bench large

``LARGE_MEGABYTES`` is the size of the file. A writer appends without pause while each long
operation runs in another process; the table has the longest append with and without it. Beside
them, another program only writes a kilobyte to a file of its own and syncs it: what that one waits
for is due to the disk and the machine.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from botwire import Memory
from scripts.serving import serve

MEGABYTES = int(os.environ.get("LARGE_MEGABYTES", "1000"))
STARTS = 5
ALONE_SECONDS = 5.0
TEXT = "x" * 1_000
PART = 1_000
TTL = 2.0  # seconds; of the keys that a sweep removes
CONTEXT = multiprocessing.get_context("spawn")


def fill(database: Path) -> None:
    """Writes items of a kilobyte until the file has its size, a tenth of them as keys."""
    memory = Memory("large", url=f"sqlite:///{database}")
    history = memory.history("h")
    count = 0
    while database.stat().st_size < MEGABYTES * 1_000_000:
        history.extend([{"n": count + i, "text": TEXT} for i in range(PART)])
        memory.set_many({f"k/{count + i}": TEXT for i in range(PART // 10)})
        count += PART
    memory.close()
    print(f"\n{count:,} items and {count // 10:,} keys, {database.stat().st_size / 1e6:,.0f} MB")


def starts(database: Path) -> None:
    """Prints how long an import, a first read and a server take to start."""
    url = f"sqlite:///{database}"
    read = f"from botwire import Memory; Memory('large', url={url!r}).get('k/1')"
    print("\n| start | CPU | fastest | median |\n|---|---|---|---|")

    def python(code: str) -> None:
        subprocess.run([sys.executable, "-c", code], check=True)

    works: tuple[tuple[str, Callable[[], None]], ...] = (
        ("Python alone", lambda: python("pass")),
        ("`import botwire`", lambda: python("import botwire")),
        ("and a first read of the file", lambda: python(read)),
        ("a server that listens, with the file", lambda: _serve(url)),
    )
    for name, work in works:
        times, computed = [], []
        for _ in range(STARTS):
            before, started = _children_computed(), time.perf_counter()
            work()
            times.append(time.perf_counter() - started)
            computed.append(_children_computed() - before)
        figures = (statistics.median(computed), min(times), statistics.median(times))
        print(f"| {name} | {' | '.join(f'{each:.2f} s' for each in figures)} |", flush=True)


def _children_computed() -> float:
    """Returns the CPU seconds of all processes that this one has started and waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _serve(url: str) -> None:
    with serve(url):
        pass


def memory(url: str) -> None:
    """Prints the memory of a server after some work."""
    print("\n| a server, after | resident memory |\n|---|---|")

    def show(what: str, process: psutil.Process) -> None:
        print(f"| {what} | {process.memory_info().rss / 1e6:.0f} MB |", flush=True)

    with serve(url) as served, Memory("large", url=served.url) as client:
        server = psutil.Process(served.process.pid)
        show("its start", server)
        history = client.history("h")
        for i in range(1_000):
            client.get(f"k/{i}")
            client.history("another").append(TEXT)
        show("1,000 reads and 1,000 appends", server)
        client.list_keys()
        show("a list of all keys", server)
        last = 0
        while items := history.read(after=last, limit=1_000):
            last = items[-1].seq
        show("all items read", server)


def _append(url: str, results: Connection) -> None:
    """Appends until told to stop; then sends the seconds that each append took."""
    history = Memory("writer", url=url).history("w")
    _repeat(lambda: history.append({"text": TEXT}), results)


def _sync(file: str, results: Connection) -> None:
    """Writes to a file and syncs it until told to stop; then sends the seconds that each took."""
    with Path(file).open("wb", buffering=0) as opened:
        opened.write(TEXT.encode() * PART)  # so that the file does not grow later

        def write() -> None:
            opened.seek(0)
            opened.write(TEXT.encode())
            os.fsync(opened.fileno())

        _repeat(write, results)


def _repeat(work: Callable[[], Any], results: Connection) -> None:
    times = []
    work()
    results.send(None)
    while not results.poll():
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    results.send(times)


class _Loop:
    """A process that repeats something while long work runs here."""

    def __init__(self, target: Callable[[str, Connection], None], where: str) -> None:
        self._ours, theirs = CONTEXT.Pipe()
        self._process = CONTEXT.Process(target=target, args=(where, theirs))
        self._process.start()
        self._ours.recv()

    def stop(self) -> list[float]:
        """Returns how long each round took, sorted."""
        self._ours.send(None)
        times: list[float] = self._ours.recv()
        self._process.join()
        return sorted(times)


def stalls(database: Path, folder: Path) -> None:
    """Prints how long appends take alone, and beside each long operation."""
    url = f"sqlite:///{database}"
    client = Memory("large", url=url)

    def command(*arguments: str) -> None:
        environment = {**os.environ, "BOTWIRE_URL": url}
        subprocess.run(
            [sys.executable, "-m", "botwire", *arguments],
            check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    copy = f"sqlite:///{folder / 'copy.db'}"
    head = ("appends", "median", "99 of 100 within", "longest", "longest bare write", "it took")
    print(f"\n| beside | {' | '.join(head)} |\n|---|---|---|---|---|---|---|", flush=True)
    for name, work in (
        ("nothing", lambda: time.sleep(ALONE_SECONDS)),
        ("a program that only computes", lambda: _compute(ALONE_SECONDS)),
        ("list of all keys", client.list_keys),
        ("`botwire check`", lambda: command("check")),
        ("`botwire backup`", lambda: command("backup", str(folder / "backup.db"))),
        ("`botwire copy`", lambda: command("copy", url, copy)),
        ("sweep of 10,000 expired keys", lambda: _sweep(client)),
    ):
        if name.startswith("sweep"):
            _set_expiring(client)  # before the writer starts, which it would hold up
        writer, bare = _Loop(_append, url), _Loop(_sync, str(folder / "bare"))
        started = time.perf_counter()
        work()
        took = time.perf_counter() - started
        times = writer.stop()
        cells = [
            statistics.median(times),
            times[len(times) * 99 // 100],
            times[-1],
            bare.stop()[-1],
        ]
        shown = " | ".join(f"{each * 1e3:.1f} ms" for each in cells)
        print(f"| {name} | {len(times):,} | {shown} | {took:.1f} s |", flush=True)


def _compute(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


def _set_expiring(memory: Memory) -> None:
    """Sets keys that expire in a moment."""
    for first in range(0, 10_000, PART):
        memory.set_many({f"e/{first + i}": TEXT for i in range(PART)}, ttl=TTL)


def _sweep(memory: Memory) -> None:
    """Sweeps, once the keys have expired."""
    time.sleep(TTL)
    memory.engine.sweep()


def main() -> None:
    """Prints what starts, what a server takes, and what a writer waits for."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        free = shutil.disk_usage(folder).free
        if free < 4 * MEGABYTES * 1_000_000:
            sys.exit(f"{folder} has {free / 1e9:.0f} GB free; {4 * MEGABYTES / 1e3} GB are needed")
        database = folder / "large.db"
        fill_into = Memory("large", url=f"sqlite:///{database}")
        fill_into.set("k/1", TEXT)
        fill_into.close()
        fill(database)
        starts(database)
        memory(f"sqlite:///{database}")
        stalls(database, folder)


if __name__ == "__main__":
    main()
