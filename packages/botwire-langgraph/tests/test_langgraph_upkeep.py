"""Pruning, deleted threads, delta channels, and the list of threads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.base import BaseCheckpointSaver, empty_checkpoint
from langgraph.graph import END, START, StateGraph

from botwire import ConfigurationError, ConflictError
from botwire_langgraph import BotWireSaver, pruning
from conftest import read_url, running


def extend(state: list[str], writes: list[list[str]]) -> list[str]:
    return [*state, *(word for write in writes for word in write)]


class State(TypedDict):
    """One channel that is stored as its writes."""

    log: Annotated[list[str], DeltaChannel(extend, snapshot_frequency=4)]


@pytest.fixture
def saver(place_url: str, namespace: str) -> BotWireSaver:
    """An empty saver."""
    return BotWireSaver(namespace, url=place_url)


def thread(thread_id: str, **more: Any) -> Any:
    return {"configurable": {"thread_id": thread_id, "checkpoint_ns": "", **more}}


def graph(saver: BotWireSaver) -> Any:
    builder = StateGraph(State)
    builder.add_node("node", lambda state: {"log": [f"saw {len(state['log'])}"]})
    builder.add_edge(START, "node")
    builder.add_edge("node", END)
    return builder.compile(checkpointer=saver)


def test_the_delta_history_is_that_of_the_base_class(saver: BotWireSaver) -> None:
    app = graph(saver)
    for turn in range(9):
        app.invoke({"log": [f"turn {turn}"]}, thread("t"))
    history = list(saver.list(thread("t")))
    seeded = 0
    for found in history:
        ours = saver.get_delta_channel_history(config=found.config, channels=["log", "other"])
        base = BaseCheckpointSaver.get_delta_channel_history(
            saver, config=found.config, channels=["log", "other"]
        )
        assert ours == base
        seeded += "seed" in ours["log"]
    assert 0 < seeded < len(history)


def test_a_thread_longer_than_a_request_is_copied_and_pruned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, namespace: str
) -> None:
    monkeypatch.setattr(pruning, "_PART", 10)
    with running(tmp_path / "memory.db", "--max-batch", "25") as process:
        saver = BotWireSaver(namespace, url=read_url(process))
        app = graph(saver)
        for turn in range(15):
            app.invoke({"log": [f"turn {turn}"]}, thread("t"))
        state = app.get_state(thread("t")).values
        history = len(list(saver.list(thread("t"))))
        saver.copy_thread("t", "copy")
        assert len(list(saver.list(thread("copy")))) == history
        saver.prune(["t"])
        assert app.get_state(thread("t")).values == state
        assert len(list(saver.list(thread("t")))) < 10
        app.invoke({"log": ["more"]}, thread("t"))
        assert app.get_state(thread("copy")).values == state
        saver.prune(["copy"], strategy="delete")
        assert not list(saver.list(thread("copy")))
        process.terminate()


def test_pruning_keeps_what_delta_channels_need(saver: BotWireSaver) -> None:
    app = graph(saver)
    for turn in range(7):
        app.invoke({"log": [f"turn {turn}"]}, thread("t"))
    before = app.get_state(thread("t")).values
    count = saver.connection.memory.count()
    saver.prune(["t", "nowhere"])
    assert app.get_state(thread("t")).values == before
    assert saver.connection.memory.count() < count / 2
    app.invoke({"log": ["more"]}, thread("t"))
    assert app.get_state(thread("t")).values["log"][: len(before["log"])] == before["log"]


def test_an_unknown_strategy_is_refused(saver: BotWireSaver) -> None:
    with pytest.raises(ConfigurationError, match="keep_latest"):
        saver.prune(["t"], strategy="most")


@pytest.mark.parametrize("how", ["delete_thread", "prune"])
def test_a_late_put_does_not_bring_a_thread_back(saver: BotWireSaver, how: str) -> None:
    put = saver.put(thread("t"), empty_checkpoint(), {}, {})
    if how == "prune":
        saver.prune(["t"], strategy="delete")
    else:
        saver.delete_thread("t")
    with pytest.raises(ConflictError, match="deleted"):
        saver.put(put, empty_checkpoint(), {}, {})
    with pytest.raises(ConflictError, match="deleted"):
        saver.put_writes(put, [("log", 1)], "task")
    assert saver.list_threads() == []
    assert saver.connection.memory.list_keys("writes/") == []
    # A new conversation may have the same id.
    again = saver.put(thread("t"), empty_checkpoint(), {}, {})
    saver.put_writes(again, [("log", 1)], "task")
    saver.put_writes(again, [("log", 2)], "task")
    found = saver.get_tuple(saver.put(again, empty_checkpoint(), {}, {}))
    assert found is not None
    kept = saver.get_tuple(again)
    assert kept is not None
    assert kept.pending_writes == [("task", "log", 1)]


@pytest.mark.anyio
async def test_threads_are_listed(saver: BotWireSaver) -> None:
    names = ["user-1", "user/2", "user-~3", "üser", "x" * 300]
    for name in names:
        for _ in range(3):
            await saver.aput(thread(name), empty_checkpoint(), {}, {})
    assert saver.list_threads() == sorted(names)
    assert await saver.alist_threads("user") == ["user-1", "user-~3", "user/2"]
    assert saver.list_threads("x" * 250) == ["x" * 300]
    assert saver.list_threads("ü", limit=5) == ["üser"]
    assert len(saver.list_threads(limit=2)) == 2
