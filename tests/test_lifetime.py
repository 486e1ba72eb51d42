"""Beginnings and ends: closing while others are at work, the end of the interpreter, forks."""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from botwire import AsyncMemory, Memory, Record
from botwire.engines.loops import ClientPerLoop, no_fork
from botwire.engines.postgres._sync.pool import PostgresPool

AT_EXIT = """
import asyncio, atexit, sys
from botwire import AsyncMemory

memory = AsyncMemory("n", url=sys.argv[1])

async def end():
    await memory.records().put([Record("how it ended")])
    await memory.set("ended", "x" * 200_000)
    print(len(await memory.get("ended")), await memory.records().count(), await memory.clear())
    await memory.aclose()

from botwire import Record
atexit.register(lambda: asyncio.run(end()))
"""


INTERRUPTED = """
import random, signal, sys, threading
from botwire import Memory

class Stop(BaseException): ...

def strike(*_):
    if armed:
        raise Stop

def work():
    for _ in range(150):
        memory.increment("n")

memory, armed = Memory(sys.argv[2], url=sys.argv[1], timeout=60), False
memory.set("n", 0)
signal.signal(signal.SIGALRM, strike)
threads = [threading.Thread(target=work, daemon=True) for _ in range(3)]
for one in threads:
    one.start()
while any(one.is_alive() for one in threads):
    try:
        armed = True
        # Twice: struck in the middle of its locking, psycopg's pool waits for itself.
        signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0005, 0.003), 0.2)
        while True:
            memory.increment("main")
    except Stop:
        armed = False
print(memory.get("n"))
"""


STRUCK_AT_EACH_MOMENT = """
import itertools, sys, threading
from botwire import Memory
from tests.interrupts import Stop, cutting_in

def interrupt():
    others.append(threading.Thread(target=memory.increment, args=("n",), daemon=True))
    others[-1].start()
    others[-1].join(0.05)  # so that it waits for what the interrupted call holds
    raise Stop

def make():
    return Memory(sys.argv[2], url=sys.argv[1], timeout=600)

is_first = sys.argv[3] == "first"  # over HTTP; further calls use a channel
memory, others = make(), []
for moment in itertools.count(1):
    if is_first:
        memory.close()
        memory = make()
    else:
        for _ in range(3):
            memory.increment("main")
    try:
        with cutting_in(moment, interrupt) as count:
            memory.increment("main")
            if is_first:
                memory.increment("main")  # opens a channel behind it
    except Stop:
        others[-1].join(60)
        if others[-1].is_alive():
            sys.exit(f"a thread hangs, after an interrupt at moment {moment}")
    else:
        if count[0] < moment:
            break  # otherwise a finalizer was struck, which tells nobody
print(len(others) > 50, len(others) - memory.get("n"))
"""


@pytest.mark.parametrize("calls", ["first", "further"])
def test_an_interrupt_at_any_moment_stops_no_other_thread(
    server_url: str, namespace: str, calls: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", STRUCK_AT_EACH_MOMENT, server_url, namespace, calls],
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.stdout == "True 0\n", done.stderr


def test_interrupts_of_the_main_thread_stop_no_other_thread(
    postgres_url: str, namespace: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", INTERRUPTED, postgres_url, namespace],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == "450\n", done.stderr


def test_an_interrupted_client_is_dropped_and_that_of_other_threads_is_not() -> None:
    abandoned: list[object] = []
    clients = ClientPerLoop(object, abandoned.append, abandon=abandoned.append)
    with ThreadPoolExecutor(1) as threads:
        theirs = threads.submit(clients.get).result()
        for error in (KeyboardInterrupt(), RuntimeError("release unlocked lock")):
            error.__context__ = KeyboardInterrupt()
            ours = clients.get()
            assert ours is not theirs
            with pytest.raises(KeyboardInterrupt), clients.use():
                raise error
            assert abandoned.pop() is ours
            assert clients.get() is not ours
        assert threads.submit(clients.get).result() is theirs


class AlarmError(Exception):
    """What a signal handler raises."""


def strike() -> None:
    raise AlarmError


def test_whatever_a_signal_handler_raises_is_an_interrupt() -> None:
    clients = ClientPerLoop(object, id, expected=(LookupError,))
    for error, is_dropped in ((AlarmError(), True), (KeyError(), False)):
        ours = clients.get()
        with pytest.raises(type(error)), clients.use():
            raise error
        assert (clients.get() is not ours) == is_dropped


def test_an_alarm_while_the_first_connection_opens(
    postgres_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Memory(namespace, url=postgres_url) as memory:
        with monkeypatch.context() as alarm:
            alarm.setattr(PostgresPool, "_start_workers", lambda _: strike())
            with pytest.raises(AlarmError):
                memory.set("k", 1)
        memory.set("k", 2)
        assert memory.get("k") == 2


def test_a_second_interrupt_keeps_no_client_from_being_abandoned() -> None:
    abandoned: list[object] = []

    def abandon(client: object) -> None:
        abandoned.append(client)
        if len(abandoned) == 1:
            raise KeyboardInterrupt

    clients = ClientPerLoop(object, id, abandon=abandon)
    ours = clients.get()
    with pytest.raises(KeyboardInterrupt), clients.use():
        raise KeyboardInterrupt
    assert abandoned == [ours, ours]
    assert clients.get() is not ours


def test_an_interrupt_waits_for_no_client_to_close() -> None:
    is_over, closed = threading.Event(), queue.SimpleQueue[object]()

    def close(client: object) -> None:
        assert is_over.wait(60)
        closed.put(client)

    clients = ClientPerLoop(object, close, abandon=id)
    ours = clients.get()
    with pytest.raises(KeyboardInterrupt), clients.use():
        raise KeyboardInterrupt
    is_over.set()
    assert closed.get(timeout=60) is ours


def test_a_pool_whose_borrower_was_interrupted_closes(postgres_url: str) -> None:
    pool = PostgresPool(postgres_url, timeout=60)
    with pool.lend(60) as connection:
        pool.abandon()
        assert connection.closed
        pool.close()
        assert pool.closed


def test_an_error_while_an_interrupt_is_handled_is_none() -> None:
    clients = ClientPerLoop(object, id)
    try:
        raise KeyboardInterrupt  # noqa: TRY301 - by the caller's own code
    except KeyboardInterrupt:
        ours = clients.get()
        with pytest.raises(LookupError), clients.use():
            raise LookupError from None
        assert clients.get() is ours


# httpx drops sockets of requests in flight with a warning, and the requests are repeated.
STORES = pytest.mark.parametrize("shared_url", ["embedded", "postgres"], indirect=True)


@STORES
async def test_closing_fails_no_call_of_another_task(shared_url: str, namespace: str) -> None:
    memory = AsyncMemory(namespace, url=shared_url)
    await memory.set_many({f"k{i}": i for i in range(2_000)})
    await memory.records().put([Record("a cup of tea", id=str(i)) for i in range(50)])
    for turns in range(4):
        calls = [
            asyncio.create_task(call)
            for _ in range(20)
            for call in (memory.list_keys(), memory.records().search(text="tea"))
        ]
        writes = [asyncio.create_task(memory.increment("n")) for _ in range(20)]
        for _ in range(turns):
            await asyncio.sleep(0)
        await memory.aclose()
        assert all(await asyncio.gather(*calls))
        assert len(set(await asyncio.gather(*writes))) == 20
    assert await memory.get("n") == 80
    await memory.aclose()


@STORES
def test_closing_fails_no_call_of_another_thread(shared_url: str, namespace: str) -> None:
    memory = Memory(namespace, url=shared_url)
    memory.set("n", 0)
    with ThreadPoolExecutor(8) as threads:
        calls = [threads.submit(memory.increment, "n") for _ in range(100)]
        for call in calls[::10]:
            memory.close()
            call.result()
        assert sorted(call.result() for call in calls) == list(range(1, 101))
    memory.close()


def test_an_asynchronous_memory_works_while_the_interpreter_ends(any_url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", AT_EXIT, any_url],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.stdout, done.stderr) == ("200000 1 1\n", "")


def test_a_fork_waits_for_a_module_that_another_thread_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "imported_slowly.py").write_text(
        "import threading\nfor one in threading.enumerate():\n"
        "    getattr(one, 'during_import', lambda: None)()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    begun, end = threading.Event(), threading.Event()

    class Importing(threading.Thread):
        def during_import(self) -> None:
            begun.set()
            end.wait()

        def run(self) -> None:
            with no_fork:
                __import__("imported_slowly")

    importing = Importing()
    importing.start()
    begun.wait()
    later = threading.Timer(0.3, end.set)
    later.start()
    child = os.fork()
    if child == 0:
        signal.alarm(30)  # ends a child that waits for ever
        __import__("imported_slowly")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    importing.join()
    later.join()
