"""Measures BotWire against what a user would write instead: ratios, both sides in one run.

Each row does the same work both ways in turn, many times, and compares the medians. Absolute times
depend on the machine; ratios hardly do.
"""

from __future__ import annotations

import json
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from botwire import Memory

ROUNDS = 2000
MESSAGE = {"role": "user", "text": "hello " * 20}


def compare(name: str, ours: Callable[[], Any], bare: Callable[[], Any], reach: float) -> None:
    """Runs both in turn and prints the ratio of their medians."""
    spent: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for times, work in zip(spent, (ours, bare), strict=True):
            started = time.perf_counter()
            work()
            times.append(time.perf_counter() - started)
    mine, theirs = (statistics.median(times) * 1e6 for times in spent)
    print(f"{name:34} {mine:9.1f} µs {theirs:9.1f} µs {mine / theirs:6.2f} (reach {reach})")


def main() -> None:
    """Measures the embedded engine."""
    with tempfile.TemporaryDirectory() as folder:
        memory = Memory("bench", url=f"sqlite:///{Path(folder) / 'ours.db'}")
        history = memory.history("h")
        memory.set("k", MESSAGE)
        bare = sqlite3.connect(Path(folder) / "bare.db", isolation_level=None)
        bare.execute("PRAGMA journal_mode=WAL")
        bare.execute("PRAGMA synchronous=FULL")
        bare.execute("CREATE TABLE items (h TEXT, seq INTEGER, value TEXT, PRIMARY KEY (h, seq))")
        count = 0

        def insert() -> None:
            nonlocal count
            count += 1
            bare.execute("BEGIN IMMEDIATE")
            bare.execute("INSERT INTO items VALUES ('h', ?, ?)", (count, json.dumps(MESSAGE)))
            bare.execute("COMMIT")

        def select() -> Any:
            rows = bare.execute("SELECT value FROM items WHERE h = 'h' AND seq = 1")
            return json.loads(rows.fetchone()[0])

        def last() -> list[Any]:
            rows = bare.execute("SELECT value FROM items WHERE h = 'h' ORDER BY seq DESC LIMIT 20")
            return [json.loads(value) for (value,) in rows.fetchall()][::-1]

        print(f"{'':34} {'BotWire':>12} {'bare sqlite3':>12} {'ratio':>6}")
        compare("append, durable", lambda: history.append(MESSAGE), insert, 1.5)
        compare("get", lambda: memory.get("k"), select, 3)
        compare("tail(20)", lambda: history.tail(20), last, 3)
        bare.close()
        memory.close()


if __name__ == "__main__":
    main()
