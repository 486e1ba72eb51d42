"""Quotas are enforced in the write's transaction: exact, across processes, nothing half done."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from botwire import QuotaExceededError
from botwire import operations as ops
from botwire.clock import DAY
from botwire.engines.postgres import PostgresEngine
from botwire.engines.sqlite import SQLiteEngine
from botwire.errors import ConflictError
from botwire.exact import Json
from botwire.names import SYSTEM_NAMESPACE
from botwire.operations.terms import AUDIT_LOG, BatchTerms, Quota, Usage, UsageReport
from botwire.vectors import Vector
from tests.stores import Clock
from tests.zygote import zygote_of

NOON = 20_000 * DAY + DAY // 2


class Store:
    """An engine with its own clock, and a namespace.

    Attributes:
        url: Of the database, for other processes.
    """

    def __init__(self, engine: Any, url: str, clock: Clock) -> None:
        self.engine = engine
        self.url = url
        self.clock = clock
        self.namespace = f"test-{uuid.uuid4().hex}"

    def apply(
        self, *operations: ops.AnyOperation, terms: BatchTerms | None = None, id: str = ""
    ) -> Any:
        return self.engine.apply(ops.Batch(self.namespace, operations, id or None, terms=terms))

    def usage(self) -> Usage:
        (usage,) = self.apply(ops.ReadUsage())
        return Usage(*usage)


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store of each kind."""
    clock = Clock(NOON)
    engine: Any
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'memory.db'}"
        engine = SQLiteEngine(tmp_path / "memory.db", clock=clock)
    else:
        url = request.getfixturevalue("postgres_url")
        engine = PostgresEngine(url, clock=clock)
    yield Store(engine, url, clock)
    engine.close()


def put(key: str, size: int = 2) -> ops.PutKey:
    """Returns an operation that puts a key whose JSON has the given size."""
    return ops.PutKey(key, Json.of("x" * (size - 2)))


def append(*values: Any, ids: tuple[str | None, ...] | None = None) -> ops.ExtendHistory:
    return ops.ExtendHistory("h", tuple(map(Json.of, values)), ids)


def writes(limit: int) -> BatchTerms:
    return BatchTerms(Quota(writes=limit))


def test_a_day_has_so_many_writes_and_the_next_day_as_many(store: Store) -> None:
    reports: list[UsageReport] = []
    terms = writes(3)._replace(report=reports.append)
    store.apply(put("a"), append(1, 2, 3), terms=terms)  # an append of three is one write
    assert reports == [UsageReport(Usage(store.usage().bytes, 2, 20_000))]
    with pytest.raises(QuotaExceededError, match=r"3 writes a day, 1 of them are left.*needs 2"):
        store.apply(put("b"), put("c"), terms=writes(3))
    store.apply(put("b"), terms=writes(3))
    with pytest.raises(QuotaExceededError) as refused:
        store.apply(append("lost"), terms=writes(3))
    assert (refused.value.status, refused.value.retry_after) == (429, 12 * 3600)
    assert store.apply(ops.GetKeys(("c",)), ops.StatHistory("h"))[1].count == 3
    store.clock.time += DAY // 2  # midnight
    store.apply(put("c"), terms=writes(3))
    assert store.usage().writes == 1
    store.clock.time -= DAY // 2  # a machine whose clock is behind counts to the day that has begun
    store.apply(put("c"), terms=writes(3))
    assert store.usage() == Usage(store.usage().bytes, 2, 20_001)


def test_what_takes_away_or_changes_nothing_is_no_write(store: Store) -> None:
    store.apply(put("a"), append(1, 2, ids=("1", "2")), terms=writes(2))
    for free in (
        ops.DeleteKey("a"),
        ops.ClearKeys(),
        ops.PopItem("h"),
        append(1, ids=("1",)),  # it is there
        ops.DeleteItems("h", (1,)),
        ops.ClearHistory("h"),
        ops.DeleteRecords("c", ops.Selection(), all=True),
    ):
        store.apply(free, terms=writes(2))
    assert store.usage() == Usage(0, 2, 20_000)


def test_a_request_that_is_repeated_counts_once_and_one_that_fails_not(store: Store) -> None:
    for _ in range(3):
        reports: list[UsageReport] = []
        terms = writes(5)._replace(report=reports.append)
        assert store.apply(ops.IncrementKey("n"), terms=terms, id="same") == [1]
        assert reports == [UsageReport(store.usage())]
    with pytest.raises(ConflictError):
        store.apply(put("a"), ops.PutKey("n", Json.of(1), if_version=99), terms=writes(5))
    assert store.usage().writes == 1


def test_a_namespace_holds_so_many_bytes(store: Store) -> None:
    terms = BatchTerms(Quota(bytes=200))
    store.apply(put("a", 67), append("12345", ids=("i",)), terms=terms)
    assert store.usage().bytes == (32 + 1 + 67) + (32 + 1 + 7)
    store.apply(put("a", 67), terms=terms)  # replacing itself
    with pytest.raises(QuotaExceededError, match=r"200 bytes.*would make it 206") as refused:
        store.apply(put("b", 33), terms=terms)
    assert (refused.value.status, refused.value.retry_after) == (413, None)
    store.apply(put("b", 27), terms=terms)
    assert store.usage().bytes == 200
    store.apply(put("a", 60), terms=BatchTerms(Quota(bytes=10)))  # fewer are always welcome
    store.apply(ops.DeleteKey("a"), terms=BatchTerms(Quota(bytes=10)))
    assert store.usage().bytes == 100


def test_what_expired_takes_no_room(store: Store) -> None:
    terms = BatchTerms(Quota(bytes=150))
    store.apply(ops.PutKey("short", Json.of("x" * 93), ttl=10), terms=terms)
    with pytest.raises(QuotaExceededError):
        store.apply(put("next", 50), terms=terms)
    store.clock.time += 10_000_000
    store.apply(put("next", 50), terms=terms)
    assert store.usage().bytes == 32 + 4 + 50


def test_records_count_with_their_embeddings(store: Store) -> None:
    full = ops.NewRecord("id", "text", Json.of({"a": 1}), ("t",), "/s", Vector.of([1.0, 2.0]))
    store.apply(ops.PutRecords("c", (full,)))
    whole = 32 + len('idtext{"a":1}["t"]/s') + 8
    assert store.usage().bytes == whole
    bare = ops.NewRecord("id", "text", Json.of({}), ("t",), "/s")
    store.apply(ops.PutRecords("c", (bare,), keep_embedding=True))
    assert store.usage().bytes == whole - len('"a":1')
    store.apply(ops.PatchRecords("c", ("id",), Json.of({"a": 1})))
    assert store.usage().bytes == whole
    store.apply(ops.PutRecords("c", (bare,), keep_embedding=False))
    assert store.usage().bytes == whole - len('"a":1') - 8
    store.apply(ops.DeleteRecords("c", ops.Selection(("id",))))
    assert store.usage().bytes == 0


def test_others_of_the_same_commit_are_not_touched(tmp_path: Path) -> None:
    engine = SQLiteEngine(tmp_path / "memory.db")
    batches = [ops.Batch("n", (put(f"k{i}"),), terms=writes(3)) for i in range(6)]
    outcomes = engine.apply_group([engine.plan(batch, 0) for batch in batches])
    assert [isinstance(one, QuotaExceededError) for one in outcomes] == [False] * 3 + [True] * 3
    (page,) = engine.apply(ops.Batch("n", (ops.ListKeys(),)))
    assert page.keys == ("k0", "k1", "k2")
    engine.close()


WRITER = """
import sys
from botwire import QuotaExceededError
from botwire import operations as ops
from botwire.engines.opening import open_engine
from botwire.exact import Json
from botwire.places import find_place
from botwire.operations.terms import Quota, BatchTerms

url, namespace, who, account = sys.argv[1:]
engine = open_engine(find_place(url))
engine.apply(ops.Batch(namespace, (ops.CountKeys(),)))
print("ready", flush=True)
sys.stdin.readline()
done = 0
for i in range(60):
    terms = BatchTerms(Quota(writes=50), account or None, Quota(writes=50), "the key")
    batch = ops.Batch(namespace, (ops.PutKey(f"{who}-{i}", Json.of(i)),), terms=terms)
    try:
        engine.apply(batch)
    except QuotaExceededError:
        continue
    done += 1
print(done)
"""


@pytest.mark.parametrize("shared", ["namespace", "account"])
def test_processes_together_get_what_one_gets(store: Store, shared: str) -> None:
    """They write into one namespace, or each into its own for the same account."""
    account = "" if shared == "namespace" else f"{SYSTEM_NAMESPACE}/{uuid.uuid4().hex}"
    namespaces = [store.namespace if not account else f"{store.namespace}-{i}" for i in range(3)]
    zygote = zygote_of("botwire", "botwire.engines.opening")
    with ExitStack() as started, ThreadPoolExecutor() as pool:
        writers = [
            started.enter_context(zygote.start(WRITER, store.url, namespaces[i], str(i), account))
            for i in range(3)
        ]
        for writer in writers:
            assert writer.stdout.readline() == "ready\n"
        outputs = list(pool.map(lambda writer: writer.communicate("\n"), writers))
    assert sum(map(int, outputs)) == 50
    counts = [
        store.engine.apply(ops.Batch(namespace, (ops.CountKeys(),)))[0]
        for namespace in set(namespaces)
    ]
    assert sum(counts) == 50


def test_the_audit_log_says_what_was_done_and_not_what_was_tried(store: Store) -> None:
    def log() -> list[Any]:
        page = ops.ReadHistory(AUDIT_LOG, newest_first=True)
        (found,) = store.engine.apply(ops.Batch(SYSTEM_NAMESPACE, (page,)))
        mine = [item.value.value for item in found.items]
        return [entry[1] for entry in mine[::-1] if entry[0] == store.namespace]

    def entry(what: str) -> tuple[Json]:
        return (Json.of([store.namespace, what]),)

    store.apply(put("a"), terms=BatchTerms(audit={0: entry("put a")}))
    terms = BatchTerms(audit={0: entry("delete a"), 1: entry("delete b")})
    for _ in range(2):
        store.apply(ops.DeleteKey("a"), ops.DeleteKey("b"), terms=terms, id="once")
    with pytest.raises(ConflictError):
        store.apply(
            put("c"),
            ops.DeleteKey("c"),
            ops.CheckKey("c", 5),
            terms=BatchTerms(audit={1: entry("c")}),
        )
    assert log() == ["put a", "delete a"]
