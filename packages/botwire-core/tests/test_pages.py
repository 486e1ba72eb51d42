"""Pages are bounded in bytes, as full as possible, and together contain everything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from botwire import Memory, PayloadTooLargeError, Record
from botwire import operations as ops
from botwire.engines.postgres import PostgresEngine
from botwire.engines.protocol import Engine
from botwire.engines.sql import pages
from botwire.engines.sql.steps import Steps
from botwire.engines.sqlite import MEMORY, SQLiteEngine
from botwire.exact import Json
from botwire.operations.terms import BatchTerms

BOUND = 4_000
NOTHING = ops.Selection()


@pytest.fixture(params=["sqlite", "postgres"])
def engine(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Engine]:
    monkeypatch.setattr(ops, "MAX_PAGE_BYTES", BOUND)
    engine: Engine = (
        SQLiteEngine(tmp_path / "memory.db")
        if request.param == "sqlite"
        else PostgresEngine(request.getfixturevalue("postgres_database_url"))
    )
    yield engine
    engine.close()


def ask(engine: Engine, *operations: ops.AnyOperation, answer: int | None = None) -> list[Any]:
    terms = None if answer is None else BatchTerms(answer=answer)
    return engine.apply(ops.Batch("n", operations, terms=terms))


def fill(engine: Engine, sizes: list[int]) -> None:
    """Writes a key, an item and a record of each size, so that all are in one order."""
    values = ["x" * size for size in sizes]
    memory = Memory("n", engine=engine)
    memory.set_many({f"k{i:03}": value for i, value in enumerate(values)})
    memory.history("h").extend(values)
    memory.records().put([Record(value, f"r{i:03}", {"n": i}) for i, value in enumerate(values)])


Ask = Callable[[Any, int], ops.AnyOperation]


def ways() -> dict[str, tuple[Ask, bool]]:
    """Returns what is paged: what asks for what comes after an element, and if from the end."""
    return {
        "keys": (lambda last, n: ops.ScanKeys(after=last and last.key, limit=n), False),
        "keys backwards": (
            lambda last, n: ops.ScanKeys(before=last and last.key, limit=n, descending=True),
            True,
        ),
        "items": (
            lambda last, n: ops.ReadHistory("h", after=last.seq if last else 0, limit=n),
            False,
        ),
        "items backwards": (
            lambda last, n: ops.ReadHistory(
                "h", before=last and last.seq, limit=n, newest_first=True, archived=True
            ),
            True,
        ),
        "dump": (lambda last, n: ops.DumpRecords("default", last and last.id, n), False),
        "dump since": (
            lambda last, n: ops.DumpRecordsSince(
                "default", last.version if last else 0, last and last.id, n
            ),
            False,
        ),
        "records": (
            lambda last, n: ops.ListRecords(
                "default", NOTHING, n, 0 if last is None else last.metadata.value["n"] + 1
            ),
            False,
        ),
    }


def check_pages(engine: Engine, sizes: list[int], limit: int) -> None:
    for name, (ask_for, backwards) in ways().items():
        found: list[int] = []
        last = None
        while True:
            (page,) = ask(engine, ask_for(last, limit))
            elements = page[0]
            assert elements or not found, name
            held = [pages.size_of(element) for element in elements]
            assert sum(held) <= BOUND or len(held) == 1, name
            assert len(held) <= limit
            found += [
                len(one.text if isinstance(one, ops.RecordEntry) else one.value.value)
                for one in elements
            ]
            if not page.more:
                break
            # No fewer than necessary; names count too, about 8 bytes per element.
            assert len(held) == limit or sum(held) + max(sizes) + 8 * len(held) + 64 > BOUND, name
            last = elements[-1]
        assert found == (sizes[::-1] if backwards else sizes), name


@settings(max_examples=40)
@given(
    st.lists(st.integers(0, 300) | st.integers(0, 6_000), max_size=12),
    st.integers(1, 15),
)
def test_pages_are_bounded_full_and_complete(sizes: list[int], limit: int) -> None:
    engine = SQLiteEngine(MEMORY)
    fill(engine, sizes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ops, "MAX_PAGE_BYTES", BOUND)
        check_pages(engine, sizes, limit)
    assert ask(engine, ops.CheckNamespace()) == [()]


def test_both_databases_bound_pages_alike(engine: Engine) -> None:
    sizes = [10, 3_900, 100, 6_000, 6_000, 1_000, 1_000, 1_000, 5]
    fill(engine, sizes)
    for limit in (1, 2, 5, 1_000):
        check_pages(engine, sizes, limit)
    memory = Memory("n", engine=engine)
    history = memory.history("h")
    values = ["x" * size for size in sizes]
    assert history.tail(7) == values[-7:]
    assert [item.value for item in history.read(limit=6)] == values[:6]
    assert [item.value for item in reversed(history)] == values[::-1]
    assert [entry.value for entry in memory.iter_entries()] == values
    assert memory.get_many([f"k{i:03}" for i in range(12)]) == {
        f"k{i:03}": value for i, value in enumerate(values)
    }
    assert len(memory.records().list()) == len(memory.records().search(text="x" * 10)) + 8
    assert ask(engine, ops.CheckRecords("default")) != []
    assert history.pop() == values[-1]


@pytest.mark.parametrize("size", [1, 10, 100, 999, 5_000])
def test_no_more_is_measured_than_a_page_holds(size: int) -> None:
    """On SQLite, measuring reads the value: each page would read the whole history."""
    asked: list[int] = []

    def measure(start: int, count: int) -> Steps:
        assert start == sum(asked)
        asked.append(count)
        return [size] * count
        yield  # a generator, as those that ask a database

    with pytest.raises(StopIteration) as end:
        next(pages._measure(measure, 1_000, 10_000))
    assert end.value.value == [size] * sum(asked)
    assert sum(asked) <= max(4, 10_000 // size + 1)
    assert size * sum(asked) > 10_000 or sum(asked) == 1_000


def test_a_batch_sees_what_it_has_written(engine: Engine) -> None:
    large = (Json.of("x" * 3_000),)
    *_, page = ask(engine, ops.ExtendHistory("h", large * 3), ops.ReadHistory("h"))
    assert (len(page.items), page.more) == (1, True)


def test_what_is_not_paged_is_answered_whole_or_refused(engine: Engine) -> None:
    sizes = [3_000] * 8
    fill(engine, sizes)
    keys, ids = (tuple(f"{kind}{i:03}" for i in range(8)) for kind in "kr")
    vector_less = ops.SearchRecords("default", text="x" * 3_000, limit=8)
    for whole in (ops.GetKeys(keys), ops.GetRecords("default", ids), vector_less):
        (answer,) = ask(engine, whole, answer=50_000)
        assert len([one for one in answer if one is not None]) == 8
        assert ask(engine, whole) == [answer]
        with pytest.raises(PayloadTooLargeError, match="more than 20,000 bytes: ask for fewer"):
            ask(engine, whole, answer=20_000)
    # The same key twice counts twice; missing keys count nothing.
    with pytest.raises(PayloadTooLargeError):
        ask(engine, ops.GetKeys(keys[:1] * 8), answer=20_000)
    missing = tuple(f"none {i}" for i in range(100))
    assert ask(engine, ops.GetKeys((*missing, keys[0])), answer=20_000)[0][-1] is not None
    assert ask(engine, ops.GetKeys(missing), answer=20_000) == [(None,) * 100]
    assert len(ask(engine, ops.GetKeys(keys[:1]), answer=1_000)) == 1  # one is always returned


def test_a_batch_answers_so_much_in_all(engine: Engine) -> None:
    fill(engine, [1_000] * 20)
    read = ops.ReadHistory("h")
    found = ask(engine, *[read] * 4, answer=8_000)
    # Where they are asked together, each gets its share.
    counts = [len(page.items) for page in found]
    assert counts == ([3, 3, 1, 1] if isinstance(engine, SQLiteEngine) else [1, 1, 1, 1])
    assert all(page.more for page in found)
    with pytest.raises(PayloadTooLargeError, match="ask for fewer"):
        ask(engine, *[read] * 20, answer=8_000)
    for more in (read, ops.GetKeys(("k000",)), ops.PopItem("h")):
        with pytest.raises(PayloadTooLargeError, match="ask for fewer"):
            ask(engine, ops.PutKey("new", Json.of(1)), *[read] * 4, more, answer=8_000)
    assert Memory("n", engine=engine).get("new") is None  # all or nothing
    answers = ask(engine, read, ops.CountKeys(), ops.StatHistory("h"), answer=2_000)
    assert answers[1] == 20
