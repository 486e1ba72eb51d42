"""Random operations give the same answers on a plain model and wherever memory lives."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
import uvicorn
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from botwire import BotWireError, Memory
from botwire import operations as ops
from botwire.engines.http import HTTPEngine
from botwire.engines.postgres import AsyncPostgresEngine, PostgresEngine
from botwire.engines.protocol import AsyncEngine, Engine
from botwire.engines.sqlite import MEMORY, AsyncSQLiteEngine, SQLiteEngine
from botwire.exact import Json
from botwire.operations.terms import Usage
from botwire.vectors import Vector
from botwire_server.app import create_app
from tests.model import MODELED, Model
from tests.stores import Clock

HOUR = 3_600_000_000  # microseconds
BEGIN = 20_000 * 24 * HOUR + 20 * HOUR  # an evening: midnight comes while a test runs
LONGEST = 20 * HOUR  # after a day, when old changes are forgotten depends on who sweeps

# Few of each, so that operations collide; odd ones, to check that order and prefixes go by bytes.
NAMES = ["a", "ab", "a/b", "b", "\u00e9", "\uffff", "\ud800", "\U0001f600"]
names = st.just("a") | st.sampled_from(NAMES)
name_lists = st.lists(names, max_size=4).map(tuple)
prefixes = st.sampled_from(["", "a", "a/", "\ud800", "zz"])
bounds = st.none() | names
limits = st.sampled_from([1, 2, 3, ops.MAX_PAGE])
# Mostly none, because a batch that fails a check tests less than one that is applied.
versions = st.sampled_from([None] * 9 + [0, 1, 2])
lasts = st.sampled_from([None] * 9 + [0, 1, 2])
seqs = st.integers(0, 12)
values = st.sampled_from(
    [None, True, 0, 7, -1, 10**40, 0.1, -0.0, "", "7", "\udfff", [], {}, [1, {"a": [None]}]]
).map(Json.of)
ids = st.sampled_from(["i", "j", "k", "\ud800"])
tags = st.lists(st.sampled_from(["red", "green", "\u00e9"]), max_size=2).map(tuple)
paths = st.sampled_from(["/", "/crew", "/crew/al", "/crew/alice", "/crew/al/x", "/\u00e9"])
times = st.integers(1_000, 1_004) | st.sampled_from([BEGIN, BEGIN + HOUR, BEGIN + 5 * HOUR])
ttls = st.sampled_from([None, None, 1e-6, 1.0, 3600.0])
texts = st.lists(
    st.sampled_from(
        ["tea", "Teas!", "coffee", "the", "drank", "drinking", "\u8336\u8336\u9053", "x", "\ud800"]
    ),
    max_size=5,
).map(" ".join)
# Small whole numbers: sums and products of them are exact, and so is the order of the scores.
vectors = st.lists(st.integers(-2, 2), min_size=2, max_size=3).map(Vector.of)
plain_values = st.sampled_from([None, True, 1, 1.0, 2, "a", [1], {"c": 1}])
metadata = st.dictionaries(st.sampled_from(["n", "b", "b.c"]), plain_values, max_size=3)
conditions = st.one_of(
    st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"]).flatmap(
        lambda name: plain_values.map(lambda value: {name: value})
    ),
    st.sampled_from(["$in", "$nin"]).flatmap(
        lambda name: st.lists(plain_values, max_size=2).map(lambda some: {name: some})
    ),
    st.booleans().map(lambda there: {"$exists": there}),
)
filters = st.dictionaries(st.sampled_from(["n", "b.c"]), conditions, max_size=2).map(Json.of)
selections = st.builds(
    ops.Selection,
    st.none() | st.lists(ids, max_size=3).map(tuple),
    paths,
    st.none() | tags,
    st.none() | filters,
    st.none() | times,
    st.none() | times,
)
new_records = st.builds(
    ops.NewRecord,
    ids,
    texts,
    metadata.map(Json.of),
    tags,
    paths,
    st.none() | vectors,
    st.none() | st.none() | times,
    versions,
)


def _with_ids(cls: type[Any]) -> st.SearchStrategy[Any]:
    items = st.lists(st.tuples(values, st.none() | ids), max_size=4, unique_by=_id_or_itself)

    def build(name: str, pairs: list[Any], if_last: int | None, ttl: float | None) -> Any:
        given = tuple(id for _, id in pairs)
        ids = given if any(given) else None
        return cls(name, tuple(value for value, _ in pairs), ids, if_last, ttl)

    return st.builds(build, names, items, lasts, ttls)


def _id_or_itself(pair: tuple[Json, str | None]) -> object:
    return pair[1] or id(pair)


def _list_histories(
    prefix: str, after: str | None, limit: int, order: str, descending: bool, where: Any, time: int
) -> ops.ListHistories:
    at = time if order == "updated" and after is not None else None
    return ops.ListHistories(prefix, after, limit, order, descending, where, at)


authors = st.sampled_from(
    [None, None, ops.Author(), ops.Author("ada", run="\ud800"), ops.Author(framework="langgraph")]
)
orders = st.sampled_from(["name", "updated"])
wheres = st.none() | filters
moments = st.sampled_from([BEGIN, BEGIN + 1, BEGIN + HOUR, BEGIN + 5 * HOUR])
parts = st.none() | st.integers(1, 3)
history_reads = (
    st.builds(ops.ReadHistory, names, seqs, st.none() | seqs, limits, st.booleans(), st.booleans()),
    st.builds(ops.StatHistory, names),
    st.builds(_list_histories, prefixes, bounds, limits, orders, st.booleans(), wheres, moments),
)
history_operations = st.one_of(
    _with_ids(ops.ExtendHistory),
    _with_ids(ops.ExtendHistory),
    _with_ids(ops.ReplaceHistory),
    *history_reads,
    st.builds(ops.DeleteItems, names, st.lists(seqs, max_size=4).map(tuple)),
    st.builds(ops.PopItem, names),
    st.builds(ops.ArchiveHistory, names, seqs),
    st.builds(ops.ClearHistory, names, parts),
    st.one_of(
        st.builds(ops.UpdateItem, names, values, seqs, st.none(), versions, ttls),
        st.builds(ops.UpdateItem, names, values, st.none(), ids, versions, ttls),
    ),
    st.builds(ops.SetHistoryMetadata, names, metadata.map(Json.of), versions),
    st.builds(ops.ExpireHistory, names, ttls),
)
forks = (
    st.tuples(names, names, st.none() | seqs)
    .filter(lambda given: given[0] != given[1])
    .map(lambda given: ops.ForkHistory(*given))
)
expiring_records = st.builds(
    ops.PutRecords,
    names,
    st.tuples(st.builds(lambda record, ttl: replace(record, ttl=ttl), new_records, ttls)),
    st.booleans(),
)
reads = st.one_of(
    st.builds(ops.GetKeys, name_lists),
    st.builds(ops.ListKeys, prefixes, bounds, limits),
    st.builds(ops.ListKeyStats, prefixes, bounds, limits),
    st.builds(ops.ScanKeys, prefixes, bounds, bounds, limits, st.booleans()),
    st.builds(ops.CountKeys, prefixes),
    st.builds(ops.GetRecords, names, st.lists(ids).map(tuple), st.booleans()),
    st.builds(ops.ListRecords, names, selections, limits, st.integers(0, 3), st.booleans()),
    st.builds(
        ops.SearchRecords,
        names,
        vectors,
        st.none() | texts,
        selections,
        limits,
        st.integers(0, 2),
        st.none() | st.sampled_from([-1.0, 0.0, 0.25, 0.5]),
        st.sampled_from(ops.METRICS),
        st.booleans(),
    ),
    st.builds(ops.SearchRecords, names, st.none(), texts, selections, limits),
    st.builds(ops.StatRecords, names, selections),
    st.builds(ops.ListScopes, names, paths),
    st.builds(ops.ListTags, names, selections),
    st.builds(ops.ListCollections, prefixes, bounds, limits),
)
operations = st.one_of(
    *[reads] * 12,
    st.builds(ops.PutKey, names, values | st.binary(max_size=3), ttls, versions),
    st.builds(ops.DeleteKey, names, versions),
    st.builds(ops.ClearKeys, prefixes, parts),
    st.builds(ops.IncrementKey, names, st.integers(-(10**30), 10**30)),
    st.builds(ops.CheckKey, names, st.integers(0, 1)),
    *[history_operations] * 5,
    st.builds(ops.ReadChanges, st.none() | seqs, limits),
    st.builds(ops.ReadUsage),
    *[
        st.builds(
            ops.PutRecords,
            names,
            st.lists(new_records, max_size=4, unique_by=lambda record: record.id).map(tuple),
            st.booleans(),
        )
    ]
    * 2,
    st.builds(ops.PatchRecords, names, st.lists(ids).map(tuple), metadata.map(Json.of), ttls),
    selections.flatmap(
        lambda where: st.builds(
            ops.DeleteRecords, names, st.just(where), st.just(where.is_everything), parts
        )
    ),
)

EVERYTHING = (
    ops.ScanKeys(),
    ops.ListHistories(order="updated", descending=True),
    *[ops.ReadHistory(name, archived=True) for name in NAMES],
    *[ops.StatHistory(name) for name in NAMES],
    ops.ListCollections(),
    *[ops.ListRecords(name) for name in NAMES],
    *[ops.SearchRecords(name, text="tea coffee") for name in NAMES],
    ops.ReadChanges(0),
    ops.ReadUsage(),
)


def comparable(answer: Any) -> Any:
    """Returns a result as plain values of comparable types."""
    if isinstance(answer, (Json, Vector)):
        return (type(answer).__name__, answer.text if isinstance(answer, Json) else answer.raw)
    if isinstance(answer, tuple) and hasattr(answer, "_fields"):
        return {name: comparable(part) for name, part in answer._asdict().items()}
    if isinstance(answer, (tuple, list)):
        return [comparable(part) for part in answer]
    return (type(answer).__name__, answer)


Engines = dict[str, tuple[Engine, ...]]
"""The engines of each place; those of one place have the same memory, as other processes would."""


@dataclass(frozen=True)
class Wait:
    """Time passes; expired data may be removed, which no result shows."""

    micros: int
    sweeps: bool

    def run(self, comparison: Comparison) -> None:
        """Lets time pass."""
        clock = comparison.clock
        clock.time = min(clock.time + self.micros, BEGIN + LONGEST)
        if self.sweeps:
            for engine, *_ in comparison.engines.values():
                engine.sweep()


@dataclass(frozen=True)
class Apply:
    """A batch is applied everywhere, and succeeds or fails alike."""

    batch: tuple[ops.AnyOperation, ...]
    author: ops.Author | None
    which: int
    process: int

    def run(self, comparison: Comparison) -> None:
        """Compares the results."""
        comparison.compare(self.batch, self.which, self.process, self.author)


@dataclass(frozen=True)
class Back:
    """Reads the memory as of an earlier moment, or restores something.

    Attributes:
        place: Where in the past, from 0 for the first batch that is kept to 1 for the last one.
        later: Microseconds after that, for a moment given by time; None for one by revision.
    """

    batch: tuple[ops.AnyOperation, ...]
    place: float
    later: int | None
    which: int
    process: int

    def run(self, comparison: Comparison) -> None:
        """Compares the results."""
        comparison.compare_past(self)


_waits = st.builds(
    Wait, st.sampled_from([0, 1, 1_000_000, HOUR - 1, HOUR, 3 * HOUR]), st.booleans()
)


def _steps(
    operations: st.SearchStrategy[Any], past: st.SearchStrategy[Any] | None = None
) -> st.SearchStrategy[list[Wait | Apply | Back]]:
    batches = st.lists(operations, min_size=1, max_size=4).map(tuple)
    pairs = (st.integers(0, 1), st.integers(0, 1))
    apply = st.builds(Apply, batches, authors, *pairs)
    steps: list[st.SearchStrategy[Any]] = [_waits, *[apply] * 4]
    if past is not None:
        later = st.none() | st.sampled_from([0, 1, HOUR])
        read = st.lists(past, min_size=1, max_size=3).map(tuple)
        steps += [st.builds(Back, read, st.floats(0, 1), later, *pairs)] * 3
    some = st.lists(st.one_of(*steps), min_size=40, max_size=60)
    if past is None:
        return some
    begin = [Apply((ops.KeepPast(KEPT),), None, which, 0) for which in range(2)]
    return some.map(lambda following: [*begin, *following])


# After a fork, the bytes of a namespace depend on what it shares, and after a record expired the
# scores of texts on whether it was swept, so some runs are without.
of_memory = st.one_of(operations, *[forks] * 2, *[history_operations] * 5, expiring_records)
KEPT = 30 * 3600.0  # longer than a run takes: when the past is forgotten depends on who sweeps
keeping = st.builds(ops.KeepPast, st.sampled_from([None, KEPT, KEPT, KEPT]))
here = st.just(ops.Moment(0))  # is replaced by the moment of the step
restorations = st.builds(ops.RestorePast, here, st.sampled_from(ops.SHAPES), names)
past_operations = st.one_of(
    keeping,
    st.builds(ops.StatPast),
    st.builds(ops.FindRevision, moments),
    st.builds(ops.ListChanged, here, st.sampled_from(ops.SHAPES)),
    st.builds(ops.ReadVersions, names, st.none() | seqs, limits),
)
runs = (
    _steps(operations)
    | _steps(of_memory)
    | _steps(
        st.one_of(*[of_memory] * 15, past_operations),
        st.one_of(reads, reads, *history_reads, restorations),
    )
)


class Comparison:
    """Applies batches to a model and to every engine, in a namespace of their own."""

    def __init__(self, engines: Engines, clock: Clock) -> None:
        self.engines = engines
        self.clock = clock
        self._model = Model(clock)
        self._run = uuid.uuid4().hex

    def compare(
        self,
        batch: tuple[ops.AnyOperation, ...],
        which: int,
        process: int,
        author: ops.Author | None = None,
        at: ops.Moment | None = None,
    ) -> None:
        """Applies a batch to one of two namespaces, by one of two processes."""
        # What has expired counts until it is swept.
        counts = self._model.is_swept(f"model-{which}")
        scores = self._model.scores_texts(f"model-{which}")

        def answer(engine: Any, namespace: str) -> Any:
            made = ops.Batch(namespace, batch, author=author, at=at)
            return _answer(engine, made, counts=counts, scores=scores)

        expected = answer(self._model, f"model-{which}")
        for place, engines in self.engines.items():
            engine = engines[process % len(engines)]
            # Places may share a database, and no two share a namespace.
            namespace = f"{self._run}-{place}-{which}"
            assert answer(engine, namespace) == expected, place

    def compare_past(self, back: Back) -> None:
        """Reads as of a moment, or restores, in one of two namespaces."""
        kept = self._model.revisions(f"model-{back.which}") or [(0, BEGIN)]
        revision, time = kept[round(back.place * (len(kept) - 1))]
        at = ops.Moment(revision) if back.later is None else ops.Moment(time=time + back.later)
        if all(operation.has_past for operation in back.batch):
            self.compare(back.batch, back.which, back.process, at=at)
            return
        restoring = tuple(
            replace(operation, at=at)
            for operation in back.batch
            if isinstance(operation, ops.RestorePast)
        )
        self.compare(restoring, back.which, back.process)


def _answer(
    engine: Any,
    batch: ops.Batch,
    *,
    counts: bool,
    scores: bool,
) -> Any:
    try:
        results = engine.apply(batch)
    except BotWireError as error:
        return type(error)
    return [
        comparable(_told(one, counts=counts))
        for operation, one in zip(batch.operations, results, strict=True)
        if scores or not (isinstance(operation, ops.SearchRecords) and operation.text is not None)
    ]


def _told(result: Any, *, counts: bool) -> Any:
    """Returns the parts of a result that do not depend on when the store was swept."""
    if isinstance(result, Usage) and not counts:
        return result._replace(bytes=0)
    if isinstance(result, ops.VersionPage):
        versions = tuple([version._replace(until=None) for version in result.versions])
        return result._replace(versions=versions)
    if isinstance(result, ops.ChangedPage):
        return None
    return result


@pytest.fixture
def split_url(postgres_database_url: str) -> str:
    """The URL of a PostgreSQL whose tables are split by namespace, as a cluster would split them.

    PostgreSQL refuses to, should a unique key not hold the namespace.
    """
    url = postgres_database_url
    with Memory("n", url=url) as memory:
        memory.set("k", 1)
    with psycopg.connect(url, autocommit=True) as connection:
        tables = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' "
            "AND tablename <> 'botwire_schema'"
        ).fetchall()
        for (name,) in tables:
            parts = "".join(
                f"CREATE TABLE {name}_{i} PARTITION OF {name} "
                f"FOR VALUES WITH (MODULUS 3, REMAINDER {i});"
                for i in range(3)
            )
            connection.execute(
                f"ALTER TABLE {name} RENAME TO {name}_whole;"
                f"CREATE TABLE {name} (LIKE {name}_whole INCLUDING ALL) "
                f"PARTITION BY HASH (namespace); {parts}"
                f"INSERT INTO {name} SELECT * FROM {name}_whole; DROP TABLE {name}_whole".encode()
            )
    return url


class Server(uvicorn.Server):
    """Signals when it is listening."""

    def __init__(self, engine: AsyncEngine) -> None:
        super().__init__(uvicorn.Config(create_app(engine), port=0, log_level="error"))
        self.listens = threading.Event()

    async def startup(self, *arguments: Any, **more: Any) -> None:
        await super().startup(*arguments, **more)
        self.listens.set()


@contextlib.contextmanager
def serving(engine: AsyncEngine) -> Iterator[str]:
    """Serves an engine of this process, whose clock is the test's, at the URL that it yields."""
    server = Server(engine)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert server.listens.wait(10)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def clock() -> Clock:
    """The clock of all engines."""
    return Clock(BEGIN)


@pytest.fixture
def engines(
    clock: Clock, tmp_path: Path, split_url: str, fresh_postgres_url: str
) -> Iterator[Engines]:
    """The engines of each place, open for the whole test.

    No database is shared with other tests: their engines would sweep by another clock, and a
    namespace that one of them forgot would raise the first version.
    """
    path = tmp_path / "memory.db"
    served = AsyncSQLiteEngine(SQLiteEngine(tmp_path / "served.db", clock=clock))
    served.commits_on_loop = True  # as `botwire serve` does
    served_postgres = AsyncPostgresEngine(fresh_postgres_url, clock=clock)
    with contextlib.ExitStack() as stack:
        urls = [stack.enter_context(serving(engine)) for engine in (served, served_postgres)]

        def pair(make: Callable[[], Engine]) -> tuple[Engine, Engine]:
            # Two engines in one process are two processes, as far as the database can tell.
            both = make(), make()
            for engine in both:
                stack.callback(engine.close)
            return both

        yield {
            "embedded": pair(lambda: SQLiteEngine(path, clock=clock)),
            "in-memory": pair(lambda: SQLiteEngine(MEMORY, clock=clock))[:1],
            "postgres": pair(lambda: PostgresEngine(fresh_postgres_url, clock=clock)),
            "split": pair(lambda: PostgresEngine(split_url, clock=clock)),
            "http": pair(lambda: HTTPEngine(urls[0], channel=True)),
            "http-postgres": pair(lambda: HTTPEngine(urls[1], channel=False)),
        }


def test_every_operation_is_among_the_random_ones() -> None:
    drawn: set[type] = set()

    @settings(max_examples=1000, database=None, derandomize=True)
    @given(operations | forks | past_operations | restorations)
    def draw(operation: ops.Operation) -> None:
        drawn.add(type(operation))

    draw()
    assert MODELED - drawn == set()


def test_every_place_answers_as_the_model(engines: Engines, clock: Clock) -> None:
    # A run takes a second, so a failure is not shrunk: its steps are printed instead.
    @settings(
        max_examples=12,
        phases=(Phase.reuse, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(runs)
    def run(steps: list[Wait | Apply]) -> None:
        clock.time = BEGIN
        comparison = Comparison(engines, clock)
        for step in steps:
            note(repr(step))
            step.run(comparison)
        for which in range(2):
            comparison.compare(EVERYTHING, which, 1 - which)

    run()
