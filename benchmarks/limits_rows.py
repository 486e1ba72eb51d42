"""The server at its limits: many clients, more workers, many tasks of one client.

    hatch run bench limits

The clients are connections of this process, each with one request at a time, so on a machine of two
cores they share the cores with the server.
"""

from __future__ import annotations

import asyncio
import itertools
import os
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


def main() -> None:
    """Prints two tables."""
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


if __name__ == "__main__":
    main()
