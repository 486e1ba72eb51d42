"""The SQLite engine: expiry, shared commits, strange files, threads, processes, forks."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from botwire import (
    AsyncMemory,
    ConfigurationError,
    ConflictError,
    Memory,
    Record,
    ServerError,
    transfer,
)
from botwire import operations as ops
from botwire.engines.sql import migrations, sweeping
from botwire.engines.sql.plans import NO_PLAN
from botwire.engines.sqlite import APPLICATION_ID, MEMORY, SQLiteEngine, awaited
from botwire.engines.sqlite.awaited import AsyncSQLiteEngine
from botwire.engines.sqlite.choosing import CommitChooser, Planned
from botwire.engines.sqlite.file import SQLiteFile
from botwire.exact import Json
from botwire.operations import Batch, SearchRecords
from tests.stores import Clock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A path for a database."""
    return tmp_path / "memory.db"


# --- expiry ---------------------------------------------------------------------------------


def test_what_expired_is_nowhere_to_be_seen(path: Path) -> None:
    clock = Clock()
    memory = Memory("n", engine=SQLiteEngine(path, clock=clock))
    memory.set("short", 1, ttl=10)
    memory.set("long", 1, ttl=20)
    first = memory.entry("short")
    clock.wait(10)
    assert memory.get("short") is None
    assert memory.list_keys() == ["long"]
    assert memory.count() == 1
    assert memory.get_many(["short", "long"]) == {"long": 1}
    assert memory.delete("short") is False
    assert memory.increment("short") == 1
    again = memory.entry("short")
    assert first is not None
    assert again is not None
    assert again.created_at > first.created_at
    assert again.expires_at is None
    clock.wait(10)
    assert memory.set("long", 2, if_version=0) > again.version
    assert memory.clear() == 2


def test_the_file_forgets_what_expired(path: Path) -> None:
    clock = Clock()
    engine = SQLiteEngine(path, clock=clock)
    memory = Memory("n", engine=engine)
    memory.set_many({f"k{i}": i for i in range(100)}, ttl=10)
    clock.wait(3600)
    memory.set("other", 1)
    with contextlib.closing(sqlite3.connect(path)) as raw, raw:
        assert raw.execute("SELECT count(*) FROM botwire_keys").fetchone() == (1,)
    memory.set("other", 2, ttl=10)
    clock.wait(10)
    engine.sweep()
    with contextlib.closing(sqlite3.connect(path)) as raw, raw:
        assert raw.execute("SELECT count(*) FROM botwire_keys").fetchone() == (0,)


# --- batches --------------------------------------------------------------------------------


def test_a_sweep_lets_other_processes_write_between_its_transactions(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    engine = SQLiteEngine(path, clock=clock)
    memory = Memory("n", engine=engine)
    memory.set_many({f"k{i}": i for i in range(30)}, ttl=10)
    clock.wait(10)
    written: list[float] = []

    def pause(seconds: float) -> None:
        with contextlib.closing(sqlite3.connect(path, timeout=0)) as other:
            other.execute("BEGIN IMMEDIATE")  # another process gets the lock
        written.append(seconds)

    monkeypatch.setattr(sweeping, "_SWEPT_ROWS", 10)
    monkeypatch.setattr("botwire.engines.sqlite.engine.time.sleep", pause)
    engine.sweep()
    assert len(written) == 3
    engine.close()


def test_iterating_over_a_history_reads_no_page_in_vain(path: Path) -> None:
    engine = SQLiteEngine(path)
    history = Memory("n", engine=engine).history("chat")
    history.extend(list(range(1_500)))
    reads: list[Batch] = []
    apply = engine.apply
    engine.apply = lambda batch: (reads.append(batch), apply(batch))[1]  # type: ignore[method-assign, func-returns-value]
    assert [item.value for item in history] == list(range(1_500))
    assert len(reads) == 2
    engine.close()


def put(key: str, value: Any, **more: Any) -> ops.PutKey:
    return ops.PutKey(key, Json.of(value), **more)


def test_a_batch_is_all_or_nothing(path: Path) -> None:
    engine = SQLiteEngine(path)
    memory = Memory("n", engine=engine)
    memory.set("there", 1)
    batch = (put("new", 1), ops.ExtendHistory("h", (Json.of(1),)), put("there", 2, if_version=0))
    with pytest.raises(ConflictError):
        engine.apply(ops.Batch("n", batch))
    assert memory.list_keys() == ["there"]
    assert memory.get("there") == 1
    assert memory.history("h").count() == 0


def test_a_bad_batch_in_a_group_fails_alone(path: Path) -> None:
    engine = SQLiteEngine(path)
    batches = (
        ops.Batch("n", (put("a", 1),)),
        ops.Batch("n", (put("b", 1), put("a", 2, if_version=0))),
        ops.Batch("n", (put("c", 1),)),
    )
    outcomes = engine.apply_group([engine.plan(batch, 0) for batch in batches])
    assert [type(outcome) for outcome in outcomes] == [list, ConflictError, list]
    assert Memory("n", engine=engine).list_keys() == ["a", "c"]


def test_a_repeated_request_is_answered_and_not_applied_again(path: Path) -> None:
    engine = SQLiteEngine(path)
    batch = ops.Batch(
        "n",
        (ops.IncrementKey("n", 5), ops.ExtendHistory("h", (Json.of("a"),)), ops.PopItem("h"),
         ops.GetKeys(("n", "none")), ops.ReadHistory("h")),
        idempotency_id="once",
    )  # fmt: skip
    first = engine.apply(batch)
    assert engine.apply(batch) == first
    assert Memory("n", engine=engine).get("n") == 5
    # The same id in another namespace is another request.
    assert engine.apply(ops.Batch("m", batch.operations, "once"))[0] == 5
    assert Memory("m", engine=engine).get("n") == 5


def test_a_request_that_failed_may_be_tried_again(path: Path) -> None:
    engine = SQLiteEngine(path)
    batch = ops.Batch("n", (put("a", 1, if_version=0),), idempotency_id="again")
    Memory("n", engine=engine).set("a", 0)
    with pytest.raises(ConflictError):
        engine.apply(batch)
    Memory("n", engine=engine).delete("a")
    assert engine.apply(batch)


def test_changes_are_counted_in_one_order_and_pruned(path: Path) -> None:
    memory = Memory("n", engine=SQLiteEngine(path))
    for start in range(0, 12_000, 1_000):
        memory.set_many({f"k{i}": i for i in range(start, start + 1_000)})
    with contextlib.closing(sqlite3.connect(path)) as raw, raw:
        low, high, count = raw.execute(
            "SELECT min(revision), max(revision), count(*) FROM botwire_changes"
        ).fetchone()
    assert (high, high - low + 1) == (12_000, count)
    assert 10_000 <= count <= 11_000


# --- files ----------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_file_that_another_process_makes_while_it_is_looked_at(path: Path, after: int) -> None:
    raw = sqlite3.connect(path, isolation_level=None)
    looks = 0

    class Looking:
        """A connection where another process intervenes after some statements."""

        def execute(self, sql: str) -> Any:
            nonlocal looks
            found = raw.execute(sql).fetchall()
            looks += 1
            if looks == after:
                Memory("n", engine=SQLiteEngine(path)).set("k", 1)
            return SimpleNamespace(fetchone=lambda: found[0] if found else None)

    looking: Any = Looking()
    assert SQLiteFile(str(path), read_only=False).version(looking) in (0, migrations.latest())
    raw.close()


def test_a_file_that_is_no_database(path: Path) -> None:
    path.write_bytes(b"not a database, however long it may be" * 200)
    before = path.read_bytes()
    memory = Memory("n", url=f"sqlite:///{path}")
    for call in (lambda: memory.set("k", 1), lambda: memory.get("k")):
        with pytest.raises(ConfigurationError, match="is not a SQLite database"):
            call()
    assert path.read_bytes() == before


def test_a_database_of_another_program(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("CREATE TABLE theirs (x)")
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="another program's"):
        Memory("n", url=f"sqlite:///{path}").set("k", 1)
    assert path.read_bytes() == before


def test_a_file_of_a_newer_version(path: Path) -> None:
    Memory("n", url=f"sqlite:///{path}").set("k", 1)
    with contextlib.closing(sqlite3.connect(path)) as raw, raw:
        raw.execute(f"PRAGMA user_version={migrations.latest() + 1}")
    code = f"from botwire import Memory; Memory('n', url='sqlite:///{path}').get('k')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ConfigurationError" in done.stderr
    assert "newer BotWire" in done.stderr


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not exist"):
        Memory("n", url=f"sqlite:///{tmp_path / 'no' / 'memory.db'}").get("k")


def test_a_file_that_may_not_be_written_to(path: Path) -> None:
    engine = SQLiteEngine(path)
    Memory("n", engine=engine).set("k", 1)
    # An administrator may write to any file: SQLite's own lock on writing stands in for the mode.
    connection = engine._writer.open()
    connection.execute("PRAGMA query_only=1")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        Memory("n", engine=engine).set("k", 2)
    assert Memory("n", engine=engine).get("k") == 1
    if os.geteuid() != 0:
        path.chmod(stat.S_IREAD)
        with pytest.raises(ConfigurationError, match="cannot be written"):
            Memory("n", engine=SQLiteEngine(path)).set("k", 2)


def test_a_full_disk_is_an_error_and_loses_nothing(path: Path) -> None:
    engine = SQLiteEngine(path)
    history = Memory("n", engine=engine).history("h")
    history.append("x" * 1000)
    engine._writer.open().execute("PRAGMA max_page_count=40")
    written = 1
    full: ServerError | None = None
    while full is None:
        try:
            history.append("x" * 1000)
            written += 1
        except ServerError as error:
            full = error
    assert "disk is full" in full.detail
    assert full.status == 507
    assert history.count() == len(history.read()) == written > 1
    engine._writer.open().execute("PRAGMA max_page_count=100000")
    assert history.append("room again") == written + 1


def test_a_backup_is_a_store(path: Path, tmp_path: Path) -> None:
    Memory("n", url=f"sqlite:///{path}").set("k", 1)
    copy = tmp_path / "copy.db"
    with (
        contextlib.closing(sqlite3.connect(path)) as source,
        contextlib.closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)
    memory = Memory("n", url=f"sqlite:///{copy}")
    memory.set("l", 2)
    assert memory.list_keys() == ["k", "l"]


def test_a_long_read_leaves_its_checkpoint_to_no_writer(path: Path, tmp_path: Path) -> None:
    engine = SQLiteEngine(path)
    memory = Memory("n", engine=engine)
    memory.set("before", 1)
    engine.backup(tmp_path / "backup.db", lambda done, total: bool(memory.set("during", 1)))
    assert keys_without_log(path) == ["before", "during"]
    memory.set("later", 1)
    assert list(transfer.check(engine)) == []
    assert keys_without_log(path) == ["before", "during", "later"]


def keys_without_log(path: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as raw:
        rows = raw.execute("SELECT key FROM botwire_keys WHERE namespace = ?", (b"n",))
        return sorted(key.decode() for (key,) in rows)


def test_files_are_marked_and_in_wal_mode(path: Path) -> None:
    Memory("n", url=f"sqlite:///{path}").set("k", 1)
    with contextlib.closing(sqlite3.connect(path)) as raw, raw:
        assert raw.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert raw.execute("PRAGMA user_version").fetchone() == (migrations.latest(),)
        assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_closing_gives_the_file_back_and_the_next_call_opens_it(path: Path) -> None:
    with (
        Memory("n", url=f"sqlite:///{path}") as memory,
        Memory("n", url=f"sqlite:///{path}") as other,
    ):
        memory.set("k", 1)
        memory.close()
        assert other.get("k") == 1
    assert not path.with_name(path.name + "-wal").exists()
    assert memory.get("k") == 1
    memory.close()


# --- threads, tasks and processes -----------------------------------------------------------


def test_threads_share_commits_and_lose_nothing(path: Path) -> None:
    engine = SQLiteEngine(path)
    history = Memory("n", engine=engine).history("h")
    with ThreadPoolExecutor(16) as threads:
        batches = list(threads.map(lambda i: history.extend([i, i, i]), range(400)))
    assert sorted(seq for batch in batches for seq in batch) == list(range(1, 1201))
    values = [item.value for item in history.read()]
    assert all(len(set(values[i : i + 3])) == 1 for i in range(0, 1200, 3))


def test_threads_share_one_memory_that_ends_with_the_process() -> None:
    memory = Memory("n", engine=SQLiteEngine(MEMORY))
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: memory.increment("n"), range(200)))
    assert memory.get("n") == 200


@pytest.mark.anyio
async def test_tasks_share_commits_and_each_gets_its_own_error(path: Path) -> None:
    engine = AsyncSQLiteEngine(SQLiteEngine(path))
    memory = AsyncMemory("n", engine=engine)
    await memory.set("there", 1)
    outcomes = await asyncio.gather(
        *(memory.set("there" if i % 10 == 0 else f"k{i}", i, if_version=0) for i in range(200)),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, ConflictError) for outcome in outcomes) == 20
    assert sum(isinstance(outcome, int) for outcome in outcomes) == 180
    assert await memory.count() == 181
    await engine.aclose()


@pytest.mark.anyio
async def test_a_short_write_waits_for_one_long_write_at_most(path: Path) -> None:
    memory = AsyncMemory("n", url=f"sqlite:///{path}")
    landed: list[str] = []

    async def write(name: str, values: list[int]) -> None:
        await memory.history(name).extend(values)
        landed.append(name)

    await memory.set("k", 1)  # the file is open
    writers = [write(name, list(range(1_000))) for name in ("long 1", "long 2", "long 3")]
    writers += [write("short 1", [1]), write("short 2", [1])]
    await asyncio.gather(*writers)
    assert sorted(landed[:2]) == ["short 1", "short 2"]
    assert landed[2:] == ["long 1", "long 2", "long 3"]
    await memory.aclose()


@pytest.mark.anyio
async def test_closing_waits_for_what_was_just_written(path: Path) -> None:
    engine = AsyncSQLiteEngine(SQLiteEngine(path))
    memory = AsyncMemory("n", engine=engine)
    for i in range(3):  # a closed engine opens again
        writes = [asyncio.create_task(memory.set(f"k{i} {j}", j)) for j in range(3)]
        await asyncio.sleep(0)  # they have begun, and nothing is handed over to the thread yet
        await engine.aclose()
        assert all(write.done() for write in writes)
        assert Memory("n", url=f"sqlite:///{path}").count() == 3 * (i + 1)


@pytest.fixture
def on_loop(path: Path, monkeypatch: pytest.MonkeyPatch) -> OnLoop:
    """An engine that commits little writes on its event loop, however slow the disk is."""
    monkeypatch.setattr(awaited, "_QUICK_SECONDS", math.inf)
    return OnLoop(path)


class OnLoop:
    """An engine that commits on its event loop, and whether each commit was made there."""

    def __init__(self, path: Path) -> None:
        self.engine = AsyncSQLiteEngine(SQLiteEngine(path))
        self.engine.commits_on_loop = True
        self.engine.engine.on_commit = self._note
        self.memory = AsyncMemory("n", engine=self.engine)
        self._thread = threading.get_ident()
        self._commits: list[tuple[bool, int]] = []

    def _note(self, batches: int, seconds: float) -> None:
        self._commits.append((threading.get_ident() == self._thread, batches))

    def commits(self) -> list[tuple[bool, int]]:
        """Returns for each commit since the last call whether the loop made it, and its batches."""
        commits, self._commits = self._commits, []
        return commits


@pytest.mark.anyio
async def test_a_server_commits_little_writes_on_its_event_loop(on_loop: OnLoop) -> None:
    memory = on_loop.memory
    await memory.set("k", 0)  # the thread opens the file, and sweeps
    assert [there for there, _ in on_loop.commits()] == [False]
    await memory.set("k", 1)
    await memory.increment("k")
    await memory.history("chat").extend([1, 2])
    await memory.delete("other")
    assert on_loop.commits() == [(True, 1)] * 4
    outcomes = await asyncio.gather(
        memory.set("a", 1), memory.set("k", 1, if_version=0), memory.set("b", 1),
        return_exceptions=True,
    )  # fmt: skip
    assert on_loop.commits() == [(True, 3)]
    assert [isinstance(one, ConflictError) for one in outcomes] == [False, True, False]
    assert await memory.get_many(["k", "a", "b"]) == {"k": 2, "a": 1, "b": 1}
    await on_loop.engine.aclose()


@pytest.mark.anyio
async def test_what_may_take_long_is_not_committed_on_the_event_loop(on_loop: OnLoop) -> None:
    memory = on_loop.memory
    await memory.set("k", 0)
    on_loop.commits()
    await memory.history("chat").extend(list(range(20)))
    await memory.set("large", "x" * 20_000)
    await memory.clear()
    await memory.records("notes").put([Record("a text to search")])
    assert [there for there, _ in on_loop.commits()] == [False] * 4
    await asyncio.gather(*(memory.set(f"k{i}", i) for i in range(50)))
    assert not any(there for there, _ in on_loop.commits())
    await on_loop.engine.aclose()


@pytest.mark.anyio
async def test_an_event_loop_does_not_wait_for_another_process(path: Path, on_loop: OnLoop) -> None:
    memory = on_loop.memory
    await memory.set("k", 0)
    await memory.get("k")
    on_loop.commits()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        write = asyncio.create_task(memory.set("k", 1))
        for _ in range(10):
            await asyncio.sleep(0)
            assert await memory.get("k") == 0
        assert not write.done()
        other.execute("COMMIT")
    assert await write == 2
    assert on_loop.commits() == [(False, 1)]
    await on_loop.engine.aclose()


@pytest.mark.anyio
async def test_a_slow_disk_does_not_block_the_event_loop_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(awaited, "_QUICK_SECONDS", 0.0)
    monkeypatch.setattr(awaited, "_SLOW_SECONDS", math.inf)
    on_loop = OnLoop(path)
    for i in range(4):
        await on_loop.memory.set("k", i)
    assert [there for there, _ in on_loop.commits()] == [False, True, False, False]
    await on_loop.engine.aclose()


def test_long_and_short_writes_take_turns() -> None:
    turns = CommitChooser()
    waiting = [planned(many=True), planned(many=True), planned(many=False)]
    order = []
    for _ in range(6):
        chosen, waiting = turns.choose(waiting, lambda one: one)
        order.append("".join("l" if one.is_long else "s" for one in chosen))
        waiting.append(planned(many=False))  # short ones never cease
    assert order == ["s", "l", "ss", "l", "ss", "s"]


def planned(*, many: bool) -> Planned:
    """Returns a batch that writes much, or little."""
    return Planned(Batch("n", (put("k", 1),) * (1_000 if many else 1)), NO_PLAN)


@pytest.mark.anyio
async def test_a_cancelled_writer_does_not_take_others_with_it(path: Path) -> None:
    memory = AsyncMemory("n", url=f"sqlite:///{path}")
    tasks = [asyncio.ensure_future(memory.increment("n")) for _ in range(50)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(outcome, int) for outcome in done) == 25
    assert await memory.get("n") >= 25
    await memory.aclose()


def test_one_client_in_several_event_loops(path: Path) -> None:
    memory = AsyncMemory("n", url=f"sqlite:///{path}")
    for i in range(3):
        assert asyncio.run(memory.increment("n")) == i + 1
    results: list[int] = []
    threads = [
        threading.Thread(target=lambda: results.append(asyncio.run(memory.increment("n"))))
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [4, 5, 6, 7, 8]


def test_a_process_sees_what_another_wrote_at_once(path: Path) -> None:
    url = f"sqlite:///{path}"
    memory = Memory("n", url=url)
    assert memory.get("k") is None
    code = f"from botwire import Memory; Memory('n', url={url!r}).set('k', 'theirs')"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert memory.get("k") == "theirs"


@pytest.mark.parametrize(
    "operations",
    [(ops.GetKeys(("k",)), ops.GetKeys(("k",))), (SearchRecords("c", text="tea"),)],
)
def test_a_batch_that_reads_twice_reads_one_moment(
    path: Path, operations: tuple[ops.AnyOperation, ...]
) -> None:
    with Memory("n", url=f"sqlite:///{path}") as writer:
        writer.set("k", "before")
        writer.records("c").put([Record(id="r", text="tea")])
        engine = SQLiteEngine(path)
        batch = ops.Batch("n", operations)
        first = engine.apply(batch)
        selects = 0

        def write_before_the_second(sql: str) -> None:
            nonlocal selects
            selects += sql.startswith("SELECT")
            if sql.startswith("SELECT") and selects == 2:
                writer.set("k", "after")
                writer.records("c").clear()

        engine._readers[0].set_trace_callback(write_before_the_second)
        assert engine.apply(batch) == first
        assert selects >= 2
        engine._readers[0].set_trace_callback(None)
        assert engine.apply(batch) != first
        engine.close()


def test_the_promise_is_synced(path: Path) -> None:
    engine = SQLiteEngine(path)
    Memory("n", engine=engine).set("k", 1)
    assert engine._writer.open().execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_a_read_that_would_have_to_wait_is_not_done_at_once(path: Path) -> None:
    engine = SQLiteEngine(path)
    batch = ops.Batch("n", (ops.GetKeys(("k",)),))
    Memory("n", engine=engine).set("k", 1)
    assert engine.read_at_once(batch) is None  # no connection is open for it yet
    engine.apply(batch)
    results = engine.read_at_once(batch)
    assert results is not None
    assert results[0][0].value == Json.of(1)
    engine.close()
    # Like a recovery, but much longer.
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("BEGIN IMMEDIATE")
    other.execute("COMMIT")
    engine._readers.append(sqlite3.connect(path, isolation_level=None, check_same_thread=False))
    assert engine.read_at_once(batch) is None
    assert engine._hasty[0].execute("PRAGMA busy_timeout").fetchone() == (0,)
    other.close()
    assert engine.read_at_once(batch) is not None
    engine.close()


async def test_a_loop_on_which_nothing_may_block_reads_in_threads(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under blockbuster, which `langgraph dev` uses: it wraps the methods of sqlite3."""
    engine = AsyncSQLiteEngine(SQLiteEngine(path))
    memory = AsyncMemory("n", engine=engine)
    await memory.set("k", 1)
    refused = []

    def refuse(self: SQLiteEngine, batch: Batch) -> None:
        refused.append(batch)
        raise RuntimeError("Blocking call to sqlite3.Connection.execute")

    monkeypatch.setattr(SQLiteEngine, "read_at_once", refuse)
    assert [await memory.get("k") for _ in range(3)] == [1, 1, 1]
    assert len(refused) == 1
    await engine.aclose()


def test_a_loop_that_ends_in_the_middle_of_a_write_complains_of_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "memory.db"
    memory = AsyncMemory("n", url=f"sqlite:///{path}")

    async def main() -> None:
        await memory.set("before", 1)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        writing = asyncio.create_task(memory.set("meanwhile", 1))
        await asyncio.sleep(0.05)  # it waits for the lock now, in a thread
        assert not writing.done()
        other.execute("ROLLBACK")
        other.close()

    asyncio.run(main())
    gc.collect()
    assert "never retrieved" not in caplog.text
