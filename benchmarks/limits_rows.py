"""The server at its limits, and a file: many clients, workers, tasks and processes.

    hatch run bench limits

The clients are connections of this process, each with one request at a time, so on a machine of two
cores they share the cores with the server.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import load
from botwire import AsyncMemory, wire
from botwire import operations as ops
from botwire.exact import Json
from scripts.serving import serve
from tests.chaos.processes import own_postgres

CLIENTS = int(os.environ.get("LIMITS_CLIENTS", "300"))
SECONDS = 4.0
TASKS = 200
VALUE = {"role": "user", "text": "hello " * 20}
WRITER = """
import json, sys, time
from botwire import Memory

value = json.loads(sys.argv[2])
with Memory("n", url=sys.argv[1]) as memory:
    history = memory.history("h")
    history.append(value)
    print("ready", flush=True)
    sys.stdin.readline()
    end, waits = time.perf_counter() + float(sys.argv[3]), []
    while (began := time.perf_counter()) < end:
        history.append(value)
        waits.append(time.perf_counter() - began)
print(json.dumps(waits))
"""


def requests() -> dict[str, Callable[[], bytes]]:
    """Returns what makes the next request of each kind."""

    def batch(namespace: str, operation: ops.AnyOperation) -> bytes:
        return wire.encode_batch(ops.Batch(namespace, (operation,))).encode()

    read = load.post(wire.BATCH_PATH, batch("n", ops.GetKeys(("k",))))
    bodies = [batch(f"n{i}", ops.ExtendHistory("h", (Json.of(VALUE),))) for i in range(16)]
    count = itertools.count()

    def write() -> bytes:
        number = next(count)
        header = f"{wire.IDEMPOTENCY_HEADER}: limits-{time.time_ns()}-{number}"
        return load.post(wire.BATCH_PATH, bodies[number % len(bodies)], header)

    return {"read": lambda: read, "durable append": write}


async def tasks(url: str, work: str) -> float:
    """Returns how many operations a second one client does for many tasks at once."""
    async with AsyncMemory("tasks", url=url) as memory:
        history = memory.history("h")
        await memory.set("k", VALUE)

        async def one() -> None:
            for _ in range(10):
                await (memory.get("k") if work == "get" else history.append(VALUE))

        started = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(TASKS)))
        return TASKS * 10 / (time.perf_counter() - started)


def processes(url: str, count: int) -> list[float]:
    """Returns how long each append of several processes to one file took, sorted, in seconds."""
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, url, json.dumps(VALUE), str(SECONDS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]
    for writer in writers:
        assert writer.stdout is not None
        writer.stdout.readline()
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    return sorted(itertools.chain(*(json.loads(writer.communicate()[0]) for writer in writers)))


def main() -> None:
    """Prints three tables."""
    with tempfile.TemporaryDirectory() as name, own_postgres() as postgres:
        folder = Path(name)
        head = ("store", "workers", "a second", "median", "p99", "p99 to median")
        print(f"\n| {CLIENTS} clients | {' | '.join(head)} |")
        print("|---|---|---|---|---|---|---|", flush=True)
        for store, workers in itertools.product(("SQLite", "PostgreSQL"), (1, 2)):
            file = f"sqlite:///{folder / f'{workers}.db'}"
            database = file if store == "SQLite" else postgres.url
            with serve(database, "--workers", str(workers)) as server:
                for kind, request in requests().items():
                    waits = load.waits(server.port, request, connections=CLIENTS, seconds=SECONDS)
                    middle, late = waits[len(waits) // 2], waits[len(waits) * 99 // 100]
                    print(
                        f"| {kind} | {store} | {workers} | {len(waits) / SECONDS:.0f} "
                        f"| {middle * 1e3:.0f} ms | {late * 1e3:.0f} ms | {late / middle:.1f} |",
                        flush=True,
                    )
        print(f"\n| `AsyncMemory`, {TASKS} tasks | HTTP | channel |\n|---|---|---|", flush=True)
        with serve(f"sqlite:///{folder / 'tasks.db'}") as server:
            for work in ("get", "append"):
                http, channel = (
                    asyncio.run(tasks(place, work))
                    for place in (f"{server.url}?channel=false", server.url)
                )
                print(f"| {work} | {http:.0f} a second | {channel:.0f} a second |", flush=True)
        print("\n| processes that append to one file | a second | median | p99 | longest |")
        print("|---|---|---|---|---|", flush=True)
        for count in (1, 2, 4):
            waits = processes(f"sqlite:///{folder / f'{count}-processes.db'}", count)
            middle, late = waits[len(waits) // 2], waits[len(waits) * 99 // 100]
            print(
                f"| {count} | {len(waits) / SECONDS:.0f} | {middle * 1e3:.2f} ms "
                f"| {late * 1e3:.1f} ms | {waits[-1] * 1e3:.0f} ms |",
                flush=True,
            )


if __name__ == "__main__":
    main()
