"""How the time of each operation grows with what is stored, ours and the peers' in one picture.

    hatch run bench growth
    hatch run peers:python benchmarks/growth_rows.py PICTURE ...

All classes of a picture grow together and take turns at each size. It prints a Markdown table for
each picture and writes ``docs/growth-*.png``. ``GROWTH_LIMIT`` is the largest number of elements,
``GROWTH_NAMESPACES`` that of namespaces. A line ends before that where an operation takes longer
than `PATIENCE`, or where `FILL_SECONDS` are not enough to fill the class.
"""

from __future__ import annotations

import itertools
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import chromadb
import lancedb
import matplotlib as mpl
import numpy as np
import redis
from langchain_community.chat_message_histories import SQLChatMessageHistory
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.store.base import PutOp
from langgraph.store.sqlite import SqliteStore
from matplotlib import pyplot as plt

from benchmarks.peers_rows import redis_server
from benchmarks.sides import fastest
from botwire import Memory, Record
from botwire_langchain import BotWireChatMessageHistory

LIMIT = int(os.environ.get("GROWTH_LIMIT", "1000000"))
NAMESPACES = int(os.environ.get("GROWTH_NAMESPACES", "100000"))
SIZES = [10**power for power in range(1, 7)]
ROUNDS = 40
PATIENCE = 2.0
FILL_SECONDS = float(os.environ.get("GROWTH_FILL_SECONDS", "600"))
"""How long a class may take to fill, in all."""
PART = 1_000
DIMENSION = 64
TEXT = "word " * 20
DOCS = Path(__file__).parent.parent / "docs"


@dataclass
class Line:
    """One class whose operations are timed as it fills.

    Attributes:
        name: What the legend calls it.
        fill: Adds the elements with these numbers, at most `part` of them.
        operations: Each operation, by name.
        limit: The largest number of elements.
        part: How many elements one call of `fill` adds.
        found: The seconds of each operation by the number of elements, once measured.
        filled: How many elements there are.
        filling: How long filling took so far, in seconds.
    """

    name: str
    fill: Callable[[range], Any]
    operations: dict[str, Callable[[], Any]]
    limit: int = LIMIT
    part: int = PART
    found: dict[str, dict[int, float]] = field(default_factory=dict)
    filled: int = 0
    filling: float = 0.0

    def reach(self, size: int) -> bool:
        """Fills up to a size; returns whether that was possible in time."""
        while self.filled < size <= self.limit and self.filling < FILL_SECONDS:
            part = range(self.filled, min(self.filled + self.part, size))
            started = time.perf_counter()
            self.fill(part)
            self.filling += time.perf_counter() - started
            self.filled = part.stop
        return self.filled == size

    def is_patient(self, operation: str) -> bool:
        """Returns whether no call of an operation took too long so far."""
        return max(self.found.get(operation, {}).values(), default=0.0) <= PATIENCE


def measure(lines: list[Line], operation: str, size: int) -> None:
    """Runs an operation of all lines in turn, once untimed and then many times."""
    sides = [line for line in lines if operation in line.operations and line.is_patient(operation)]
    times: dict[str, list[float]] = {line.name: [] for line in sides}
    for line in sides:  # the first call may read what was added since the last size
        line.operations[operation]()
    for _ in range(ROUNDS):
        for line in sides:
            if sum(times[line.name]) > 5 * PATIENCE:
                continue
            started = time.perf_counter()
            line.operations[operation]()
            times[line.name].append(time.perf_counter() - started)
    for line in sides:
        line.found.setdefault(operation, {})[size] = fastest(times[line.name])


def picture(file: str, title: str, elements: str, lines: list[Line]) -> None:
    """Measures some lines, prints their table and draws them, one panel for each operation."""
    operations = list(dict.fromkeys(name for line in lines for name in line.operations))
    for size in SIZES:
        there = [line for line in lines if line.reach(size)]
        for operation in operations:
            measure(there, operation, size)
        print(f"{file}: {size:,}, {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
    sizes = [size for size in SIZES if size <= max(line.filled for line in lines)]
    figure, axes = plt.subplots(1, len(operations), figsize=(4 * len(operations), 3.4))
    print(f"\n| {title} | class | {' | '.join(f'{size:,}' for size in sizes)} |")
    print("|---|---|" + "---|" * len(sizes), flush=True)
    for panel, operation in zip([axes] if len(operations) == 1 else axes, operations, strict=True):
        for line in lines:
            times = line.found.get(operation, {})
            if not times:
                continue
            panel.loglog([*times], [t * 1e3 for t in times.values()], marker="o", label=line.name)
            cells = [f"{times[size] * 1e3:.2f} ms" if size in times else "" for size in sizes]
            print(f"| {operation} | {line.name} | {' | '.join(cells)} |", flush=True)
        panel.set(title=operation, xlabel=elements, ylabel="milliseconds")
        panel.grid(visible=True, alpha=0.3)
        panel.legend(fontsize=7)
    figure.suptitle(title)
    figure.tight_layout()
    figure.savefig(DOCS / f"growth-{file}.png", dpi=80)
    plt.close(figure)


def conversations(folder: Path, stack: ExitStack) -> list[Line]:
    """Returns the lines of a chat history that grows."""

    def line(name: str, chat: Any, last: Callable[[], Any]) -> Line:
        def fill(part: range) -> None:
            chat.add_messages([(HumanMessage, AIMessage)[i % 2](f"{i} {TEXT}") for i in part])

        one = [HumanMessage(TEXT)]
        return Line(name, fill, {"add": lambda: chat.add_messages(one), "last 20": last})

    memory = Memory("growth", url=f"sqlite:///{folder / 'core.db'}")
    history = memory.history("h")
    value = {"role": "user", "text": TEXT}
    core = Line(
        "botwire History",
        lambda part: history.extend([{"role": "user", "text": f"{i} {TEXT}"} for i in part]),
        {"add": lambda: history.append(value), "last 20": lambda: history.tail(20)},
    )
    url = f"sqlite:///{folder / 'ours.db'}"
    ours = BotWireChatMessageHistory("chat", namespace="growth", url=url, history_size=20)
    stock = SQLChatMessageHistory("chat", connection=f"sqlite:///{folder / 'sql.db'}")
    return [
        core,
        line("BotWireChatMessageHistory", ours, lambda: ours.messages),
        line("SQLChatMessageHistory", stock, lambda: stock.messages[-20:]),
    ]


def sqlite_store(folder: Path, stack: ExitStack) -> SqliteStore:
    """Opens LangGraph's store on a file."""
    store = stack.enter_context(SqliteStore.from_conn_string(str(folder / "store.db")))
    store.setup()
    return store


def redis_client(folder: Path, stack: ExitStack) -> redis.Redis | None:
    """Starts Redis with ``appendfsync always``; returns None if it is not installed."""
    url = stack.enter_context(redis_server(folder / "redis", durable=True))
    return None if url is None else stack.enter_context(redis.Redis.from_url(url))


def keys(folder: Path, stack: ExitStack) -> list[Line]:
    """Returns the lines of a namespace with many keys."""
    memory = Memory("growth", url=f"sqlite:///{folder / 'keys.db'}")
    source = random.Random(1)  # noqa: S311 - the same keys in every run

    def any_key(line: Line) -> str:
        return f"k/{source.randrange(line.filled)}"

    ours = Line("botwire keys", lambda part: memory.set_many({f"k/{i}": TEXT for i in part}), {})
    ours.operations = {
        "get": lambda: memory.get(any_key(ours)),
        "set": lambda: memory.set(any_key(ours), TEXT),
        "list 10": lambda: memory.list_keys("k/1" + "0" * (len(str(ours.filled)) - 2)),
    }
    store = sqlite_store(folder, stack)

    def fill_store(part: range) -> None:
        store.batch([PutOp(("growth",), f"k/{i}", {"text": TEXT}) for i in part])

    stock = Line("LangGraph SqliteStore", fill_store, {})
    stock.operations = {
        "get": lambda: store.get(("growth",), any_key(stock)),
        "set": lambda: store.put(("growth",), any_key(stock), {"text": TEXT}),
    }
    lines = [ours, stock]
    client = redis_client(folder, stack)
    if client is not None:
        there = Line("Redis, always", lambda part: client.mset({f"k/{i}": TEXT for i in part}), {})
        there.operations = {
            "get": lambda: client.get(any_key(there)),
            "set": lambda: client.set(any_key(there), TEXT),
        }
        lines.append(there)
    return lines


def records(folder: Path, stack: ExitStack) -> list[Line]:
    """Returns the lines of searchable memories, with vectors."""
    source = np.random.default_rng(1)  # the same numbers in every run

    def vectors(count: int) -> list[list[float]]:
        made: list[list[float]] = source.standard_normal((count, DIMENSION)).tolist()
        return made

    def text() -> str:
        return " ".join(f"word{i}" for i in source.integers(5_000, size=10))

    (query,) = vectors(1)
    ours = Memory("growth", url=f"sqlite:///{folder / 'records.db'}").records("r")
    schema = [{"id": "x", "vector": query, "text": "x"}]
    table = lancedb.connect(folder / "lance").create_table("r", schema)
    chroma = chromadb.PersistentClient(str(folder / "chroma")).create_collection("records")
    ids = itertools.count()

    def fill(part: range) -> None:
        made = zip(part, vectors(len(part)), strict=True)
        ours.put([Record(text(), id=str(i), embedding=vector) for i, vector in made])

    def fill_lance(part: range) -> None:
        made = zip(part, vectors(len(part)), strict=True)
        table.add([{"id": str(i), "vector": vector, "text": "t"} for i, vector in made])

    def fill_chroma(part: range) -> None:
        chroma.add(
            ids=[str(i) for i in part],
            embeddings=vectors(len(part)),  # type: ignore[arg-type]
            documents=["t"] * len(part),
        )

    return [
        Line(
            "botwire Records",
            fill,
            {
                "nearest 10": lambda: ours.search(vector=query, limit=10, embeddings=False),
                "save one": lambda: ours.put([Record("new", embedding=query)]),
                "search by 2 words": lambda: ours.search(text="word7 word8", limit=10),
            },
        ),
        Line(
            "LanceDB",
            fill_lance,
            {
                "nearest 10": lambda: table.search(query).limit(10).to_list(),
                "save one": lambda: table.add(schema),
            },
            part=10 * PART,
        ),
        Line(
            "Chroma",
            fill_chroma,
            {
                "nearest 10": lambda: chroma.query(query_embeddings=[query], n_results=10),  # type: ignore[arg-type]
                "save one": lambda: chroma.add(
                    ids=[f"new-{next(ids)}"],
                    embeddings=[query],  # type: ignore[arg-type]
                    documents=["new"],
                ),
            },
        ),
    ]


def namespaces(folder: Path, stack: ExitStack) -> list[Line]:
    """Returns the lines of a store with many namespaces."""
    url = f"sqlite:///{folder / 'namespaces.db'}"
    first = Memory("n0", url=url)
    pool = stack.enter_context(ThreadPoolExecutor(32))  # writers that wait share a sync

    def write(number: int) -> None:
        first.with_namespace(f"n{number}").set("k", TEXT)

    source = random.Random(1)  # noqa: S311 - the same namespaces in every run

    def any_name(line: Line) -> str:
        return f"n{source.randrange(line.filled)}"

    def any_memory() -> Memory:
        return first.with_namespace(any_name(ours))

    ours = Line("botwire", lambda part: [*pool.map(write, part)], {}, NAMESPACES)
    ours.operations = {
        "get": lambda: any_memory().get("k"),
        "set": lambda: any_memory().set("k", TEXT),
        "append": lambda: any_memory().history("h").append(TEXT),
    }
    store = sqlite_store(folder, stack)

    def fill_store(part: range) -> None:
        store.batch([PutOp((f"n{i}",), "k", {"text": TEXT}) for i in part])

    stock = Line("LangGraph SqliteStore", fill_store, {}, NAMESPACES)
    stock.operations = {
        "get": lambda: store.get((any_name(stock),), "k"),
        "set": lambda: store.put((any_name(stock),), "k", {"text": TEXT}),
    }
    return [ours, stock]


PICTURES = (
    ("conversation", "A conversation that grows", "messages", conversations),
    ("keys", "A namespace with many keys", "keys", keys),
    ("records", f"Searchable memories, vectors of {DIMENSION}", "records", records),
    ("namespaces", "A store with many namespaces", "namespaces", namespaces),
)


def main(chosen: list[str]) -> None:
    """Draws the pictures with these names, or all."""
    mpl.use("Agg")
    for file, title, elements, lines in PICTURES:
        if not chosen or file in chosen:
            with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
                picture(file, title, elements, lines(Path(folder), stack))


if __name__ == "__main__":
    main(sys.argv[1:])
