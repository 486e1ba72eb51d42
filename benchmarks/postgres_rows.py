"""PostgreSQL, on this machine and a millisecond away, against hand-written statements.

The hand-written program has a table and psycopg: ``BEGIN; INSERT; COMMIT`` and a ``SELECT``,
without a global order, versions, quotas, or retries that land once.
"""

from __future__ import annotations

import json
import multiprocessing
import threading
from multiprocessing.connection import Connection
from typing import Any

import psycopg

from benchmarks.comparing import Compare
from botwire import Memory
from tests.chaos.processes import own_postgres
from tests.chaos.proxy import Proxy

MESSAGE = {"role": "user", "text": "hello " * 20}
AWAY = 0.001  # seconds, each direction


def rows(compare: Compare) -> None:
    """Measures everything.

    Args:
        compare: Prints a row.
    """
    with own_postgres() as database:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        line = context.Process(target=_hold, args=(database.port, theirs), daemon=True)
        line.start()
        try:
            database.run("CREATE TABLE items (n BYTEA, h BYTEA, seq BIGINT, value TEXT, "
                         "PRIMARY KEY (n, h, seq))")  # fmt: skip
            _place(compare, "", database.port, 1000, (3, 3))
            _place(compare, ", 1 ms away", ours.recv(), 200, (1.5, 1.5))
        finally:
            line.kill()
            line.join()


def _hold(port: int, told: Connection) -> None:
    """Delays all traffic, as a network does; runs as a process of its own."""
    told.send(Proxy(port, delay=AWAY).port)
    threading.Event().wait()


def _place(
    compare: Compare, where: str, port: int, rounds: int, target: tuple[float, float]
) -> None:
    url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
    memory = Memory("bench", url=url)
    history = memory.history("h")
    memory.set("k", MESSAGE)
    hand = psycopg.connect(url, autocommit=True)
    count = hand.execute("SELECT count(*) FROM items").fetchall()[0][0]

    def insert() -> None:
        nonlocal count
        count += 1
        with hand.transaction():
            hand.execute(
                "INSERT INTO items VALUES ('n', 'h', %s, %s)", (count, json.dumps(MESSAGE))
            )

    def select() -> Any:
        found = hand.execute("SELECT value FROM items WHERE n = 'n' AND h = 'h' AND seq = 1")
        return json.loads(found.fetchall()[0][0])

    append, get = target
    compare(f"append{where}", lambda: history.append(MESSAGE), insert, append, rounds)
    compare(f"set{where}", lambda: memory.set("k", MESSAGE), insert, append, rounds)
    compare(f"get{where}", lambda: memory.get("k"), select, get, rounds)
    hand.close()
    memory.close()


if __name__ == "__main__":
    rows(Compare())
