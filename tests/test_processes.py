"""Several processes at once, wherever memory lives."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from botwire import Memory
from tests.zygote import zygote_of

WRITER = """
import sys
from botwire import Memory
from tests.zygote import zygote_of

memory = Memory(sys.argv[2], url=sys.argv[1], timeout=60)
history = memory.history("h")
for i in range(int(sys.argv[4])):
    history.extend([[sys.argv[3], i, part] for part in range(3)])
    memory.increment("n")
    memory.increment("n")
"""


# A hundred batches each were tried at every place; over HTTP the suite has time for a few.
@pytest.mark.parametrize(
    ("shared_url", "rounds"),
    [("embedded", 100), ("postgres", 20), ("http", 20)],
    indirect=["shared_url"],
)
def test_eight_processes_lose_nothing_and_keep_one_order(
    shared_url: str, rounds: int, namespace: str
) -> None:
    zygote = zygote_of("botwire")
    memory = Memory(namespace, url=shared_url)
    history = memory.history("h")
    seen: list[Any] = []
    with contextlib.ExitStack() as started:
        writers = [
            started.enter_context(zygote.start(WRITER, shared_url, namespace, str(i), str(rounds)))
            for i in range(8)
        ]
        for writer in writers:
            while writer.poll() is None:
                # A reader that returns finds everything new after what it knows, and nothing older.
                seen += history.read(after=seen[-1].seq if seen else 0)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    writer.wait(0.2)
            assert (writer.returncode, writer.stderr) == (0, "")
    items = history.read()
    assert items[: len(seen)] == seen
    assert list(reversed(history)) == items[::-1]
    assert [item.seq for item in items] == list(range(1, 24 * rounds + 1))
    for start in range(0, 24 * rounds, 3):
        batch = [item.value for item in items[start : start + 3]]
        assert [part for _, _, part in batch] == [0, 1, 2]
        assert len({(who, i) for who, i, _ in batch}) == 1
    for who in map(str, range(8)):
        assert [i for w, i, part in (item.value for item in items) if w == who and part == 0] == (
            list(range(rounds))
        )
    assert memory.get("n") == 16 * rounds
    memory.close()


def _in_child(memory: Memory, connection: Any) -> None:
    memory.history("h").append("child")
    connection.send((memory.get("k"), memory.history("h").tail(9)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forking is for POSIX")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_process_works_with_connections_of_its_own(
    shared_url: str, namespace: str
) -> None:
    memory = Memory(namespace, url=shared_url)
    memory.set("k", 1)
    memory.get("k")
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=_in_child, args=(memory, theirs))
    child.start()
    assert ours.poll(30)
    assert ours.recv() == (1, ["child"])
    child.join(30)
    assert child.exitcode == 0
    memory.history("h").append("parent")
    assert memory.history("h").tail(9) == ["child", "parent"]
    memory.close()


def test_forty_thousand_keys_are_listed_and_items_read_both_ways(
    tmp_path: Path, namespace: str
) -> None:
    # The pages are the same everywhere; places/test_memory.py turns them wherever memory lives.
    count, at_once = 40_000, 20_000  # more than SQLite accepts parameters
    with Memory(namespace, url=f"sqlite:///{tmp_path / 'memory.db'}") as memory:
        names = [f"key/{i:06}" for i in range(count)]
        history = memory.history("h")
        for start in range(0, count, at_once):
            memory.set_many(dict.fromkeys(names[start : start + at_once], 0))
            history.extend(range(start, start + at_once))
        assert memory.list_keys() == names
        assert memory.list_keys("key/03999*") == names[39_990:]
        assert memory.count() == count
        assert [item.value for item in history.read()] == list(range(count))
        assert [item.value for item in reversed(history)] == list(range(count - 1, -1, -1))
        assert history.tail(3) == [count - 3, count - 2, count - 1]
