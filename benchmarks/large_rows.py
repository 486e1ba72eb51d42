"""A large file: how fast things start with it, and how long a writer waits beside long work.

    hatch run bench large

``LARGE_MEGABYTES`` is the size of the file. A writer appends without pause while each long
operation runs in another process; the table has the longest append with and without it.
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
from multiprocessing.connection import Connection
from pathlib import Path

from botwire import Memory

MEGABYTES = int(os.environ.get("LARGE_MEGABYTES", "1000"))
STARTS = 5
ALONE_SECONDS = 5.0
TEXT = "x" * 1_000
PART = 1_000
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

    for name, work in (
        ("Python alone", lambda: python("pass")),
        ("`import botwire`", lambda: python("import botwire")),
        ("and a first read of the file", lambda: python(read)),
        ("a server that listens, with the file", lambda: _serve(url)),
    ):
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
    """Starts a server, and returns once it says where it listens."""
    command = [sys.executable, "-m", "botwire", "serve", "--port", "0", "--database", url]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()


def _append(url: str, results: Connection) -> None:
    """Appends until told to stop; then sends the seconds that each append took."""
    history = Memory("writer", url=url).history("w")
    times = []
    history.append("first")
    results.send(None)
    while not results.poll():
        started = time.perf_counter()
        history.append({"text": TEXT})
        times.append(time.perf_counter() - started)
    results.send(times)


def stalls(database: Path, folder: Path) -> None:
    """Prints how long appends take alone, and beside each long operation."""
    url = f"sqlite:///{database}"
    memory = Memory("large", url=url)

    def command(*arguments: str) -> None:
        environment = {**os.environ, "BOTWIRE_URL": url}
        subprocess.run(
            [sys.executable, "-m", "botwire", *arguments],
            check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    copy = f"sqlite:///{folder / 'copy.db'}"
    print("\n| beside | appends | median | 99 of 100 within | longest | it took |")
    print("|---|---|---|---|---|---|", flush=True)
    for name, work in (
        ("nothing", lambda: time.sleep(ALONE_SECONDS)),
        ("a program that only computes", lambda: _compute(ALONE_SECONDS)),
        ("list of all keys", memory.list_keys),
        ("`botwire check`", lambda: command("check")),
        ("`botwire backup`", lambda: command("backup", str(folder / "backup.db"))),
        ("`botwire copy`", lambda: command("copy", url, copy)),
        ("sweep of 10,000 expired keys", lambda: _expire(memory)),
    ):
        ours, theirs = CONTEXT.Pipe()
        writer = CONTEXT.Process(target=_append, args=(url, theirs))
        writer.start()
        ours.recv()
        started = time.perf_counter()
        work()
        took = time.perf_counter() - started
        ours.send(None)
        times = sorted(ours.recv())
        writer.join()
        cells = [statistics.median(times), times[len(times) * 99 // 100], times[-1]]
        shown = " | ".join(f"{each * 1e3:.1f} ms" for each in cells)
        print(f"| {name} | {len(times):,} | {shown} | {took:.1f} s |", flush=True)


def _compute(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


def _expire(memory: Memory) -> None:
    """Makes keys that expire at once, and waits until a sweep has removed them."""
    for first in range(0, 10_000, PART):
        memory.set_many({f"e/{first + i}": TEXT for i in range(PART)}, ttl=1)
    time.sleep(1.1)
    until = time.perf_counter() + ALONE_SECONDS
    while time.perf_counter() < until:
        memory.set("sweeps", 1)  # writes sweep
        time.sleep(0.05)


def main() -> None:
    """Prints what starts, and what a writer waits for."""
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
        stalls(database, folder)


if __name__ == "__main__":
    main()
