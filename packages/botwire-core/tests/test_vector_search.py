"""Vector search is exact: it always equals a plain reference, through every change."""

from __future__ import annotations

import json
import math
import sys
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from botwire import ConfigurationError, Memory, Record
from botwire.engines.sql.vector_cache import VectorCache
from botwire.engines.sql.vector_snapshots import Snapshot, VectorRow
from botwire.vectors import Vector

numbers = st.floats(-1e6, 1e6, width=32) | st.sampled_from([0.0, 1.0, -1.0, 1e-30, 1e30])


def cosine(one: list[float], other: list[float]) -> float:
    lengths = math.sqrt(math.fsum(a * a for a in one)) * math.sqrt(math.fsum(b * b for b in other))
    dot = math.fsum(a * b for a, b in zip(one, other, strict=True))
    return max(-1.0, min(1.0, dot / lengths)) if lengths else 0.0


def l2(one: list[float], other: list[float]) -> float:
    return 1 / (1 + math.fsum((a - b) ** 2 for a, b in zip(one, other, strict=True)))


REFERENCES = {"cosine": cosine, "l2": l2}


def test_more_than_a_page_is_found() -> None:
    with Memory("n", url="sqlite://") as memory:
        records = memory.records()
        records.put([Record(str(i), embedding=[1.0, i / 100]) for i in range(2100)])
        for limit in (1000, 1001, 2100, 10_000):
            found = records.search(vector=[1.0, 0.0], limit=limit, offset=3)
            expected = list(range(3, min(limit + 3, 2100)))
            assert [int(match.record.text) for match in found] == expected
        for wrong in (-1, "10", True):
            with pytest.raises(ConfigurationError, match="limit"):
                records.search(vector=[1.0, 0.0], limit=wrong)  # type: ignore[arg-type]


@settings(max_examples=150)
@given(
    st.integers(1, 5).flatmap(
        lambda dimension: st.tuples(
            st.lists(
                st.lists(numbers, min_size=dimension, max_size=dimension), min_size=1, max_size=60
            ),
            st.lists(numbers, min_size=dimension, max_size=dimension),
        )
    ),
    st.sampled_from(["cosine", "l2"]),
    st.integers(1, 12),
)
def test_the_best_are_those_of_the_reference(
    case: tuple[list[list[float]], list[float]], metric: str, limit: int
) -> None:
    vectors, query = case
    with Memory("n", url="sqlite://") as memory:
        records = memory.records()
        records.put([Record("", id=str(i), embedding=v) for i, v in enumerate(vectors)])
        found = records.search(vector=query, metric=metric, limit=limit)  # type: ignore[arg-type]
    query = Vector.of(query).values
    reference = REFERENCES[metric]
    expected = sorted((reference(Vector.of(v).values, query) for v in vectors), reverse=True)
    assert [match.score for match in found] == pytest.approx(expected[:limit], rel=1e-9, abs=1e-12)
    for match in found:
        own = reference(Vector.of(vectors[int(match.record.id)]).values, query)
        assert match.score == pytest.approx(own, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize("near", [False, True])
def test_close_neighbours_are_not_mixed_up(metric: str, near: bool) -> None:
    """Thousands of embeddings that 32 bits can hardly tell apart."""
    random = np.random.default_rng(1)
    matrix = random.normal(size=(3000, 64))
    if near:
        matrix = matrix[0] + matrix * 1e-4
    matrix = matrix.astype(np.float32)
    query = (matrix[7] + random.normal(size=64) * 1e-5).astype(np.float32)
    rows = [VectorRow(b"%d" % i, v.tobytes(), b"/", "[]", "{}", 0, 1) for i, v in enumerate(matrix)]
    snapshot = Snapshot.of(rows, 64, 1)
    every = np.arange(3000)
    found = snapshot.scores(query.tobytes(), every, metric, 20)
    best = sorted(found, key=lambda pair: -pair[1])[:20]
    everything = sorted(
        snapshot.scores(query.tobytes(), every, metric, None), key=lambda pair: -pair[1]
    )
    assert [score for _, score in best] == [score for _, score in everything[:20]]
    exact = matrix.astype(np.float64)
    q = query.astype(np.float64)
    if metric == "l2":
        reference = 1 / (1 + ((exact - q) ** 2).sum(axis=1))
    else:
        reference = exact @ q / np.linalg.norm(exact, axis=1) / np.linalg.norm(q)
    assert [score for _, score in best] == pytest.approx(sorted(reference)[::-1][:20], abs=1e-12)
    assert len(found) < 3000 or near


@pytest.mark.parametrize(
    ("values", "query", "metric"),
    [
        ([2.0**-149, 1, 2, 3], 0.1, "cosine"),  # a product that is too small for 32 bits
        ([1e-10, 1e-10, 2e-10, 0], 0, "l2"),  # distances whose scores are all 1
    ],
)
def test_those_of_equal_scores_come_by_id(values: list[float], query: float, metric: str) -> None:
    raws = [Vector.of([value]).raw for value in values]
    rows = [VectorRow(b"%d" % i, raw, b"/", "[]", "{}", 0, 1) for i, raw in enumerate(raws)]
    snapshot = Snapshot.of(rows, 1, 1)
    every = np.arange(len(values))
    for best in (1, 2, 3, None):
        found = snapshot.scores(Vector.of([query]).raw, every, metric, best)
        ranked = sorted(found, key=lambda pair: (-pair[1], pair[0]))[:best]
        assert ranked == [(b"%d" % i, 1.0) for i in range(best or len(values))]


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize("dimension", [3, 9000])
def test_a_record_has_the_same_score_whatever_is_beside_it(metric: str, dimension: int) -> None:
    matrix = np.random.default_rng(1).normal(size=(20, dimension)).astype(np.float32)
    rows = [VectorRow(b"%d" % i, v.tobytes(), b"/", "[]", "{}", 0, 1) for i, v in enumerate(matrix)]
    query = matrix[-1].tobytes()
    together = Snapshot.of(rows, dimension, 1).scores(query, np.arange(20), metric, None)
    for i, row in enumerate(rows):
        alone = Snapshot.of([row], dimension, 1)
        assert alone.scores(query, np.arange(1), metric, None) == [together[i]]


steps = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "patch", "delete", "clear", "search"]), st.integers(0, 9)
    ),
    max_size=40,
)


@settings(max_examples=60)
@given(steps)
def test_the_cache_follows_every_change(script: list[tuple[str, int]]) -> None:
    expected: dict[str, tuple[list[float], int]] = {}
    with Memory("n", url="sqlite://") as memory:
        records = memory.records()
        for turn, (what, number) in enumerate([*script, ("search", 0)]):
            ids = [str(id) for id in range(number, min(number + 3, 10))]
            if what == "put":
                vector = [float(turn), float(number)]
                records.put([Record("", id=id, embedding=vector) for id in ids])
                expected.update((id, (vector, 0)) for id in ids)
            elif what == "patch":
                records.patch(ids, {"k": turn})
                for id in expected.keys() & set(ids):
                    expected[id] = (expected[id][0], turn)
            elif what == "delete":
                assert records.delete(ids=ids) == len(expected.keys() & set(ids))
                for id in ids:
                    expected.pop(id, None)
            elif what == "clear":
                assert records.clear() == len(expected)
                expected.clear()
            else:
                found = records.search(vector=[1, 1], limit=100)
                assert {
                    m.record.id: (m.record.embedding, m.record.metadata.get("k", 0)) for m in found
                } == expected


def test_a_read_inside_a_batch_that_writes_is_not_remembered() -> None:
    from botwire import operations as ops
    from botwire.exact import Json

    with Memory("n", url="sqlite://") as memory:
        memory.records().put([Record("old", id="a", embedding=[1, 0])])
        put = ops.PutRecords(
            "default", (ops.NewRecord("b", "new", Json.of({}), embedding=Vector.of([1, 0])),)
        )
        search = ops.SearchRecords("default", Vector.of([1, 0]))
        fails = ops.CheckKey("missing", 1)
        results = memory.engine.apply(ops.Batch("n", (put, search)))
        assert {match.record.text for match in results[1]} == {"old", "new"}
        memory.records().delete(ids=["b"])
        with pytest.raises(Exception, match="missing"):
            memory.engine.apply(ops.Batch("n", (put, search, fails)))
        assert [m.record.text for m in memory.records().search(vector=[1, 0])] == ["old"]


def test_readers_and_writers_at_once_see_whole_states(tmp_path: Any) -> None:
    """Each put replaces all five records, so a search that mixed two puts would show it."""
    url = f"sqlite:///{tmp_path / 'm.db'}"
    failures: list[object] = []
    stop = threading.Event()
    with Memory("n", url=url) as memory:
        records = memory.records()

        def put(turn: int) -> None:
            records.put(
                [Record(str(turn), id=str(i), embedding=[1.0, float(turn)]) for i in range(5)]
            )

        def read() -> None:
            while not stop.is_set():
                found = records.search(vector=[0, 1], limit=9, metric="l2")
                states = {(m.record.text, m.score) for m in found}
                if len(found) != 5 or len(states) != 1:
                    failures.append(found)

        put(0)
        readers = [threading.Thread(target=read) for _ in range(4)]
        for reader in readers:
            reader.start()
        for turn in range(1, 120):
            put(turn)
        stop.set()
        for reader in readers:
            reader.join()
    assert not failures


def rows(*ids: bytes) -> list[VectorRow]:
    return [VectorRow(id, Vector.of([1, 2]).raw, b"/", json.dumps([]), "{}", 0, 1) for id in ids]


def test_the_cache_is_bounded_and_never_goes_back() -> None:
    cache = VectorCache(limit=1000)
    key, other = (b"n", b"a"), (b"n", b"b")
    cache.keep(key, Snapshot.of(rows(b"1"), 2, 5))
    cache.keep(key, Snapshot.of(rows(b"1"), 2, 4))
    base, is_current = cache.find(key, 5)
    assert base is not None
    assert is_current
    later = cache.advance(key, base, rows(b"2"), None, 6)
    assert later is not None
    assert cache.advance(key, base, rows(b"3"), None, 7) is None
    assert cache.find(key, 5) == (base, True)
    assert cache.find(key, 6) == (later, True)
    assert cache.find(key, 7) == (later, False)
    cache.keep(other, Snapshot.of(rows(b"1", b"2"), 2, 1))
    assert cache.find(key, 6) == (None, False)
    assert cache.find(other, 1)[1]


def test_without_numpy_a_vector_search_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    with Memory("n", url="sqlite://") as memory:
        records = memory.records()
        records.put([Record("green tea", id="a", embedding=[1, 0])])
        assert [m.record.embedding for m in records.search(text="tea")] == [[1.0, 0.0]]
        with pytest.raises(ConfigurationError, match=r'pip install "botwire-core\[vector\]"'):
            records.search(vector=[1, 0])
        with pytest.raises(ConfigurationError, match="numpy"):
            memory.records("empty").search(vector=[1, 0])
