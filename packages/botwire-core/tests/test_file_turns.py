"""Processes that write to one file take turns, whatever becomes of those who have one."""

from __future__ import annotations

import fcntl
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from botwire import Memory
from botwire import operations as ops
from botwire.engines.sqlite import SQLiteEngine, turns
from botwire.engines.sqlite.turns import FileTurns
from botwire.exact import Json

HOLDER = """
import fcntl, os, sys
file = os.open(sys.argv[1], os.O_RDONLY)
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "memory.db"
    path.touch(0o640)
    return path


@pytest.fixture
def ours(database: Path) -> FileTurns:
    return FileTurns(str(database))


@pytest.fixture
def theirs(database: Path, ours: FileTurns) -> Iterator[FileTurns]:
    """A process that has its turn."""
    theirs = FileTurns(str(database))
    theirs.take()
    yield theirs
    theirs.give_back()


def file_of(database: Path) -> Path:
    return database.with_name(database.name + "-turns")


def holder(database: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(file_of(database))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_turn_is_waited_for(ours: FileTurns, theirs: FileTurns) -> None:
    assert not ours.try_to_take()
    with ThreadPoolExecutor(1) as thread:
        taken = thread.submit(ours.take)
        theirs.give_back()
        taken.result()
    assert not theirs.try_to_take()
    ours.give_back()
    assert theirs.try_to_take()


def test_a_process_that_is_killed_loses_its_turn(
    database: Path, ours: FileTurns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "_LONGEST_WAIT", 600)
    ours.take()
    ours.give_back()
    with holder(database) as process, ThreadPoolExecutor(1) as thread:
        assert not ours.try_to_take()
        taken = thread.submit(ours.take)
        process.kill()
        taken.result()


def test_a_turn_that_does_not_come_is_not_needed(
    database: Path, theirs: FileTurns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "_LONGEST_WAIT", 0.01)
    with Memory("n", url=f"sqlite:///{database}") as memory:
        for i in range(3):
            memory.set("k", i)
        assert memory.get("k") == 2
    theirs.give_back()
    while not theirs.try_to_take():  # what was waited for is given back once it comes
        time.sleep(0.001)


def test_a_child_does_not_end_the_turn_of_its_parent(ours: FileTurns, theirs: FileTurns) -> None:
    child = os.fork()
    if child == 0:
        theirs.forget()
        os._exit(0)
    os.waitpid(child, 0)
    assert not ours.try_to_take()


def test_closing_gives_the_turn_back(ours: FileTurns, theirs: FileTurns) -> None:
    theirs.forget()
    assert ours.try_to_take()
    ours.give_back()


def test_a_turn_lasts_for_further_transactions(
    ours: FileTurns, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not ours.lasts
    ours.take()
    ours.give_back()
    monkeypatch.setattr(turns, "_TURN_SECONDS", 600)
    assert ours.lasts


def test_a_folder_without_room_for_the_file_needs_no_turns(tmp_path: Path) -> None:
    ours = FileTurns(str(tmp_path / "missing" / "memory.db"))
    ours.take()
    assert ours.try_to_take()
    ours.give_back()


def test_a_file_system_without_such_locks_needs_no_turns(
    ours: FileTurns, theirs: FileTurns, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", refuse)
        assert ours.try_to_take()
        ours.give_back()


def test_the_file_exists_once_two_have_met_and_has_the_rights_of_the_database(
    tmp_path: Path,
) -> None:
    path = tmp_path / "memory.db"
    engines = [SQLiteEngine(path) for _ in range(2)]
    batch = ops.Batch("n", (ops.ExtendHistory("h", (Json.of(1),)),))
    for engine in engines:
        engine.apply(batch)
    path.chmod(0o660)
    assert not file_of(path).exists()
    with ThreadPoolExecutor(2) as threads:
        while not file_of(path).exists():
            list(threads.map(lambda engine: engine.apply(batch), engines))
    assert stat.S_IMODE(file_of(path).stat().st_mode) == 0o660
    assert file_of(path).stat().st_size == 0
    for engine in engines:
        engine.close()


def test_ctrl_c_ends_a_wait_for_a_turn(
    database: Path, theirs: FileTurns, ours: FileTurns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "_LONGEST_WAIT", 600)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with Memory("n", url=f"sqlite:///{database}") as memory:
            strike = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1))
            strike.start()
            with pytest.raises(KeyboardInterrupt):
                memory.set("k", 1)
            theirs.give_back()
            memory.set("k", 2)
            assert memory.get("k") == 2
    finally:
        signal.signal(signal.SIGUSR1, before)
