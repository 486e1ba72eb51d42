"""Authors are stored with everything, wherever memory lives, and no client can claim a key."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from botwire import AsyncMemory, Author, ConfigurationError, Memory, Record, transfer
from botwire import operations as ops
from botwire.connection import Connection
from botwire.operations.authors import from_stored, read_author, to_stored

ADA = Author("ada", "langgraph", "run-1")
BOB = Author("bob")


@pytest.fixture(params=["sqlite", "postgres", "http"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A place of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'memory.db'}"
    return str(request.getfixturevalue(f"{request.param.replace('http', 'server')}_url"))


@pytest.fixture
def ada(url: str, namespace: str) -> Iterator[Memory]:
    """The memory of a namespace, written by one author."""
    with Memory(namespace, url=url, author=ADA) as memory:
        yield memory


def test_everything_that_is_written_has_its_author(ada: Memory) -> None:
    bob = ada.by("bob")
    assert (ada.author, bob.author, ada.with_namespace("other").author) == (ADA, BOB, ADA)

    ada.set_many({"k": 1, "n": 1})
    assert [entry.author for entry in ada.iter_entries()] == [ADA, ADA]
    bob.increment("n")
    assert ada.entry("n").author == BOB
    bob.update("k", lambda value: value + 1)
    assert ada.entry("k").author == BOB

    history, bobs = ada.history("chat"), bob.history("chat")
    history.extend(["a", "b"])
    bobs.append("c")
    assert [item.author for item in history.read()] == [ADA, ADA, BOB]
    fork = bobs.fork("fork")
    fork.append("d")
    bobs.update(1, "A")
    history.archive(1)
    assert [item.author for item in history.read(archived=True)] == [BOB, ADA, BOB]
    assert [item.author for item in fork.read()] == [ADA, ADA, BOB, BOB]
    fork.delete(2)  # copies the items that it shares
    assert [item.author for item in fork.read()] == [ADA, BOB, BOB]
    bobs.replace(["e"])
    assert [item.author for item in history.read()] == [BOB]

    records = ada.records()
    records.put([Record("tea", "1"), Record("milk", "2")])
    bob.records().patch(["2"], {"a": 1})
    assert {r.id: r.author for r in records.list()} == {"1": ADA, "2": BOB}
    assert records.get(["1"], embeddings=False)[0].author == ADA
    assert records.search(text="tea")[0].record.author == ADA

    with bob.transaction() as tx:
        tx.get("k")
        tx.set("k", 3)
    assert ada.entry("k").author == BOB
    ada.by(None).set("k", 4)
    assert ada.entry("k").author is None


def test_changes_have_their_author(ada: Memory) -> None:
    ada.set("k", 1)
    after = ada.revision()
    ada.by("bob").delete("k")
    ada.by(None).set("k", 2)
    ada.history("h").append(1)
    changes = ada.watch(after=after)
    seen = [(change.action, change.author) for _, change in zip(range(3), changes, strict=False)]
    assert seen == [("delete", BOB), ("put", None), ("append", ADA)]


async def test_awaited(url: str, namespace: str) -> None:
    async with AsyncMemory(namespace, url=url, author=ADA) as memory:
        await memory.set("k", 1)
        await memory.by("bob").history("h").append(1)
        await memory.records().put([Record("tea", "1")])
        async with memory.transaction() as tx:
            tx.set("in", 1)
        assert (await memory.entry("k")).author == (await memory.entry("in")).author == ADA
        assert [item.author async for item in memory.history("h").newest_first()] == [BOB]
        assert [record.author for record in await memory.records().list()] == [ADA]


def test_copies_and_exports_carry_it(ada: Memory, tmp_path: Path) -> None:
    ada.set("k", 1)
    ada.history("h").append(1)
    ada.records().put([Record("tea", "1", embedding=[1.0, 2.0])])
    path = tmp_path / "export.ndjson"
    with path.open("wb") as file:
        transfer.export(ada.engine, file, namespaces=[ada.namespace])
    with Memory(ada.namespace, url="sqlite://", author="importer") as copied:
        with path.open("rb") as file:
            transfer.load(copied.engine, file)
        with path.open("rb") as file:
            assert transfer.load(copied.engine, file).written == 0
        assert copied.entry("k").author == ADA
        assert copied.history("h").read()[0].author == ADA
        assert copied.records().list()[0].author == ADA
        assert list(transfer.check(copied.engine)) == []
        size = copied.engine.apply(ops.Batch(copied.namespace, (ops.ReadUsage(),)))[0].bytes
    assert ada.engine.apply(ops.Batch(ada.namespace, (ops.ReadUsage(),)))[0].bytes == size


def test_sizes_stay_true(url: str, namespace: str) -> None:
    with Memory(namespace, url=url, author=Author("a" * 128, run="é" * 64)) as memory:
        for by in (memory, memory.by("bob"), memory.by(None), memory):
            by.set("k", 1)
            by.records().put([Record("tea", "1")])
            by.records().patch(["1"], {"a": 1})
            by.history("h").append(1)
            by.history("h").update(1, 2)
        memory.history("h").fork("f")
        memory.history("f").update(1, 3)  # copies the items that it shares
        assert list(transfer.check(memory.engine, namespaces=[namespace])) == []
        memory.clear()
        memory.history("f").clear()
        memory.history("h").clear()
        memory.records().clear()
        assert memory.engine.apply(ops.Batch(namespace, (ops.ReadUsage(),)))[0].bytes == 0


@pytest.mark.parametrize(
    ("author", "message"),
    [
        ("", "agent must not be empty"),
        (Author(key="0123456789ab"), "only the server sets it"),
        (7, "a string or an Author, not int"),
        ("a" * 129, "at most 128 bytes"),
    ],
)
def test_what_is_no_author_is_refused(author: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Memory("n", url="sqlite://", author=author)
    with pytest.raises(ConfigurationError, match=message):
        Connection("n", url="sqlite://", author=author)


def test_an_author_that_says_nothing_is_none() -> None:
    assert read_author(Author()) is None
    assert to_stored(Author()) is to_stored(None) is None
    assert Memory("n", url="sqlite://", author=Author()).author is None


@pytest.mark.parametrize(
    "author", [BOB, ADA, Author(run="\ud800"), ADA.with_key("0123"), Author(key="0123")]
)
def test_what_is_stored_is_read_again(author: Author) -> None:
    stored = to_stored(author)
    assert stored is not None
    assert stored.isascii()
    assert from_stored(stored) == author


def test_str_and_names() -> None:
    author = ADA.with_key("0123")
    assert str(author) == "ada, langgraph, run run-1, key 0123"
    assert all(map(author.goes_by, ("ada", "langgraph", "run-1", "0123")))
    assert not author.goes_by("a")


# --- adapters -------------------------------------------------------------------------------


def test_an_adapter_says_its_framework() -> None:
    connection = Connection("n", url="sqlite://", framework="agent-framework")
    assert connection.author == Author(framework="agent-framework")
    assert connection.memory.author == connection.async_memory.author == connection.author
    assert Connection("n", url="sqlite://").author is None


def test_an_adapter_keeps_what_a_user_says(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'm.db'}"
    for given in ({"url": url, "author": "ada"}, {"client": Memory("n", url=url, author="ada")}):
        connection = Connection("n", framework="langgraph", **given)  # type: ignore[arg-type]
        assert connection.author == Author("ada", "langgraph")
        assert connection.memory.author == connection.async_memory.author == connection.author
        for again in (copy.deepcopy(connection), pickle.loads(pickle.dumps(connection))):
            assert again.memory.author == connection.author
    both = Memory("n", url=url, author="ada")
    connection = Connection("n", framework="ag2", client=both, author="bob")
    assert connection.author == Author("bob", "ag2")
    assert Connection("n", framework="ag2", client=both.by(ADA)).author == ADA


def test_a_framework_fills_in_what_is_not_given() -> None:
    assert Author().during(agent="a", run="r") == Author("a", run="r")
    assert Author("mine", run="mine").during(agent="a", run="r") == Author("mine", run="mine")
    for odd in (None, "", "x" * 200, "\ud83d\ude00", 7):
        assert not Author().during(agent=odd, run=odd)
    run = uuid4()
    assert Author().during(run=run) == Author(run=str(run))


@pytest.mark.parametrize("gather_reads", [False, True])
async def test_a_connection_writes_as_the_agent_and_in_the_run(*, gather_reads: bool) -> None:
    connection = Connection(
        "n", url="sqlite://", framework="ag2", author=Author(run="mine"), gather_reads=gather_reads
    )
    during = connection.during(agent="support", run="theirs")
    during.memory.set("k", 1)
    await during.async_memory.history("h").append(1)
    entry = connection.memory.entry("k")
    assert entry is not None
    assert entry.author == Author("support", "ag2", "mine")
    # Both halves share the connections of the first, of a memory in this process too.
    (item,) = await connection.async_memory.history("h").read()
    assert item.author == entry.author
    assert connection.author == connection.memory.author == Author(framework="ag2", run="mine")
    assert connection.during() is connection
    assert during.during(agent="support") is during
    for again in (copy.deepcopy(during), during.during(agent="other")):
        assert again.memory.author == during.author
