"""PostgreSQL searches vectors itself where it has pgvector, with the answers that numpy gives."""

from __future__ import annotations

import random
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from botwire import Memory, Record, transfer
from botwire import exact_operations as exact
from botwire import operations as ops
from botwire import record_operations as records
from botwire import store_operations as store
from botwire._sync import postgres
from botwire._sync.postgres import PostgresEngine
from botwire._sync.postgres_steps import run as run_steps
from botwire.engines import record_search, vector_table
from botwire.engines.postgres_types import ADAPTERS
from botwire.engines.protocol import Engine
from botwire.engines.sqlite import MEMORY, SQLiteEngine
from botwire.exact import Json
from botwire.names import SYSTEM_NAMESPACE
from botwire.vectors import Vector
from conftest import add_pgvector

DROP = "DROP EXTENSION vector CASCADE"
WHOLE = [(vector_table.WHOLE,)]


def run(url: str, sql: str, *parameters: Any) -> list[Any]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(sql.encode(), parameters)
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
def url(postgres_database_url: str) -> str:
    """The URL of an empty database with the extension."""
    add_pgvector(postgres_database_url)
    return postgres_database_url


@pytest.fixture
def engine(url: str) -> Iterator[PostgresEngine]:
    opened = PostgresEngine(url)
    yield opened
    opened.close()


# --- the same answers -----------------------------------------------------------------------

SMALLEST, LARGEST = 2.0**-149, (2 - 2.0**-23) * 2.0**127
odd_numbers = st.sampled_from(
    [0.0, 1.0, -1.0, SMALLEST, -SMALLEST, 1e-40, LARGEST, -LARGEST, 1e20, 1 + 2.0**-23, 0.1]
)
any_numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)
numbers = odd_numbers | st.floats(-1, 1, width=32) | any_numbers
words = st.lists(st.sampled_from(["tea", "milk", "cup"]), max_size=3).map(" ".join)
KINDS = ["a", "b", "c"]


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[records.NewRecord], list[records.SearchRecords]]:
    dimension = draw(st.sampled_from([1, 1, 2, 3, 17]))
    vectors = st.lists(numbers, min_size=dimension, max_size=dimension)
    kinds = draw(st.lists(vectors, min_size=1, max_size=6))
    near = [[x * (1 + draw(st.integers(-3, 3)) * 2.0**-23) for x in one] for one in kinds]
    within = [[min(max(x, -LARGEST), LARGEST) for x in one] for one in near]
    some = st.sampled_from([*kinds, *within, [0.0] * dimension]) | vectors
    count = draw(st.integers(1, 30))
    put = [
        records.NewRecord(
            str(draw(st.integers(0, 10**6))),
            draw(words),
            Json.of({"kind": draw(st.sampled_from(KINDS))}),
            tuple(draw(st.lists(st.sampled_from(KINDS), max_size=2))),
            draw(st.sampled_from(["/", "/x", "/x/y", "/xy"])),
            draw(st.none() | some.map(Vector.of)),
            draw(st.integers(1_000, 1_003)),
        )
        for _ in range(count)
    ]
    put = list({record.id: record for record in put}.values())
    where = st.builds(
        records.Selection,
        st.none() | st.lists(st.sampled_from([record.id for record in put]), max_size=5).map(tuple),
        st.sampled_from(["/", "/", "/x"]),
        st.none() | st.lists(st.sampled_from(KINDS), max_size=2).map(tuple),
        st.none() | st.sampled_from(KINDS).map(lambda kind: Json.of({"kind": kind})),
        st.none() | st.just(1_000),
        st.none() | st.just(1_003),
    )
    searches = [
        records.SearchRecords(
            "c",
            Vector.of(draw(some)),
            draw(st.none() | words),
            draw(st.just(records.EVERYTHING) | where),
            draw(st.integers(1, 8)),
            draw(st.integers(0, 5)),
            draw(st.none() | st.sampled_from([-1, 0, 0.25, 1.0, 10**400, float("nan")])),
            metric,
        )
        for _ in range(3)
        for metric in records.METRICS
    ]
    return put, searches


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages so small that a search of a few records, and their filling in, take several."""
    for name, value in (("_MORE", 0), ("_MORE_FILTERED", 0), ("_RARE", 2)):
        monkeypatch.setattr(record_search, name, value)
    monkeypatch.setattr(vector_table, "_MANY", 5)
    monkeypatch.setattr(vector_table, "_FILLED_AT_ONCE", 1)


@pytest.mark.usefixtures("small_pages")
def test_the_answers_are_those_of_numpy(engine: PostgresEngine) -> None:
    reference = SQLiteEngine(MEMORY)

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(cases())
    def compare(case: tuple[list[records.NewRecord], list[records.SearchRecords]]) -> None:
        put, searches = case
        namespace = uuid.uuid4().hex
        for one in (reference, engine):
            one.apply(ops.Batch(namespace, (records.PutRecords("c", tuple(put)),)))
        for search in searches:
            expected, found = (
                [
                    (match.record.id, match.score, match.record.embedding)
                    for match in one.apply(ops.Batch(namespace, (search,)))[0]
                ]
                for one in (reference, engine)
            )
            assert found == expected, search

    compare()
    assert not engine._vectors._kept
    reference.close()


def test_neighbours_that_32_bits_cannot_tell_apart_are_told_apart(engine: PostgresEngine) -> None:
    source = random.Random(1)
    center = [source.gauss(0, 1) for _ in range(64)]
    near = [[x + source.gauss(0, 4e-4) for x in center] for _ in range(400)]
    plain = SQLiteEngine(MEMORY)
    for one in (plain, engine):
        Memory("n", engine=one).records().put(
            [Record("", id=str(i), embedding=embedding) for i, embedding in enumerate(near)]
        )
    for metric in records.METRICS:
        found, expected = (
            [(match.record.id, match.score) for match in collection.search(
                vector=center, limit=20, metric=metric  # type: ignore[arg-type]
            )]
            for collection in (Memory("n", engine=one).records() for one in (engine, plain))
        )  # fmt: skip
        assert found == expected
    plain.close()


# --- kept up --------------------------------------------------------------------------------


def put(engine: Engine, count: int, first: int = 0, namespace: str = "n") -> None:
    """Puts records with embeddings that differ, the ids in another order than the angles."""
    source = random.Random(first)
    Memory(namespace, engine=engine).records().put(
        [
            Record(f"tea {i}", id=str(i), embedding=[source.gauss(0, 1) for _ in range(3)])
            for i in range(first, first + count)
        ]
    )


def best(engine: Engine, namespace: str = "n", limit: int = 12) -> list[Any]:
    found = Memory(namespace, engine=engine).records().search(vector=[1, 2, 3], limit=limit)
    return [(match.record.id, match.score) for match in found]


def same(engine: Engine, url: str, namespace: str = "n") -> None:
    """Asserts that a search gives what numpy finds in the embeddings, and that a check is clean."""
    where = "WHERE namespace = %s AND embedding IS NOT NULL"
    rows = run(url, f"SELECT id, embedding FROM botwire_records {where}", namespace.encode())
    plain = SQLiteEngine(MEMORY)
    Memory("n", engine=plain).records().put(
        [Record("", id=id.decode(), embedding=Vector.stored(raw).values) for id, raw in rows]
    )
    assert best(engine, namespace) == best(plain)
    plain.close()
    problems(engine, namespace, ())


def problems(engine: Engine, namespace: str, expected: tuple[str, ...]) -> None:
    found = []
    for operation in (store.CheckNamespace(), store.CheckRecords("default")):
        (answer,) = engine.apply(ops.Batch(namespace, (operation,)))
        found += answer.problems if isinstance(answer, store.RecordCheck) else answer
    assert [text for text in found if not any(part in text for part in expected)] == []
    assert bool(found) == bool(expected)


def indexed(url: str) -> list[Any]:
    return run(url, "SELECT DISTINCT indexed FROM botwire_collections")


def count_vectors(url: str) -> int:
    count: int = run(url, "SELECT count(*) FROM botwire_vectors")[0][0]
    return count


def test_a_search_reads_no_collection_into_memory(engine: PostgresEngine, url: str) -> None:
    put(engine, 300)
    same(engine, url)
    assert indexed(url) == WHOLE
    assert not engine._vectors._kept
    # Without the filter's being tested before the limit, the record would not be found.
    records = Memory("n", engine=engine).records()
    ((worst, _),) = best(engine, limit=1000)[-1:]
    records.patch([worst], {"the": "one"})
    for where in ({"filter": {"the": "one"}}, {"ids": [worst]}):
        found = records.search(vector=[1, 2, 3], limit=3, **where)  # type: ignore[arg-type]
        assert [match.record.id for match in found] == [worst]


def test_more_equal_embeddings_than_a_page_come_by_id(engine: PostgresEngine) -> None:
    records = Memory("n", engine=engine).records()
    records.put([Record("", id=f"{i:03}", embedding=[i % 2, 1]) for i in range(400)])
    for query, score in (([1, 1], 1.0), ([0, 0], 0.0)):
        found = records.search(vector=query, limit=150, offset=10)
        step = 2 if score else 1
        assert [match.record.id for match in found] == [
            f"{i:03}" for i in range(400) if i % step == step - 1
        ][10:160]
        assert [match.score for match in found] == pytest.approx([score] * 150)


def test_every_write_keeps_the_table_up(engine: PostgresEngine, url: str) -> None:
    memory = Memory("n", engine=engine)
    records = memory.records()
    put(engine, 40)
    records.put([Record("new", id=str(i), embedding=[i, 1, 0]) for i in range(5)])
    records.put([Record("kept", id="6")])
    records.put([Record("bare", id="7"), Record("no", id="bare")], keep_embedding=False)
    assert count_vectors(url) == 39
    records.delete(ids=["8", "9", "bare"])
    records.patch(["10"], {"k": 1})
    with memory.transaction() as tx:
        tx.records("default").put([Record("", id="tx", embedding=[1, 2, 3])])
    assert count_vectors(url) == 38
    same(engine, url)

    (dumped,) = engine.apply(ops.Batch("n", (exact.DumpRecords("default"),)))
    changed = [
        entry._replace(embedding=Vector.of([9, 9, 9]) if i % 2 else None, version=1000 + i)
        for i, entry in enumerate(dumped.records[:6])
    ]
    restore = exact.RestoreRecords(
        exact.CollectionState("default", 3), tuple(changed), span=exact.Span(revision=999)
    )
    engine.apply(ops.Batch("n", (restore,)))
    assert count_vectors(url) == 3
    same(engine, url)

    records.clear()
    assert count_vectors(url) == 0
    records.put([Record("", embedding=[1.0])])
    assert (count_vectors(url), indexed(url)) == (1, WHOLE)


def test_what_is_imported_and_copied_is_there_and_what_is_forgotten_is_gone(
    engine: PostgresEngine, url: str
) -> None:
    source = SQLiteEngine(MEMORY)
    put(source, 30)
    put(source, 30, namespace="other")
    transfer.copy(source, engine)
    for namespace in ("n", "other"):
        same(engine, url, namespace)
    assert indexed(url) == WHOLE
    Memory("n", engine=source).records().delete(ids=["1", "2"])
    transfer.copy(source, engine)
    same(engine, url)
    assert count_vectors(url) == 58
    receipts = transfer.forget(engine, "n")
    assert receipts[0].erased["vectors"] == 28
    assert run(url, "SELECT DISTINCT namespace FROM botwire_vectors") == [(b"other",)]
    source.close()


def test_embeddings_too_long_for_pgvector_are_searched_as_before(
    engine: PostgresEngine, url: str
) -> None:
    records = Memory("n", engine=engine).records()
    for dimension, state in ((20_000, 0), (16_000, vector_table.WHOLE), (16_001, 0)):
        records.put([Record("no embedding", id="none")])
        records.put(
            [Record("", id=str(i), embedding=[i, *[1.0] * (dimension - 1)]) for i in range(3)]
        )
        found = records.search(vector=[1.0] * dimension, limit=1)
        assert [match.record.id for match in found] == ["1"]
        engine.sweep()
        assert indexed(url) == [(state,)]
        problems(engine, "n", ())
        records.clear()


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        ("DELETE FROM botwire_vectors WHERE id = '1'", ("other vectors", "record b'1'")),
        ("UPDATE botwire_vectors SET norm = 7 WHERE id = '1'", ("record b'1' has another",)),
        ("UPDATE botwire_vectors SET unit = '[1,0,0]' WHERE id = '1'", ("record '1' has another",)),
        ("UPDATE botwire_vectors SET id = 'x' WHERE id = '1'", ("of 'x', which has no", "'1'")),
    ],
)
def test_a_check_finds_vectors_that_are_not_the_embeddings(
    engine: PostgresEngine, url: str, harm: str, says: tuple[str, ...]
) -> None:
    put(engine, 3)
    problems(engine, "n", ())
    run(url, harm)
    problems(engine, "n", tuple(part.replace("b'", "'") for part in says))
    run(url, "DELETE FROM botwire_namespaces")
    (orphans,) = engine.apply(ops.Batch(SYSTEM_NAMESPACE, (store.CheckStore(),)))
    assert orphans == ("there are rows of a namespace 'n' that there is not",)


# --- the extension comes and goes -----------------------------------------------------------


@pytest.fixture
def older(postgres_database_url: str) -> Iterator[PostgresEngine]:
    """An engine that was opened before the extension came, and three namespaces of 45 records."""
    engine = PostgresEngine(postgres_database_url)
    for namespace in ("m", "n", "o"):
        put(engine, 45, namespace=namespace)
        Memory(namespace, engine=engine).records("empty").put([Record("no embedding")])
    yield engine
    engine.close()


class StoppedError(Exception):
    """In the place of a process that was killed."""


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("stops_after", [0, 1, 3, 7])
def test_what_was_there_is_filled_in_while_others_write(
    older: PostgresEngine, stops_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = older.settings()["url"]
    add_pgvector(url)
    engine = PostgresEngine(url)
    fill, pages = vector_table.fill, 0

    def write(turn: int) -> None:
        """Writes as processes do that know of the table only by its collections' rows."""
        records = Memory("n", engine=older).records()
        ids = [str((turn * 11 + i) % 60) for i in range(4)]
        records.put([Record("new", id=ids[0], embedding=[turn, 1, 2])])
        records.put([Record("bare", id=ids[1])], keep_embedding=False)
        records.put([Record("kept", id=ids[2])])
        records.delete(ids=[ids[3]])

    def stopping(*arguments: Any) -> Any:
        nonlocal pages
        write(pages)
        pages += 1
        if pages == stops_after:
            raise StoppedError
        return fill(*arguments)

    monkeypatch.setattr(vector_table, "fill", stopping)
    if stops_after:
        with pytest.raises(StoppedError):
            engine.sweep()
        for other in (engine, older):
            same(other, url)
    engine.sweep()
    assert pages >= 15 + bool(stops_after)
    assert indexed(url) == WHOLE
    for namespace in ("m", "n", "o"):
        for other in (engine, older):
            same(other, url, namespace)
    engine.close()


def test_a_filling_that_was_begun_anew_is_not_finished_by_who_began_before(
    older: PostgresEngine, small_pages: None
) -> None:
    url = older.settings()["url"]
    add_pgvector(url)
    engine = PostgresEngine(url)
    assert Memory("x", engine=engine).get("k") is None  # which makes the table

    def fill(at: Any, now: int) -> Any:
        steps = vector_table.fill(b"n", b"default", at, now, " FOR UPDATE")
        with psycopg.connect(url, context=ADAPTERS) as connection:
            return run_steps(connection, steps)

    first = fill(None, 100)
    run(url, "UPDATE botwire_collections SET indexed = 0")
    run(url, "DELETE FROM botwire_vectors")
    assert first is not None
    assert fill(None, 200) is not None
    assert fill(first, 300) is None
    assert count_vectors(url) == 10
    engine.sweep()
    same(engine, url)
    engine.close()


FILL = """
import sys
from botwire._sync.postgres import PostgresEngine
from botwire.engines import vector_table

vector_table._FILLED_AT_ONCE = 1
PostgresEngine(sys.argv[1]).sweep()
"""


def test_a_filling_that_was_killed_is_gone_on_with(older: PostgresEngine) -> None:
    url = older.settings()["url"]
    put(older, 2000, 100)
    add_pgvector(url)
    with subprocess.Popen([sys.executable, "-c", FILL, url]) as filler:
        while filler.poll() is None:
            is_made = run(url, "SELECT to_regclass('botwire_vectors') IS NOT NULL")[0][0]
            if is_made and count_vectors(url) > 300:
                break
            time.sleep(0.01)
        filler.kill()
    assert 300 < count_vectors(url) < 2000
    same(older, url)
    older.sweep()
    assert indexed(url) == WHOLE
    assert count_vectors(url) == 2135
    same(older, url)


def test_a_write_fills_for_a_moment_only(
    older: PostgresEngine, small_pages: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = older.settings()["url"]
    add_pgvector(url)
    monkeypatch.setattr(postgres, "_FILL_SECONDS", 0)
    engine = PostgresEngine(url)
    Memory("x", engine=engine).set("k", 1)
    assert 0 < count_vectors(url) <= 10
    engine.close()


@pytest.mark.parametrize(
    "gone", [DROP, "DROP TABLE botwire_vectors", f"DROP TABLE botwire_vectors; {DROP}"]
)
def test_without_the_extension_or_its_table_everything_goes_on(
    engine: PostgresEngine, url: str, gone: str
) -> None:
    names = ["search", "put", "delete", "clear", "forget", "check", "never"]
    for name in names:
        put(engine, 30, namespace=name)
    for _ in range(8):  # often enough for prepared statements
        put(engine, 30, namespace="search")
        before = best(engine, "search")
    run(url, gone)
    assert best(engine, "search") == before
    put(engine, 3, 30, namespace="put")
    assert Memory("delete", engine=engine).records().delete(ids=["1", "2"]) == 2
    assert Memory("clear", engine=engine).records().clear() == 30
    best(engine, "forget")
    transfer.forget(engine, "forget")
    if gone == DROP:  # which leaves a table without the vectors
        left = run(url, "SELECT DISTINCT namespace FROM botwire_vectors")
        assert (b"forget",) not in left
        assert (b"never",) in left
    problems(engine, "check", ())
    newer = PostgresEngine(url)
    assert best(newer, "never") == best(engine, "never") == before
    newer.sweep()
    is_there = "extension" not in gone.lower()
    assert run(url, "SELECT to_regclass('botwire_vectors') IS NOT NULL") == [(is_there,)]
    if not is_there:
        newer.sweep()
        add_pgvector(url)
    # It comes back, empty, and nothing that was said of the old one is believed.
    for other in (newer, engine):
        other.sweep()
        put(other, 1, 50, namespace="put")
    assert indexed(url) == WHOLE
    for name in names:
        for other in (newer, engine):
            if name not in ("clear", "forget"):
                same(other, url, name)
    newer.close()


def test_a_new_collection_does_without_a_table_that_is_gone(
    engine: PostgresEngine, url: str
) -> None:
    put(engine, 1)
    run(url, DROP)
    put(engine, 30, namespace="new")
    assert len(best(engine, "new")) == 12
    assert run(url, "SELECT indexed FROM botwire_collections WHERE namespace = 'new'") == [(0,)]


def test_a_table_that_was_emptied_is_not_believed(engine: PostgresEngine, url: str) -> None:
    put(engine, 30)
    before = best(engine)
    run(url, "TRUNCATE botwire_vectors")
    assert best(engine) == before


def test_who_may_not_make_tables_does_without(older: PostgresEngine, namespace: str) -> None:
    url = older.settings()["url"]
    add_pgvector(url)
    role = namespace.replace("-", "_")
    run(url, f"CREATE ROLE {role} LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
    engine = PostgresEngine(url.replace("//postgres", f"//{role}"))
    before = best(older)
    engine.sweep()
    assert best(engine) == before
    put(engine, 3, 50)
    assert run(url, "SELECT to_regclass('botwire_vectors')") == [(None,)]
    older.sweep()
    assert indexed(url) == WHOLE
    engine.close()
    run(url, f"DROP OWNED BY {role}; DROP ROLE {role}")
