"""How the time of each operation grows with what is stored, ours and the peers' in one picture.

    hatch run bench growth

Prints a Markdown table for each picture and writes ``docs/growth-*.png``. ``GROWTH_LIMIT`` is how
many elements to go up to. A line ends before that where one call takes longer than `PATIENCE`.
"""

from __future__ import annotations

import itertools
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import chromadb
import lancedb
import matplotlib as mpl
from langchain_community.chat_message_histories import SQLChatMessageHistory
from langchain_core.messages import AIMessage, HumanMessage
from matplotlib import pyplot as plt
from sides import fastest

from botwire import Memory, Record
from botwire_langchain import BotWireChatMessageHistory

LIMIT = int(os.environ.get("GROWTH_LIMIT", "100000"))
NAMESPACES = int(os.environ.get("GROWTH_NAMESPACES", "10000"))
SIZES = [10**power for power in range(1, 7)]
ROUNDS = 30
PATIENCE = 2.0
PART = 1_000
DIMENSION, RECORDS = 64, 100_000
TEXT = "word " * 20
DOCS = Path(__file__).parent.parent / "docs"


class Line(NamedTuple):
    """One class whose operations are timed as it fills.

    Attributes:
        name: What the legend calls it.
        fill: Adds elements, from a number up to another.
        operations: Each operation, by name.
        limit: How many elements to go up to.
    """

    name: str
    fill: Callable[[int, int], Any]
    operations: dict[str, Callable[[], Any]]
    limit: int = LIMIT


def parts(start: int, end: int) -> Iterator[range]:
    """Yields ranges of at most `PART` numbers that together go from a number up to another."""
    for first in range(start, end, PART):
        yield range(first, min(first + PART, end))


def grow(line: Line) -> dict[str, dict[int, float]]:
    """Returns each operation's seconds by the number of elements."""
    found: dict[str, dict[int, float]] = {name: {} for name in line.operations}
    filled = 0
    for size in (size for size in SIZES if size <= line.limit):
        line.fill(filled, size)
        filled = size
        for name, work in line.operations.items():
            if found[name] and max(found[name].values()) > PATIENCE:
                continue
            times = []
            for _ in range(ROUNDS):
                started = time.perf_counter()
                work()
                times.append(time.perf_counter() - started)
                if sum(times) > 5 * PATIENCE:
                    break
            found[name][size] = fastest(times)
    return found


def picture(file: str, title: str, elements: str, lines: list[Line]) -> None:
    """Measures some lines, prints their table and draws them, one panel for each operation."""
    measured = {line.name: grow(line) for line in lines}
    operations = list(dict.fromkeys(name for found in measured.values() for name in found))
    figure, axes = plt.subplots(1, len(operations), figsize=(4 * len(operations), 3.4))
    sizes = [size for size in SIZES if size <= max(line.limit for line in lines)]
    print(f"\n| {title} | class | {' | '.join(f'{size:,}' for size in sizes)} |")
    print("|---|---|" + "---|" * len(sizes), flush=True)
    for panel, operation in zip([axes] if len(operations) == 1 else axes, operations, strict=True):
        for name, found in measured.items():
            times = found.get(operation, {})
            if not times:
                continue
            panel.loglog([*times], [t * 1e3 for t in times.values()], marker="o", label=name)
            cells = [f"{times[size] * 1e3:.2f} ms" if size in times else "" for size in sizes]
            print(f"| {operation} | {name} | {' | '.join(cells)} |", flush=True)
        panel.set(title=operation, xlabel=elements, ylabel="milliseconds")
        panel.grid(visible=True, alpha=0.3)
        panel.legend(fontsize=7)
    figure.suptitle(title)
    figure.tight_layout()
    figure.savefig(DOCS / f"growth-{file}.png", dpi=80)
    plt.close(figure)


def conversations(folder: Path) -> list[Line]:
    """Returns the lines of a chat history that grows."""

    def line(name: str, chat: Any, last: Callable[[], Any], limit: int) -> Line:
        def fill(start: int, end: int) -> None:
            for part in parts(start, end):
                chat.add_messages([(HumanMessage, AIMessage)[i % 2](f"{i} {TEXT}") for i in part])

        one = [HumanMessage(TEXT)]
        return Line(name, fill, {"add": lambda: chat.add_messages(one), "last 20": last}, limit)

    memory = Memory("growth", url=f"sqlite:///{folder / 'core.db'}")
    history = memory.history("h")

    def fill(start: int, end: int) -> None:
        for part in parts(start, end):
            history.extend([{"role": "user", "text": f"{i} {TEXT}"} for i in part])

    value = {"role": "user", "text": TEXT}
    core = Line(
        "botwire History",
        fill,
        {"add": lambda: history.append(value), "last 20": lambda: history.tail(20)},
    )
    url = f"sqlite:///{folder / 'ours.db'}"
    ours = BotWireChatMessageHistory("chat", namespace="growth", url=url, history_size=20)
    stock = SQLChatMessageHistory("chat", connection=f"sqlite:///{folder / 'sql.db'}")
    most = min(LIMIT, 100_000)
    return [
        core,
        line("BotWireChatMessageHistory", ours, lambda: ours.messages, most),
        line("SQLChatMessageHistory", stock, lambda: stock.messages[-20:], most),
    ]


def keys(folder: Path) -> list[Line]:
    """Returns the line of a namespace with many keys."""
    memory = Memory("growth", url=f"sqlite:///{folder / 'keys.db'}")
    source = random.Random(1)  # noqa: S311 - the same keys in every run
    count = 1

    def fill(start: int, end: int) -> None:
        nonlocal count
        for part in parts(start, end):
            memory.set_many({f"k/{i}": TEXT for i in part})
        count = end

    def any_key() -> str:
        return f"k/{source.randrange(count)}"

    operations: dict[str, Callable[[], Any]] = {
        "get": lambda: memory.get(any_key()),
        "set": lambda: memory.set(any_key(), TEXT),
        "list 10": lambda: memory.list_keys("k/1" + "0" * (len(str(count)) - 2)),
    }
    return [Line("botwire keys", fill, operations)]


def records(folder: Path) -> list[Line]:
    """Returns the lines of searchable memories, with vectors."""
    source = random.Random(1)  # noqa: S311 - the same numbers in every run
    words = [f"word{i}" for i in range(5_000)]
    most = min(LIMIT, RECORDS)

    def vectors(count: int) -> list[list[float]]:
        return [[source.gauss(0, 1) for _ in range(DIMENSION)] for _ in range(count)]

    def text() -> str:
        return " ".join(source.choices(words, k=10))

    (query,) = vectors(1)
    ours = Memory("growth", url=f"sqlite:///{folder / 'records.db'}").records("r")
    schema = [{"id": "x", "vector": query, "text": "x"}]
    table = lancedb.connect(folder / "lance").create_table("r", schema)
    chroma = chromadb.PersistentClient(str(folder / "chroma")).create_collection("records")
    ids = itertools.count()

    def fill(start: int, end: int) -> None:
        for part in parts(start, end):
            made = vectors(len(part))
            ours.put([Record(text(), id=str(i), embedding=made[i - part.start]) for i in part])

    def fill_lance(start: int, end: int) -> None:
        for part in parts(start, end):
            made = vectors(len(part))
            table.add([{"id": str(i), "vector": made[i - part.start], "text": "t"} for i in part])

    def fill_chroma(start: int, end: int) -> None:
        for part in parts(start, end):
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
            most,
        ),
        Line(
            "LanceDB",
            fill_lance,
            {
                "nearest 10": lambda: table.search(query).limit(10).to_list(),
                "save one": lambda: table.add(schema),
            },
            most,
        ),
        Line(
            "Chroma",
            fill_chroma,
            {
                "nearest 10": lambda: chroma.query(query_embeddings=[query], n_results=10),  # type: ignore[arg-type,list-item]
                "save one": lambda: chroma.add(
                    ids=[f"new-{next(ids)}"],
                    embeddings=[query],  # type: ignore[arg-type,list-item]
                    documents=["new"],
                ),
            },
            min(most, 10_000),
        ),
    ]


def namespaces(folder: Path) -> list[Line]:
    """Returns the line of a store with many namespaces."""
    url = f"sqlite:///{folder / 'namespaces.db'}"
    first = Memory("n0", url=url)

    def write(number: int) -> None:
        first.with_namespace(f"n{number}").set("k", TEXT)

    def fill(start: int, end: int) -> None:
        with ThreadPoolExecutor(32) as pool:  # writers that wait share a sync
            for _ in pool.map(write, range(start, end)):
                pass

    operations: dict[str, Callable[[], Any]] = {
        "get": lambda: first.get("k"),
        "set": lambda: first.set("k", TEXT),
        "append": lambda: first.history("h").append(TEXT),
    }
    return [Line("botwire", fill, operations, NAMESPACES)]


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
            with tempfile.TemporaryDirectory() as folder:
                picture(file, title, elements, lines(Path(folder)))


if __name__ == "__main__":
    main(sys.argv[1:])
