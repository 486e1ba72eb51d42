"""The server, over loopback, against a bare FastAPI application under the same ASGI server.

The bare application holds a dictionary: it checks nothing and stores nothing. No Python server can
cost less.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil  # type: ignore[import-untyped]

from benchmarks import load
from benchmarks.bare_server import VALUE
from benchmarks.comparing import Compare
from botwire import Memory, wire
from botwire import operations as ops
from botwire.exact import Json
from scripts.serving import serve

SLICES = 9  # of one second, for each side in turn


class Server(NamedTuple):
    """A server under load."""

    port: int
    process: psutil.Process

    def cpu(self) -> float:
        """Returns the CPU seconds it has used so far."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


@contextlib.contextmanager
def servers(folder: Path) -> Iterator[tuple[str, Server, Server]]:
    """Starts ours and the bare one; yields the URL of ours, and both servers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    database = f"sqlite:///{folder / 'ours.db'}"
    with (
        serve(database, log=folder / "log") as ours,
        subprocess.Popen(
            [sys.executable, Path(__file__).with_name("bare_server.py"), str(port), folder]
        ) as bare,
    ):
        try:
            while True:
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/memory/k").close()
                    break
                time.sleep(0.05)
            yield (
                ours.url,
                Server(ours.port, psutil.Process(ours.process.pid)),
                Server(port, psutil.Process(bare.pid)),
            )
        finally:
            bare.terminate()


def batch(operation: ops.AnyOperation) -> bytes:
    """Returns the body of a client's request for an operation."""
    return wire.encode_batch(ops.Batch("bench", (operation,))).encode()


def side_by_side(name: str, target: float, *sides: tuple[Server, Callable[[], bytes]]) -> None:
    """Measures the throughput of both servers in turn, and prints the ratio.

    Also prints the ratio of answers per CPU second, which other programs on the machine affect
    less.
    """
    rates: list[list[float]] = [[] for _ in sides]
    answered, computed = [0.0] * len(sides), [0.0] * len(sides)
    for _ in range(SLICES):
        for i, (server, request) in enumerate(sides):
            before, begun = server.cpu(), time.perf_counter()
            rates[i].append(load.throughput(server.port, request))
            answered[i] += rates[i][-1] * (time.perf_counter() - begun)
            computed[i] += server.cpu() - before
    ours, theirs = (statistics.median(each) for each in rates)
    mine, its = (each / spent for each, spent in zip(answered, computed, strict=True))
    print(
        f"{name:34} {ours:10.0f}/s {theirs:10.0f}/s {ours / theirs:6.2f} (target {target}; "
        f"per CPU second {mine / its:.2f})"
    )


def rows(compare: Compare) -> None:
    """Measures the client over loopback, and the server under 32 connections.

    Args:
        compare: Prints a row.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        servers(Path(folder)) as (url, ours, bare),
        Memory("bench", url=f"{url}?channel=false") as memory,
        Memory("bench", url=url) as channel,
        httpx.Client() as client,
    ):
        memory.set("k", VALUE)
        address = f"http://127.0.0.1:{bare.port}/memory/k"
        compare("http: get", lambda: memory.get("k"), lambda: client.get(address).json(), 1.3)
        for _ in range(2):  # the second call opens the channel
            channel.get("k")
        compare("channel: get, to http", lambda: channel.get("k"), lambda: memory.get("k"), 0.5)
        compare(
            "channel: durable set, to http",
            lambda: channel.set("c", VALUE),
            lambda: memory.set("h", VALUE),
            1.0,
        )

        read = load.post(wire.BATCH_PATH, batch(ops.GetKeys(("k",))))
        side_by_side(
            "http: reads, 32 connections", 0.6,
            (ours, lambda: read), (bare, lambda: load.get("/memory/k")),
        )  # fmt: skip

        body = batch(ops.ExtendHistory("h", (Json.of(VALUE),)))
        count = itertools.count()

        def write() -> bytes:
            return load.post(
                wire.BATCH_PATH, body, f"{wire.IDEMPOTENCY_HEADER}: bench-{next(count)}"
            )

        plain = Json.of(VALUE).text.encode()
        for name, target, path in (
            ("http: durable writes, 32", 0.5, "/memory"),
            ("  to a commit each", 2.5, "/commits"),
        ):
            post = functools.partial(load.post, path, plain)
            side_by_side(name, target, (ours, write), (bare, post))


if __name__ == "__main__":
    rows(Compare())
