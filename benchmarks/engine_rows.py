"""The embedded engine, against bare sqlite3 and against LanceDB."""

from __future__ import annotations

import json
import random
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import lancedb

from benchmarks.comparing import Compare
from botwire import Memory, Record

MESSAGE = {"role": "user", "text": "hello " * 20}
LONG, SHORT = 100_000, 10  # items of a history
RECORDS, DIMENSION, BEST = 20_000, 384, 10


def rows(compare: Compare) -> None:
    """Measures everything.

    Args:
        compare: Prints a row.
    """
    with tempfile.TemporaryDirectory() as folder:
        _items(compare, Path(folder))
        _lengths(compare, Path(folder))
        _search(compare, Path(folder))


def _items(compare: Compare, folder: Path) -> None:
    memory = Memory("bench", url=f"sqlite:///{folder / 'ours.db'}")
    history = memory.history("h")
    memory.set("k", MESSAGE)
    bare = sqlite3.connect(folder / "bare.db", isolation_level=None)
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

    compare("append, durable", lambda: history.append(MESSAGE), insert, 1.5)
    compare("get", lambda: memory.get("k"), select, 3)
    compare("tail(20)", lambda: history.tail(20), last, 3)
    bare.close()
    memory.close()


def _lengths(compare: Compare, folder: Path) -> None:
    """Measures a long history against a short one."""
    with Memory("bench", url=f"sqlite:///{folder / 'lengths.db'}") as memory:
        long, short = memory.history("long"), memory.history("short")
        long.extend([MESSAGE] * LONG)
        short.extend([MESSAGE] * 20)
        compare(
            f"tail(20): {LONG:,} to 20 items",
            lambda: long.tail(20), lambda: short.tail(20), 1.2,
        )  # fmt: skip
        short.clear()
        short.extend([MESSAGE] * SHORT)
        compare(
            f"append: {LONG:,} to {SHORT} items",
            lambda: long.append(MESSAGE), lambda: short.append(MESSAGE), 1.2,
        )  # fmt: skip


def _search(compare: Compare, folder: Path) -> None:
    source = random.Random(1)  # noqa: S311 - the same numbers in every run
    vectors = [[source.gauss(0, 1) for _ in range(DIMENSION)] for _ in range(RECORDS)]
    query = vectors.pop()
    with Memory("bench", url=f"sqlite:///{folder / 'search.db'}") as memory:
        records = memory.records("r")
        records.put([Record(f"t{i}", id=str(i), embedding=v) for i, v in enumerate(vectors)])
        table = lancedb.connect(folder / "lance").create_table(
            "r", [{"id": str(i), "vector": v} for i, v in enumerate(vectors)]
        )

        def ours() -> list[str]:
            found = records.search(vector=query, limit=BEST, embeddings=False)
            return [match.record.id for match in found]

        def theirs() -> list[str]:
            search = table.search(query).distance_type("cosine").limit(BEST)  # type: ignore[attr-defined]
            return [row["id"] for row in search.to_list()]

        recall = len({*ours()} & {*_exactly(vectors, query)}) / BEST
        compare(f"search {RECORDS:,} x {DIMENSION}, recall {recall}", ours, theirs, 1)


def _exactly(vectors: list[list[float]], query: list[float]) -> list[str]:
    def cosine(i: int) -> float:
        vector = vectors[i]
        dot = sum(a * b for a, b in zip(vector, query, strict=True))
        return float(dot / sum(a * a for a in vector) ** 0.5)

    return [str(i) for i in sorted(range(len(vectors)), key=cosine, reverse=True)[:BEST]]


if __name__ == "__main__":
    rows(Compare())
