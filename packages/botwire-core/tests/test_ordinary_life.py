"""What happens to a store in ordinary use: files that move, empty filters, copies, outages."""

from __future__ import annotations

import asyncio
import copy
import functools
import gc
import os
import pickle
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from botwire import (
    AsyncMemory,
    BotWireError,
    ConfigurationError,
    ConflictError,
    Memory,
    ProtocolError,
    Record,
    ServerError,
    TransportError,
    transfer,
)
from botwire import operations as ops
from botwire.cli import NO, main
from botwire.clock import DAY
from botwire.connection import Connection
from botwire.engines.http import HTTPEngine
from botwire.engines.loops import ClientPerLoop, Turns
from botwire.engines.postgres import PostgresEngine
from botwire.engines.retry import PAUSE, PROBE, Outage, delay
from botwire.engines.sql.planning import Selections
from botwire.engines.sql.vector_cache import VectorCache
from botwire.engines.sqlite import MEMORY, SQLiteEngine
from botwire.engines.sqlite.file import SQLiteFile
from botwire.names import SYSTEM_NAMESPACE
from botwire.operations import CheckStore, StatStore
from botwire.operations.terms import Usage
from botwire.places import find_place, without_password
from conftest import read_url, running


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A path for a database."""
    return tmp_path / "memory.db"


UNCLOSED = """
import asyncio, gc, sys
from botwire import AsyncMemory, Memory

def blocking():
    memory = Memory(sys.argv[1], url=sys.argv[2])
    memory.set("k", 1)
    assert memory.get("k") == 1

async def awaited():
    memory = AsyncMemory(sys.argv[1], url=sys.argv[2])
    await memory.set("k", 1)
    assert await memory.get("k") == 1

blocking()
gc.collect()
asyncio.run(awaited())
gc.collect()
kept = Memory(sys.argv[1], url=sys.argv[2])
kept.get("k")
"""


def test_nobody_has_to_close_a_client(any_url: str, namespace: str) -> None:
    program = [sys.executable, "-W", "error::ResourceWarning", "-c", UNCLOSED]
    run = subprocess.run(
        [*program, namespace, any_url], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stderr) == (0, "")


# --- files ----------------------------------------------------------------------------------


def test_only_the_owner_may_read_what_holds_memory(path: Path) -> None:
    umask = os.umask(0o022)
    try:
        engine = SQLiteEngine(path)
        Memory("n", engine=engine).set("k", "private")
        transfer.backup(engine, path.with_name("backup.db"))
    finally:
        os.umask(umask)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    names = ("memory.db", "memory.db-wal", "memory.db-shm", "backup.db")
    assert modes == dict.fromkeys(names, 0o600)


@pytest.mark.parametrize("how", ["removed", "replaced", "its log"])
def test_a_write_into_a_file_that_is_gone_is_an_error(path: Path, how: str) -> None:
    engine = SQLiteEngine(path)
    memory = Memory("n", engine=engine)
    memory.set("k", 1)
    if how == "replaced":
        shutil.copy(path, path.with_name("copy.db"))
        path.with_name("copy.db").replace(path)
    elif how == "removed":
        path.unlink()
    else:
        path.with_name("memory.db-wal").unlink()
    for _ in range(2):
        with pytest.raises(ServerError, match="removed or replaced"):
            memory.set("k", 2)
    engine.close()
    memory.set("k", 3)  # whatever is there now
    assert memory.get("k") == 3


def test_a_store_that_is_only_read(path: Path) -> None:
    with Memory("n", url=f"sqlite:///{path}") as memory:
        memory.set("k", 1)
        with Memory("n", url=f"sqlite:///{path}?mode=ro") as reader:
            assert reader.get("k") == 1
            memory.set("k", 2)
            assert reader.get("k") == 2
            with pytest.raises(ConfigurationError, match="mode=ro"):
                reader.set("k", 3)
            reader.engine.sweep()
            assert list(transfer.check(reader.engine)) == []  # which only reads
            with pytest.raises(ConfigurationError, match="CompactStore"):
                transfer.compact(reader.engine)
    with pytest.raises(ConfigurationError, match="cannot be opened"):
        Memory("n", url=f"sqlite:///{path}-none?mode=ro").get("k")
    assert not path.with_name("memory.db-none").exists()


@pytest.mark.parametrize(
    "url",
    ["sqlite:///", "sqlite:////", "sqlite:///a\0b", "sqlite:///a%00b", "sqlite:///a?mode=rox",
     "sqlite:///a?x=1", "sqlite://?mode=ro"],
)  # fmt: skip
def test_urls_that_would_surprise_are_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="sqlite"):
        Memory("n", url=url)


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("localhost:8700", "did you mean http://localhost:8700"),
        ("127.0.0.1:8700/team", "did you mean http://127.0.0.1:8700/team"),
        ("/data/memory.db", "for a file use sqlite:////data/memory.db"),
        ("memory.db", "for a file use sqlite:///memory.db"),
        ("mysql://h/db", "use sqlite:///path, http"),
        ("http://h:99999", "is not a URL: Port out of range"),
        ("postgresql://h:x/db", "is not a URL: Port could not be cast"),
    ],
)
def test_a_url_without_an_engine_leads_to_one_that_has(url: str, hint: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(hint)):
        Memory("n", url=url)


def test_an_empty_url_is_not_the_default_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="url is empty"):
        Memory("n", url="")
    monkeypatch.setenv("BOTWIRE_URL", "")  # as if it were not set
    Memory("n").set("k", 1)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no user without a home")
@pytest.mark.parametrize("home", [None, "", "here"])
def test_a_user_without_a_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str | None
) -> None:
    """As in a container that runs under an arbitrary number."""
    import pwd

    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)
    for name in ("BOTWIRE_URL", "XDG_DATA_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    if home is not None:
        monkeypatch.setenv("HOME", home)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match="has no home"):
        Memory("n")
    with pytest.raises(ConfigurationError, match="for a file use sqlite:///"):
        Memory("n", url="~/memory.db")
    assert list(tmp_path.iterdir()) == []
    # Absolute: a relative one would be this file for later tests in other folders, too.
    url = f"sqlite:///{tmp_path / 'memory.db'}"
    assert Connection("n", url=url).reference() == {"namespace": "n", "url": url}


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps the current folder")
def test_the_current_folder_was_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    with pytest.raises(ConfigurationError, match="the current folder was removed"):
        Memory("n", url="sqlite:///memory.db")


@pytest.mark.skipif(os.name == "nt", reason="needs limits of POSIX")
def test_too_many_open_files_are_named(tmp_path: Path) -> None:
    program = """
import resource, sys
from botwire import Memory, ServerError
from botwire.engines import sqlite
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
stores = []
try:
    for number in range(64):
        stores.append(Memory("n", url=f"sqlite:///{sys.argv[1]}/{number}.db"))
        stores[-1].set("k", number)
except ServerError as error:
    assert "too many files are open" in str(error), error
    try:
        print(stores[0].get("k"))  # through a connection of its own
    except ServerError as error:
        assert "too many files are open" in str(error), error
for store in stores:
    store.close()
print(stores[0].get("k"))
"""
    ran = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (ran.stdout, ran.stderr) == ("0\n", "")


def test_a_file_that_cannot_be_read_is_not_one_that_cannot_be_written() -> None:
    error = sqlite3.OperationalError("unable to open database file")
    error.sqlite_errorname = "SQLITE_READONLY_CANTINIT"
    for read_only, hint in ((True, "cannot be opened for reading"), (False, "cannot be written")):
        assert hint in str(SQLiteFile("m.db", read_only=read_only).failure(error))


def test_an_api_key_that_is_no_text() -> None:
    with pytest.raises(ConfigurationError, match="api_key must be a string, not int"):
        Memory("n", url="http://127.0.0.1:1", api_key=5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (lambda m: m.records().search(text=5), "text must be a string, not int"),
        (lambda m: m.records().search(text=["tea"]), "text must be a string, not list"),
        (lambda m: m.records().put(5), "records must be a list of Record, not int"),
        (lambda m: m.records().list(created_after="yesterday"), "a time must be a datetime"),
        (lambda m: m.recall("tea", since="yesterday"), "a time must be a datetime, not str"),
        (lambda m: m.recall("tea", since=5), "a time must be a datetime, not int"),
        (lambda m: m.set_many([("a", 1)]), "values must be a mapping of keys to values, not list"),
        (lambda m: m.history("h").extend(5), "values must be a list of JSON values, not int"),
        (lambda m: m.get_many(5), "keys must be a list of strings, not int"),
        (lambda m: m.get_many("k"), "keys must be a list of strings, not a single string"),
        (lambda m: m.update("k", 5), "fn must be a function that takes the value"),
        (lambda m: m.history("h").extend([1], ids=5), "ids must be a list of strings, not int"),
        (lambda m: m.records().get(5), "ids must be a list of strings, not int"),
        (lambda m: m.records().patch(5, {}), "ids must be a list of strings, not int"),
        (lambda m: m.records().put([Record("t", tags=5)]), "records[0].tags must be a list of"),
        (lambda m: m.records().put([Record("t")], if_versions=5), "if_versions must be a list of"),
        (lambda m: m.records().search(text="t", offset="x"), "offset must be an int, not str"),
        (lambda m: m.remember("t", tags=5), "tags must be a list of strings, not int"),
        (lambda m: m.recall("t", tags=5), "tags must be a list of strings, not int"),
        (lambda m: m.transaction().records().patch("ab", {}), "ids must be a list of strings"),
    ],
    ids=range(20),
)
def test_an_argument_of_a_wrong_type_is_named(call: Callable[[Memory], Any], hint: str) -> None:
    with Memory("n", url="sqlite://") as memory:
        memory.remember("tea")
        with pytest.raises(ConfigurationError, match=re.escape(hint)):
            call(memory)
        assert memory.count() == 0


def test_a_folder_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is a folder: name a file in it"):
        Memory("n", url=f"sqlite:///{tmp_path}").get("k")


@pytest.mark.parametrize(
    ("name", "why"),
    [("a" * 300, "too long"), ("b/" * 3_000 + "x", "too long"), ("\ud800", "not a file name")],
    ids=["file", "path", "surrogate"],
)
def test_a_name_that_the_system_refuses(tmp_path: Path, name: str, why: str) -> None:
    for suffix in ("", "?mode=ro"):
        with pytest.raises(ConfigurationError, match=None if suffix else why):
            Memory("n", url=f"sqlite:///{tmp_path}/{name}{suffix}").get("k")


@pytest.mark.skipif(os.name != "posix", reason="Windows has no umask")
def test_a_umask_takes_no_right_of_the_owner(path: Path) -> None:
    umask = os.umask(0o777)
    try:
        with Memory("n", url=f"sqlite:///{path}") as memory:
            memory.set("k", 1)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_path_that_no_file_can_have() -> None:
    with pytest.raises(ConfigurationError, match="is not a file path"):
        Memory("n", engine=SQLiteEngine("a\0b")).get("k")


def test_a_backup_is_restored_while_others_have_the_store_open(path: Path) -> None:
    memory = Memory("n", engine=SQLiteEngine(path))
    memory.set("k", "then")
    version = memory.entry("k").version  # type: ignore[union-attr]
    memory.records("r").put([Record("tea", id="1", embedding=[1.0, 0.0])])
    backup = path.with_name("backup.db")
    transfer.backup(memory.engine, backup)
    memory.set("k", "later")
    memory.set("new", 1)
    assert len(memory.records("r").search(vector=[1.0, 0.0])) == 1
    memory.records("r").put([Record("milk", id="2", embedding=[0.0, 1.0])])
    seen = memory.revision()
    other = Memory("n", engine=SQLiteEngine(path))
    assert other.get("k") == "later"
    transfer.restore(memory.engine, backup)
    for one in (memory, other):
        assert one.get("k") == "then"
        assert one.get("new") is None
        assert [match.record.id for match in one.records("r").search(vector=[1.0, 0.0])] == ["1"]
    # No version is reused, and watchers are notified.
    assert next(iter(other.watch(after=seen))).action == "reset"
    assert other.set("k", "now") > seen
    with pytest.raises(ConflictError):
        other.set("k", "stale", if_version=seen)
    assert list(transfer.check(other.engine)) == []
    assert version <= seen


def test_what_is_no_sound_backup_is_not_restored(path: Path, tmp_path: Path) -> None:
    engine = SQLiteEngine(path)
    memory = Memory("n", engine=engine)
    memory.set("k", 1)
    other = tmp_path / "other.db"
    sqlite3.connect(other).execute("CREATE TABLE x (y)").connection.close()
    noise = tmp_path / "noise.db"
    noise.write_bytes(b"x" * 10_000)
    for source, says in (
        (other, "not a backup"),
        (noise, "not a SQLite"),
        (tmp_path / "no", "does not exist"),
    ):
        with pytest.raises(ConfigurationError, match=says):
            transfer.restore(engine, source)
    assert memory.get("k") == 1


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "http", "https", "mysql"])
@pytest.mark.parametrize(
    "secret",
    [
        "Xy/Zw", "Xy?Zw", "Xy#Zw", "Xy@Zw", "Xy%Zw", "XyZw%", "Xy%00Zw", "Xy Zw", "Xy[Zw",
        "44/Zw", "44?Zw", "Xy@Z/Zw", "XyZw",
    ],
)  # fmt: skip
def test_no_error_shows_a_password_that_breaks_the_url(scheme: str, secret: str) -> None:
    url = f"{scheme}://ada:{secret}@127.0.0.1:1/db"
    shown = f"{scheme}://ada@127.0.0.1:1/db"
    assert without_password(url) == shown
    with pytest.raises(BotWireError) as caught, Memory("n", url=url, timeout=0.1) as memory:
        memory.get("k")
    said = f"{caught.value} {caught.value.__cause__}"
    assert not re.search("Xy|Zw|44", said)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://db1:5432,db2/memory?user=ada@corp",
        "postgresql://[::1]:5432/memory?user=ada@corp",
        "postgresql:///memory?host=/run/postgresql",
        "sqlite:////home/a@b:c/memory.db",
        "http://127.0.0.1:8700/memory",
    ],
)
def test_what_looks_like_a_password_is_shown(url: str) -> None:
    assert without_password(url) == url
    assert find_place(url).url == url


def _damage(path: Path) -> None:
    """Makes a store of which pages of data cannot be read."""
    with Memory("n", url=f"sqlite:///{path}") as memory:
        memory.set_many({f"k{i}": "v" * 500 for i in range(200)})
    raw = bytearray(path.read_bytes())
    starts = [at for at in range(0, len(raw), 4096) if b"v" * 500 in raw[at : at + 4096]]
    for at in starts[::2]:
        raw[at + 16 : at + 24] = b"\xff" * 8  # where its rows begin
    path.write_bytes(raw)


def test_what_is_wrong_with_a_damaged_store_is_listed(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _damage(path)
    assert main(["check", "--url", f"sqlite:///{path}"]) == NO
    said = capsys.readouterr().err
    # SQLite 3.40 lists the pages, or gives up at the first one, as it happens.
    assert re.search("tree page|not all of it was checked", said)
    assert "nothing else was checked" in said
    memory = Memory("n", engine=SQLiteEngine(path))
    with pytest.raises(ServerError, match=r"is damaged: .*botwire check.* lists what is wrong"):
        memory.get_many([f"k{i}" for i in range(200)])


def test_a_store_whose_tables_have_damaged_names_is_an_error_of_ours(path: Path) -> None:
    """SQLite's message contains the name."""
    with Memory("n", url=f"sqlite:///{path}") as memory:
        memory.set("k", 1)
    raw = path.read_bytes()
    at = raw.index(b"CREATE TABLE botwire_keys")
    path.write_bytes(raw[:at] + b"CREATE \xaa\xac" + raw[at + 9 :])
    with pytest.raises(ServerError, match="is too damaged to be opened"):
        Memory("n", engine=SQLiteEngine(path)).get("k")


def test_a_text_that_is_damaged_is_an_error_of_ours(path: Path) -> None:
    with Memory("n", url=f"sqlite:///{path}") as memory:
        memory.set("k", "peanuts")
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"peanuts", b"pean\xff\xffs"))
    with pytest.raises(ServerError, match="is damaged"):
        Memory("n", engine=SQLiteEngine(path)).get("k")


def test_a_value_that_is_no_longer_json_is_an_error_of_ours(path: Path) -> None:
    """Of what is read itself, of what a filter reads, and of what a server sends."""
    with Memory("n", url=f"sqlite:///{path}") as memory:
        memory.set("k", ["damaged", 1])
        memory.set("whole", 1)
        memory.history("h").append(["damaged", 1])
        memory.records("c").put([Record(id="r", text="text", metadata={"is": "damaged"})])
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b'"damaged"', b'"damaged '))

    def check(memory: Memory) -> None:
        for read in (
            lambda: memory.get("k"),
            lambda: memory.history("h").tail(1),
            lambda: memory.records("c").list(),
            lambda: memory.records("c").list(filter={"is": "damaged"}),
        ):
            with pytest.raises((ServerError, ProtocolError), match=r"damaged .*`botwire check`"):
                read()
        assert memory.get("whole") == 1

    check(Memory("n", engine=SQLiteEngine(path)))
    with running(path) as server:
        check(Memory("n", url=read_url(server)))
        server.terminate()


def test_a_damaged_store_is_not_backed_up_in_silence(path: Path) -> None:
    _damage(path)
    with pytest.raises(ServerError):
        transfer.backup(SQLiteEngine(path), path.with_name("backup.db"))
    assert [file.name for file in path.parent.glob("backup*")] == []


def test_a_backup_copied_over_a_store_with_a_log_is_not_read_as_if_it_were_its_own(
    path: Path,
) -> None:
    kill = (
        "import os, sys; from botwire import Memory\n"
        "memory = Memory('n', url='sqlite:///' + sys.argv[1]); memory.set('k', 'later')\n"
        "os.kill(os.getpid(), 9)"
    )
    engine = SQLiteEngine(path)
    memory = Memory("n", engine=engine)
    memory.set("k", "then")
    backup = path.with_name("backup.db")
    transfer.backup(engine, backup)
    engine.close()
    subprocess.run([sys.executable, "-c", kill, path], check=False)
    log = path.with_name("memory.db-wal")
    assert log.stat().st_size > 0
    shutil.copy(backup, path)
    with pytest.raises(ConfigurationError, match="is that store's log"):
        Memory("n", engine=SQLiteEngine(path)).get("k")
    log.unlink()
    path.with_name("memory.db-shm").unlink()
    assert Memory("n", engine=SQLiteEngine(path)).get("k") == "then"


def test_a_store_shrinks_when_it_is_compacted(path: Path) -> None:
    engine = SQLiteEngine(path)
    memory = Memory("n", engine=engine)
    memory.records("r").put([Record("word " * 200, id=str(i)) for i in range(300)])
    memory.records("r").clear()
    (before,) = engine.apply(ops.Batch(SYSTEM_NAMESPACE, (StatStore(),)))
    assert transfer.compact(engine).rewritten
    assert path.stat().st_size < before.bytes / 2
    memory.set("k", 1)
    assert memory.get("k") == 1


def test_a_check_does_not_wait_for_a_writer_nor_hold_one_up(path: Path) -> None:
    engine = SQLiteEngine(path)
    Memory("n", engine=engine).set("k", 1)
    found: list[Any] = []
    check = ops.Batch(SYSTEM_NAMESPACE, (CheckStore(),))
    checking = threading.Thread(target=lambda: found.extend(engine.apply(check)))
    with engine._writer._lock:  # as a writer holds it
        checking.start()
        checking.join(30)
        assert found == [()]


# --- conditions that are none ---------------------------------------------------------------


@pytest.mark.parametrize(
    "filter_",
    [
        {},
        {"$and": [{}]},
        {"$or": [{"a": 1}, {}]},
        {"$not": {"$not": {}}},
        {"$and": [{}, {"$and": [{}]}]},
    ],
)
def test_a_delete_by_a_filter_that_came_out_empty_is_refused(
    path: Path, filter_: dict[str, Any]
) -> None:
    memory = Memory("n", url=f"sqlite:///{path}")
    records = memory.records("r")
    records.put([Record("x", id=str(i)) for i in range(5)])
    with pytest.raises(ConfigurationError, match="all=True"):
        records.delete(filter=filter_)
    with pytest.raises(ConfigurationError, match="all=True"), memory.transaction() as tx:
        tx.records("r").delete(filter=filter_)
    assert records.count() == 5
    assert records.count(filter=filter_) == 5
    assert records.delete(all=True) == 5


def test_a_filter_that_nothing_passes_is_a_filter(path: Path) -> None:
    records = Memory("n", url=f"sqlite:///{path}").records("r")
    records.put([Record("x")])
    assert records.delete(filter={"$not": {}}) == 0


def test_what_a_transaction_has_read_is_checked_whatever_else_is(path: Path) -> None:
    memory = Memory("n", url=f"sqlite:///{path}")
    memory.set("n", 1)
    with pytest.raises(ConflictError), memory.transaction() as tx:
        tx.get("n")
        memory.set("n", 100)
        entry = memory.entry("n")
        assert entry is not None
        tx.check("n", entry.version)
        tx.set("n", 2)
    for call in (lambda: tx.get("n"), lambda: tx.check("n", 1), lambda: tx.set("n", 1)):
        with pytest.raises(ConfigurationError, match="has ended"):
            call()
    assert memory.get("n") == 100


def test_a_limit_is_a_count(path: Path) -> None:
    memory = Memory("n", url=f"sqlite:///{path}")
    with pytest.raises(ConfigurationError, match="limit"):
        memory.history("h").read(limit=-1)


def test_whether_a_key_exists_is_told_without_its_value(path: Path) -> None:
    memory = Memory("n", url=f"sqlite:///{path}")
    memory.set_many({"ab": None, "abc": 1, "b": 1})
    assert [memory.exists(key) for key in ("a", "ab", "abc", "abcd", "b", "\ud800")] == [
        False, True, True, False, True, False,
    ]  # fmt: skip


# --- copies ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Memory, AsyncMemory])
def test_a_memory_is_copied_as_itself_and_never_pickled(path: Path, kind: Any) -> None:
    memory = kind("n", url=f"sqlite:///{path}")
    assert copy.deepcopy({"m": memory})["m"] is memory
    assert copy.copy(memory) is memory
    for part in (memory.history("h"), memory.records("r")):
        assert repr(copy.copy(part)) == repr(copy.deepcopy(part)) == repr(part)
    for one in (memory, memory.history("h"), memory.records("r")):
        with pytest.raises(ConfigurationError, match="pickle"):
            pickle.dumps(one)


# --- many at once ---------------------------------------------------------------------------


async def test_hundreds_of_tasks_update_one_key(path: Path) -> None:
    memory = AsyncMemory("n", url=f"sqlite:///{path}")
    await asyncio.gather(*[memory.update("k", lambda n: n + 1, 0) for _ in range(400)])
    assert await memory.get("k") == 400
    await memory.aclose()


def test_threads_that_update_each_others_keys_do_not_wait_for_ever(path: Path) -> None:
    memory = Memory("n", url=f"sqlite:///{path}")
    inside = threading.Barrier(2)

    def work(one: str, other: str) -> None:
        first = True

        def change(value: int) -> int:
            nonlocal first
            if first:
                first = False
                inside.wait(10)
                memory.update(other, lambda n: n + 1, 0)
            return value + 1

        memory.update(one, change, 0)

    threads = [threading.Thread(target=work, args=pair) for pair in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert memory.get_many(["a", "b"]) == {"a": 2, "b": 2}


# --- engines --------------------------------------------------------------------------------


class Wrapped:
    """A user's own engine with exactly the methods of the protocol."""

    def __init__(self) -> None:
        self.inner = SQLiteEngine(MEMORY)

    def apply(self, batch: ops.Batch) -> ops.Results:
        return self.inner.apply(batch)

    def sweep(self) -> None:
        self.inner.sweep()

    def close(self) -> None:
        self.inner.close()


async def test_an_engine_of_ones_own_is_awaited_too() -> None:
    connection = Connection(client=Memory("n", engine=Wrapped()))
    connection.memory.set("k", 1)
    assert await connection.async_memory.get("k") == 1
    assert await connection.async_memory.increment("k") == 2
    await connection.async_memory.engine.sweep()
    assert connection.memory.get("k") == 2


# --- clocks and outages ---------------------------------------------------------------------


def test_a_clock_that_was_ahead_once_freezes_no_quota() -> None:
    today = 20_000 * DAY
    assert Usage(5, 7, 20_000).on(today) == (5, 7, 20_000)
    assert Usage(5, 7, 20_001).on(today) == (5, 7, 20_001)  # a clock slightly behind
    assert Usage(5, 7, 29_999).on(today) == (5, 0, 20_000)
    assert Usage(5, 7, 19_999).on(today) == (5, 0, 20_000)


class Down:
    """A server that is down at first, and counts its requests.

    Args:
        errors: What the first requests meet; all others meet the last.
    """

    def __init__(self, *errors: httpx.TransportError) -> None:
        self.asked = 0
        self.is_up = False
        self._errors = list(errors)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        if not self.is_up:
            raise self._errors.pop(0) if len(self._errors) > 1 else self._errors[0]
        return httpx.Response(200, json={"results": [[None]]})

    def memory(self, timeout: float) -> Memory:
        transport = httpx.MockTransport(self)
        return Memory(
            "n", engine=HTTPEngine("http://memory.test", timeout=timeout, transport=transport)
        )


def test_an_outage_is_paid_for_once_and_over_as_soon_as_the_server_is_back() -> None:
    server = Down(httpx.ConnectError("connection refused"))
    memory = server.memory(timeout=2)
    with pytest.raises(TransportError, match="connection refused"):
        memory.get("k")
    first = server.asked
    for _ in range(5):
        with pytest.raises(TransportError, match="connection refused"):
            memory.get("k")
    assert (server.asked - first) / 5 < first
    server.is_up = True
    assert memory.get("k") is None
    assert memory.engine._outage.limit(2) == 2  # type: ignore[attr-defined]


def test_a_server_that_refused_is_not_silent_if_the_last_moment_was_too_short() -> None:
    server = Down(httpx.ConnectError("connection refused"), httpx.ConnectTimeout("no answer"))
    memory = server.memory(timeout=0.3)
    with pytest.raises(TransportError):
        memory.get("k")
    server.is_up = True
    assert memory.get("k") is None


def test_a_server_that_is_silent_is_left_alone_for_a_moment() -> None:
    server = Down(httpx.ConnectTimeout("no answer"))
    memory = server.memory(timeout=0.3)
    with pytest.raises(TransportError):
        memory.get("k")
    first = server.asked
    for _ in range(20):
        with pytest.raises(TransportError, match="no retry for"):
            memory.get("k")
    assert server.asked == first
    memory.engine._outage._until -= PAUSE  # type: ignore[attr-defined]
    server.is_up = True
    assert memory.get("k") is None


def test_a_server_that_took_a_call_and_never_answers_is_paid_for_once() -> None:
    server = Down(httpx.ReadTimeout("no answer"))
    memory = server.memory(timeout=0.3)
    with pytest.raises(TransportError):
        memory.get("k")
    first = server.asked
    for _ in range(20):
        with pytest.raises(TransportError, match="healthz"):
            memory.get("k")
    assert server.asked == first + 1  # its /healthz; then it was left alone
    memory.engine._outage._until -= PAUSE  # type: ignore[attr-defined]
    server.is_up = True
    assert memory.get("k") is None


def test_a_call_that_took_too_long_does_not_shorten_the_others() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if len(asked) == 1:
            raise httpx.ReadTimeout("a long search")
        assert request.extensions["timeout"]["read"] > PROBE or request.url.path == "/healthz"
        return httpx.Response(200, json={"results": [[None]]})

    engine = HTTPEngine("http://m.test", timeout=30, transport=httpx.MockTransport(answer))
    engine._timeout = 0.001  # only the first call uses up the timeout
    memory = Memory("n", engine=engine)
    with pytest.raises(TransportError):
        memory.get("k")
    engine._timeout = 30
    assert [memory.get("k"), memory.get("k")] == [None, None]
    batch = "/v1/batch"
    assert asked == [batch, "/healthz", batch, batch]


def test_who_asks_after_the_pause_of_an_outage_has_a_second() -> None:
    now = [0.0]
    outage = Outage(lambda: now[0])
    assert outage.limit(10) == 10
    outage.begin(TransportError("no answer from x", url="x"), pause=PAUSE)
    with pytest.raises(TransportError, match=r"no retry for another 2\.0 s"):
        outage.limit(10)
    now[0] += PAUSE
    assert outage.limit(10) == 1
    assert outage.limit(0.5) == 0.5
    outage.end()
    assert outage.limit(10) == 10


def test_a_call_that_cuts_into_another_has_a_client_of_its_own() -> None:
    made: list[object] = []
    closed: list[object] = []

    def make() -> object:
        made.append(object())
        return made[-1]

    clients = ClientPerLoop(make, closed.append)
    with clients.use() as outer, clients.use() as inner:  # a finalizer's, of the same thread
        assert inner is not outer
        assert closed == []
    assert closed == [inner]
    with clients.use() as again:
        assert again is outer
    clients.close()
    assert closed == [inner, outer]


def test_a_client_in_a_cycle_is_closed_before_it_is_collected() -> None:
    ended: list[bool] = []

    class Client:
        is_closed = False

        def close(self) -> None:
            self.is_closed = True

        def __del__(self) -> None:
            ended.append(self.is_closed)

    cycle: list[Any] = [Client()]  # older than what closes it, so collected first
    cycle.append(ClientPerLoop(functools.partial(cycle.__getitem__, 0), Client.close))
    cycle[1].get()
    del cycle[0]
    del cycle
    gc.collect()
    assert ended == [True]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize(
    "make", [functools.partial(ClientPerLoop, object, id), Turns, VectorCache, Selections]
)
def test_a_lock_that_another_thread_holds_during_a_fork_is_free_in_the_child(make: Any) -> None:
    thing, held, end = make(), threading.Event(), threading.Event()

    def hold() -> None:
        with thing._lock:
            held.set()
            end.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    child = os.fork()
    if child == 0:
        os._exit(0 if thing._lock.acquire(timeout=10) else 1)
    end.set()
    holder.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_retries_never_end_by_a_number_too_large() -> None:
    assert delay(5_000, remaining=60) is not None
    assert delay(5_000, remaining=0.1) is None


def test_the_settings_of_a_postgresql_url_hold(postgres_database_url: str) -> None:
    joint = "&" if "?" in postgres_database_url else "?"
    url = postgres_database_url + joint + "options=-csearch_path%3Dmine&application_name=mine"
    with Memory("n", url=postgres_database_url) as plain:
        plain.set("k", "public")
        engine = PostgresEngine(postgres_database_url)
        with engine._pools.use() as pool:
            pool.open()
            with pool.connection() as connection:
                connection.execute("CREATE SCHEMA mine")
        engine.close()
    with Memory("n", url=url) as memory:
        assert memory.get("k") is None
        memory.set("k", "mine")
        with memory.engine._pools.use() as pool, pool.connection() as connection:  # type: ignore[attr-defined]
            row = connection.execute(
                "SELECT to_regclass('mine.botwire_keys') IS NOT NULL, "
                "current_setting('statement_timeout'), current_setting('application_name')"
            ).fetchone()
    assert row == (True, "10s", "mine")
