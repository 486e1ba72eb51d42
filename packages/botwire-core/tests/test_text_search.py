"""Searches that skip what cannot win return the same as those that read everything."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from botwire import Memory, Record, Records
from botwire.engines.sql import text_search, words

_WORDS = [f"w{i}" for i in range(60)]
_WEIGHTS = [1 / (i + 1) for i in range(60)]  # as in real languages, a few words are everywhere


_FORMS = ["walk", "walks", "walked", "walking", "tea", "teas"]


def _text(dice: random.Random, length: int) -> str:
    words = dice.choices(_WORDS, _WEIGHTS, k=length)
    return " ".join(words + dice.choices(_FORMS, k=dice.randrange(3)))


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Records]:
    dice = random.Random(7)
    memory = Memory("n", url=f"sqlite:///{tmp_path_factory.mktemp('texts') / 'memory.db'}")
    records = memory.records()
    records.put(
        Record(
            _text(dice, dice.randint(1, 12)),
            f"r{i}",
            metadata={"user": dice.randrange(20)},
            scope=dice.choice(["/a", "/b"]),
            embedding=[dice.gauss(0, 1), dice.gauss(0, 1)] if dice.random() < 0.8 else None,
        )
        for i in range(600)
    )
    yield records
    memory.close()


def _found(records: Records, **search: Any) -> list[tuple[str, float]]:
    return [(match.record.id, match.score) for match in records.search(**search)]


def _skipping(monkeypatch: pytest.MonkeyPatch, *, on: bool) -> None:
    monkeypatch.setattr(text_search, "_FEW", 0 if on else 10**9)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"limit": 1},
        {"limit": 3, "offset": 40},
        {"limit": 1000},
        {"filter": {"user": 3}},
        {"filter": {"user": 99}},
        {"scope": "/a", "limit": 5},
        {"min_score": 0.6},
    ],
    ids=str,
)
def test_what_cannot_win_is_not_missed(
    records: Records, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    dice = random.Random(1)
    for _ in range(40):
        query = _text(dice, dice.randint(1, 6)) + dice.choice(["", " unheard", " w59 w58"])
        _skipping(monkeypatch, on=False)
        wanted = _found(records, text=query, **settings)
        _skipping(monkeypatch, on=True)
        assert _found(records, text=query, **settings) == wanted


def test_common_words_are_not_read_whole(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    _skipping(monkeypatch, on=True)
    read: list[tuple[list[text_search.Term], bool]] = []
    true = text_search._Search.read

    def spy(self: Any, some: Any, among: Any = None) -> Any:
        some = list(some)
        read.append((some, among is None))
        return true(self, some, among)

    monkeypatch.setattr(text_search._Search, "read", spy)
    _found(records, text="w0 w57 w58 w59", limit=1)
    assert ([(b"w59",)], True) in read
    assert ([(b"w0",)], True) not in read


@pytest.mark.parametrize(
    "settings", [{}, {"filter": {"user": 3}}, {"limit": 700}, {"metric": "l2"}], ids=str
)
def test_both_is_a_mean_of_each(records: Records, settings: dict[str, Any]) -> None:
    dice = random.Random(2)
    everything = {"limit": 1000, "filter": settings.get("filter")}
    metric = {"metric": settings["metric"]} if "metric" in settings else {}
    for _ in range(20):
        query, vector = _text(dice, 3), [dice.gauss(0, 1), dice.gauss(0, 1)]
        totals = dict(_found(records, vector=vector, **everything, **metric))
        for id, score in _found(records, text=query, **everything):
            beside = words.normal_beside_a_vector(score / (1 - score))  # the sum of BM25
            totals[id] = totals.get(id, 0.0) + words.BESIDE_A_VECTOR * beside
        parts = words.BESIDE_A_VECTOR + 1
        ranked = sorted(((id, total / parts) for id, total in totals.items()), key=_rank)
        found = _found(records, text=query, vector=vector, **settings)
        wanted = ranked[: settings.get("limit", 10)]
        assert [id for id, _ in found] == [id for id, _ in wanted]
        assert [score for _, score in found] == pytest.approx([score for _, score in wanted])


def _rank(pair: tuple[str, float]) -> tuple[float, str]:
    return -pair[1], pair[0]


def test_records_of_one_moment_are_counted_once_and_listed_in_order(records: Records) -> None:
    one_by_one = []
    for offset in range(0, 40, 7):
        page = records.list(filter={"user": {"$lt": 10}}, limit=7, offset=offset)
        one_by_one += [record.id for record in page]
    assert one_by_one == sorted(one_by_one)
    assert one_by_one == [r.id for r in records.list(filter={"user": {"$lt": 10}}, limit=42)]
    counts = [records.count(filter={"user": user}) for user in range(20)]
    assert sum(counts) == records.count() == 600
