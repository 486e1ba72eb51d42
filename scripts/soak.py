"""Puts a server under load from many connections; it must not fail, nor may its memory grow.

Each connection is a client that writes and reads keys, appends to a history and reads its tail,
puts records and searches them, one request at a time. Some clients disconnect in the middle of a
request and reconnect. Growth is the memory that the server gains in the second half of the run,
when caches are warm. The exit code is 1 if an answer was an error or wrong, or if the memory grew
beyond the limit.

    python scripts/soak.py --connections 200 --seconds 60
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from serving import serve

VALUE = {"role": "user", "text": "hello " * 20}
PATIENCE_SECONDS = 30
"""Time limit for a few requests, in seconds; later answers count as missing."""
EACH_BREAKS_OFF = 200
"""One in this many requests is cut off in the middle."""


class Client:
    """One connection, reopened whenever it breaks.

    Args:
        number: Its number, which determines its names and choices.
        port: The port of the server on this machine.
    """

    def __init__(self, number: int, port: int) -> None:
        self.base = f"/v1/namespaces/load-{number}"
        self.port = port
        self.times: list[float] = []
        self.failures: list[str] = []
        self._chance = random.Random(number)  # noqa: S311 - choices, not secrets
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._appended = 0

    async def run(self, until: float) -> None:
        """Sends requests until `time.monotonic` reaches a time."""
        work = (self._keys, self._history, self._records)
        while time.monotonic() < until and not self.failures:
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await self._chance.choice(work)()
            except (OSError, EOFError, TimeoutError, ValueError) as error:
                self.failures.append(f"{type(error).__name__}: {error}")
        self._close()

    async def _keys(self) -> None:
        key, value = f"k{self._chance.randrange(10)}", self._chance.random()
        await self._ask("PUT", f"/keys/{key}", {"value": value})
        found = await self._ask("GET", f"/keys/{key}")
        self._expect(found["value"] == value, found)

    async def _history(self) -> None:
        self._appended += 1
        await self._ask("POST", "/histories/h/items", {"values": [{**VALUE, "n": self._appended}]})
        found = await self._ask("GET", "/histories/h/items?newest_first=true&limit=20")
        self._expect(found["items"][0]["value"]["n"] == self._appended, found)

    async def _records(self) -> None:
        id, word = f"r{self._chance.randrange(20)}", f"word{self._chance.randrange(1000)}"
        record = {"text": f"about {word}", "metadata": {}, "embedding": [self._chance.random(), 1]}
        await self._ask("PUT", f"/collections/c/records/{id}", record)
        query = {"text": word, "vector": record["embedding"], "limit": 1, "embeddings": False}
        found = await self._ask("POST", "/collections/c/search", query)
        self._expect(found["result"][0]["record"]["text"] == f"about {word}", found)

    def _expect(self, held: bool, found: Any) -> None:
        if not held:
            self.failures.append(f"not what was written: {found}")

    async def _ask(self, method: str, path: str, body: Any = None) -> Any:
        content = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {self.base}{path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        request = f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content
        if self._chance.randrange(EACH_BREAKS_OFF) == 0:
            _, writer = await self._connected()
            writer.write(request[: self._chance.randrange(len(request))])
            await writer.drain()
            self._close()
        reader, writer = await self._connected()
        started = time.perf_counter()
        writer.write(request)
        head_bytes = await reader.readuntil(b"\r\n\r\n")
        length = int(head_bytes.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        answer = await reader.readexactly(length)
        self.times.append(time.perf_counter() - started)
        if not head_bytes.startswith(b"HTTP/1.1 200"):
            self.failures.append(answer.decode(errors="replace")[:300])
        return json.loads(answer)

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self.port)
        return self._streams

    def _close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def memory(process: int) -> int:
    """Returns the resident memory of a process in bytes (on Linux)."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(process)


async def load(port: int, process: int, connections: int, seconds: float) -> tuple[Any, list[int]]:
    """Runs the clients; returns them, and the server's memory halfway through and at the end."""
    clients = [Client(number, port) for number in range(connections)]
    until = time.monotonic() + seconds
    running = asyncio.gather(*[client.run(until) for client in clients])
    await asyncio.sleep(seconds / 2)
    sizes = [memory(process)]
    await running
    return clients, [*sizes, memory(process)]


def main(arguments: list[str]) -> int:
    """Starts a server with an empty store and puts it under load; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--growth", type=int, default=32, help="MiB allowed (%(default)s)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        database = f"sqlite:///{Path(folder, 'memory.db')}"
        log = Path(folder, "log")
        with serve(database, log=log) as server:
            clients, (half, end) = asyncio.run(
                load(server.port, server.process.pid, options.connections, options.seconds)
            )
        log_lines = log.read_text().splitlines()
    logged = [line for line in log_lines if "Traceback" in line]
    times = sorted(time_ for client in clients for time_ in client.times)
    failures = [failure for client in clients for failure in client.failures]
    p50, p99 = (times[int(len(times) * part)] * 1000 for part in (0.5, 0.99))
    print(
        f"{options.connections} connections, {options.seconds:g} s: {len(times)} requests, "
        f"{len(times) / options.seconds:.0f}/s, mean {statistics.mean(times) * 1000:.1f} ms, "
        f"median {p50:.1f} ms, 99 % {p99:.1f} ms"
    )
    print(
        f"errors: {len(failures)}, tracebacks: {len(logged)}, memory halfway and at the end: "
        f"{half / 2**20:.1f} and {end / 2**20:.1f} MiB"
    )
    for trouble in [*failures, *logged][:5]:
        print(trouble)
    return int(bool(failures or logged) or end - half > options.growth * 2**20)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
