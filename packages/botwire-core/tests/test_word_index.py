"""The index of words follows its texts, and its changes are known before the lock is taken."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from botwire import Memory, Record
from botwire.engines.sql import planning, word_index
from botwire.operations import CheckNamespace, CheckRecords
from botwire.transfer import admin

WORDS = [f"word{i}" for i in range(3_000)]
LONG = 500  # words: a few such texts are planned
REINDEXING = word_index.reindexing


@pytest.fixture(params=["sqlite", "postgresql"])
def memory(request: pytest.FixtureRequest, tmp_path: Path, namespace: str) -> Iterator[Memory]:
    """A client of each database."""
    url = f"sqlite:///{tmp_path / 'memory.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    with Memory(namespace, url=url) as memory:
        yield memory


@pytest.fixture
def under_lock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many texts a write looked at while it held the lock, per write that had to."""
    found: list[int] = []

    def reindexing(old: Any, new: Any, count: Any) -> Any:
        changes = REINDEXING(old, new, count)  # raises if the texts must be planned
        if getattr(count, "__name__", "") == "words_of" and (old or new):
            found.append(len({*old, *new}))
        return changes

    monkeypatch.setattr(word_index, "reindexing", reindexing)
    return found


def text(seed: int, edited: int = 0) -> str:
    words = random.Random(seed).choices(WORDS, k=LONG)
    words[:edited] = [f"new{i}" for i in range(edited)]
    return " ".join(words)


def check(memory: Memory) -> None:
    engine: Any = memory.engine
    assert admin.apply(engine, memory.namespace, CheckNamespace()) == ()
    assert admin.apply(engine, memory.namespace, CheckRecords("default")).problems == ()


def transact(delete: Callable[[Any], None]) -> Callable[[Memory], None]:
    def apply(memory: Memory) -> None:
        with memory.transaction() as transaction:
            delete(transaction.records())

    return apply


def put(texts: list[str]) -> Callable[[Memory], object]:
    return lambda memory: memory.records().put(
        [Record(text, id=f"r{i}") for i, text in enumerate(texts)]
    )


@pytest.mark.parametrize("keeps_past", [False, True], ids=["now", "past"])
def test_what_long_texts_change_is_known_before_the_lock(
    memory: Memory, under_lock: list[int], keeps_past: bool
) -> None:
    if keeps_past:
        memory.keep_past(timedelta(days=1))
    steps: list[Callable[[Memory], object]] = [
        put([text(i) for i in range(8)]),
        put([text(i, edited=i % 3) for i in range(8)]),  # some stay as they are
        put([text(i, edited=250) + " more" * i for i in range(8)]),
        put([text(i + 100) for i in range(12)]),  # all differ, and some are new
        put(["short"] * 3 + [text(i + 200) for i in range(8)]),
        transact(lambda records: records.delete(ids=["r0", "r3", "r4", "r5", "r6", "r7"])),
        transact(lambda records: records.delete(filter={"none": {"$exists": False}})),
    ]
    for number, step in enumerate(steps):
        step(memory)
        assert under_lock == [], number
        check(memory)
    assert memory.records().count() == 0
    memory.records().put([Record("short", id="r0")])
    memory.records().put([Record("shorter", id="r0")])
    assert under_lock == [1, 1]  # these are not worth a plan
    check(memory)


def test_a_text_that_changes_after_the_plan_is_indexed_as_it_is(
    memory: Memory, under_lock: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    put([text(i) for i in range(8)])(memory)
    make = planning.plan
    meanwhile = [lambda: memory.records().put([Record("short", id="r1")])]

    def plan(*args: Any, **options: Any) -> Any:
        made = yield from make(*args, **options)
        if meanwhile:
            meanwhile.pop()()
        return made

    monkeypatch.setattr(planning, "plan", plan)
    put([text(i, edited=9) for i in range(8)])(memory)
    assert meanwhile == []
    check(memory)
    assert [one.record.id for one in memory.records().search(text="short")] == []
