"""Interrupted writes: Ctrl-C at any moment, and signal handlers and finalizers that write."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from botwire import AsyncMemory, ConflictError, Memory
from botwire import operations as ops
from botwire.engines.sqlite import MEMORY, SQLiteEngine
from botwire.names import SYSTEM_NAMESPACE
from tests.interrupts import Stop, cutting_in

HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
connection.execute("ROLLBACK")
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A path for a database."""
    return tmp_path / "memory.db"


def may_write(path: Path) -> bool:
    """Returns whether another connection gets the lock at once."""
    with contextlib.closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as raw:
        try:
            raw.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        raw.execute("ROLLBACK")
    return True


# An interrupt right after a connection was opened leaves it to the garbage collector.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <botwire.engines.sqlite.file._Opening")
@pytest.mark.parametrize("several", [False, True])
def test_an_interrupt_at_any_moment_of_a_write_leaves_all_usable(path: Path, several: bool) -> None:
    engine = SQLiteEngine(path)
    memory = Memory("n", engine=engine)
    memory.set("k", 0)

    def write() -> None:
        if several:
            with memory.transaction() as tx:
                tx.set("k", moment)
                tx.history("h").append(moment)
        else:
            memory.increment("k")

    def interrupt() -> None:
        raise Stop

    stored = known = interrupts = 0
    moment = 0
    while True:
        moment += 1
        try:
            with cutting_in(moment, interrupt) as count:
                write()
            if count[0] < moment:
                break
        except Stop:
            interrupts += 1
        assert may_write(path), moment
        stored = memory.history("h").count() if several else memory.get("k")
        # It may or may not have been written, but earlier writes are there exactly once.
        assert stored in (known, known + 1), moment
        known = stored
    assert interrupts > 50
    write()


@pytest.mark.filterwarnings("ignore:Exception ignored in. <botwire.engines.sqlite.file._Opening")
def test_an_interrupt_at_any_moment_of_an_opening_leaves_it_to_the_next_call(
    tmp_path: Path,
) -> None:
    def interrupt() -> None:
        raise Stop

    interrupts = moment = 0
    while interrupts == moment:
        moment += 1
        path = tmp_path / f"{moment}.db"
        engine = SQLiteEngine(path)
        memory = Memory("n", engine=engine)
        try:
            with cutting_in(moment, interrupt, within="sqlite/file.py"):
                memory.get("k")
        except Stop:  # whose traceback holds what the opening had
            interrupts += 1
            assert not path.exists() or may_write(path)
        memory.set("k", moment)
        assert memory.get("k") == moment
        engine.close()
    assert interrupts > 50


def test_a_call_that_cuts_in_at_any_moment_of_a_write_is_a_write_too(path: Path) -> None:
    memory = Memory("n", engine=SQLiteEngine(path))
    memory.set_many({"k": 0, "inner": 0})
    moment = calls = 0
    while True:
        moment += 1
        with cutting_in(moment, lambda: memory.increment("inner")) as count:
            memory.increment("k")
        if count[0] < moment:
            break
        calls += 1
        assert memory.get_many(["k", "inner"]) == {"k": moment, "inner": moment}
        assert may_write(path), moment
    assert calls > 50


def test_a_call_that_cuts_in_works_in_memory_too() -> None:
    memory = Memory("n", engine=SQLiteEngine(MEMORY))
    memory.set_many({"k": 0, "inner": 0})
    for moment in range(1, 60):
        with cutting_in(moment, lambda: memory.increment("inner")):
            memory.increment("k")
        assert memory.get_many(["k", "inner"]) == {"k": moment, "inner": moment}


def test_a_call_that_cuts_in_is_kept_when_what_it_interrupts_fails(path: Path) -> None:
    memory = Memory("n", engine=SQLiteEngine(path))
    memory.set_many({"k": 0, "inner": 0})
    for moment in range(1, 60):
        with (
            pytest.raises(ConflictError),
            cutting_in(moment, lambda: memory.increment("inner")),
        ):
            memory.set("k", 1, if_version=10_000)
        assert memory.get("inner") == moment


def test_interrupts_of_the_main_thread_do_not_touch_the_writes_of_others(path: Path) -> None:
    memory = Memory("n", url=f"sqlite:///{path}")
    acknowledged, failed = [0, 0, 0], []
    done = threading.Event()

    def work(i: int) -> None:
        while not done.is_set():
            try:
                memory.increment(f"t{i}")
                acknowledged[i] += 1
            except Exception as error:  # noqa: BLE001 - shown below
                failed.append(error)

    armed = False

    def handler(*_: Any) -> None:
        nonlocal armed
        if armed:
            armed = False
            raise Stop

    def write_until_interrupted() -> None:
        # A function, as a loop inside `try` may leave it without its `finally`; see
        # `engines/sqlite/writer.py`.
        while armed:
            memory.increment("main")

    previous = signal.signal(signal.SIGALRM, handler)
    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    interrupts = 0
    deadline = time.monotonic() + 4
    try:
        while time.monotonic() < deadline:
            try:
                armed = True
                signal.setitimer(signal.ITIMER_REAL, 0.0005 + 0.002 * (interrupts % 7) / 7)
                write_until_interrupted()
            except Stop:
                interrupts += 1
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
        done.set()
        for thread in threads:
            thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert not failed
    assert [memory.get(f"t{i}", 0) for i in range(3)] == acknowledged
    assert interrupts > 100


def compact(memory: Memory) -> None:
    memory.engine.apply(ops.Batch(SYSTEM_NAMESPACE, (ops.CompactStore(),)))


def write(memory: Memory) -> None:
    memory.set("k", 2)


@pytest.mark.parametrize("wait", [write, compact])
def test_ctrl_c_ends_the_wait_for_another_process_at_once(
    path: Path, wait: Callable[[Memory], object]
) -> None:
    memory = Memory("n", url=f"sqlite:///{path}")
    memory.set("k", 1)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        holder.stdout.readline()
        # If the wait does not end by itself, it ends with the lock.
        watchdog = threading.Timer(20, holder.stdin.close)
        watchdog.start()
        previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with pytest.raises(KeyboardInterrupt):
                wait(memory)
            # The other one still holds the lock: its transaction has not ended.
            assert not may_write(path)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
            watchdog.cancel()
            holder.stdin.close()
            holder.wait(30)
    assert may_write(path)
    memory.set("k", 3)
    assert memory.get("k") == 3


def test_a_signal_handler_saves_while_the_program_writes(path: Path) -> None:
    memory = Memory("n", url=f"sqlite:///{path}")
    memory.set("handled", 0)
    handled = 0

    def save(*_: Any) -> None:
        nonlocal handled
        memory.increment("handled")
        handled += 1

    previous = signal.signal(signal.SIGUSR1, save)
    try:
        pid = os.getpid()
        for i in range(300):
            threading.Timer(0, os.kill, (pid, signal.SIGUSR1)).start()
            memory.increment("k")
            memory.history("h").append(i)
    finally:
        signal.signal(signal.SIGUSR1, previous)
    assert handled > 100
    assert memory.get_many(["handled", "k"]) == {"handled": handled, "k": 300}
    assert memory.history("h").count() == 300


def test_a_finalizer_writes_in_the_middle_of_a_write(path: Path) -> None:
    memory = Memory("n", url=f"sqlite:///{path}")

    class Agent:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            memory.increment("finalized")

    threshold = gc.get_threshold()
    gc.set_threshold(50)
    try:
        for i in range(300):
            Agent()
            memory.set("k", {"a": [i] * 10})
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    assert memory.get("finalized") == 300


async def test_cancelled_tasks_do_not_touch_the_writes_of_others(path: Path) -> None:
    memory = AsyncMemory("n", url=f"sqlite:///{path}")
    kept = 0

    async def stay() -> None:
        nonlocal kept
        await memory.increment("stay")
        kept += 1

    for round_ in range(40):
        cancelled = [asyncio.create_task(memory.increment("cancelled")) for _ in range(5)]
        staying = [asyncio.create_task(stay()) for _ in range(5)]
        for _ in range(round_ % 4):
            await asyncio.sleep(0)
        for task in cancelled:
            task.cancel()
        await asyncio.gather(*staying)
    assert await memory.get("stay") == kept == 200
    assert await memory.get("cancelled", 0) <= 200
    await memory.aclose()


_FORKS = """
import os, sys, threading
from botwire import Memory

memory = Memory("n", url=sys.argv[1])
over = threading.Event()


def write(name):
    while not over.is_set():
        memory.history(name).append("again")


threads = [threading.Thread(target=write, args=(name,)) for name in "ab"]
for thread in threads:
    thread.start()
children = []
for number in range(16):
    child = os.fork()
    if not child:
        memory.increment("children")
        os._exit(0)
    children.append(child)
failed = [child for child in children if os.waitpid(child, 0)[1]]
over.set()
for thread in threads:
    thread.join()
print(len(failed), memory.get("children"))
"""


def test_children_forked_beside_busy_threads_can_write(path: Path) -> None:
    # In most forks another thread is in a transaction; a child used to wait forever for its lock.
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _FORKS, f"sqlite:///{path}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert (done.stdout.split(), done.stderr) == (["0", "16"], "")
