"""Concurrent runs on one thread: none is lost silently."""

from __future__ import annotations

import asyncio
from contextvars import Context, copy_context
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

from botwire import ConfigurationError
from botwire_langgraph import BotWireSaver, ConcurrentRunError
from tests.zygote import Zygote


def add(old: list[Any], new: list[Any]) -> list[Any]:
    return [*old, *new]


class State(TypedDict):
    """The state of the graph."""

    log: Annotated[list[Any], add]


@pytest.fixture
def saver(place_url: str, namespace: str) -> BotWireSaver:
    """An empty saver whose runs never block others."""
    return BotWireSaver(namespace, url=place_url, lease=0)


THREAD: Any = {"configurable": {"thread_id": "t"}}


def graph(saver: BotWireSaver, node: Any) -> Any:
    builder = StateGraph(State)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    builder.add_edge("node", END)
    return builder.compile(checkpointer=saver)


def quick(state: State) -> State:
    return {"log": [f"saw {len(state['log'])}"]}


# A run inside a node would be part of that run, so rivals have contexts of their own.


def other(saver: BotWireSaver, place_url: str, **more: Any) -> BotWireSaver:
    """Returns a saver for the same threads, as in another process."""
    return BotWireSaver(saver.connection.namespace, url=place_url, **more)


def test_who_comes_first_finishes(place_url: str, namespace: str) -> None:
    """Otherwise two slow runs that are retried would overtake each other forever."""

    def slow(state: State) -> State:
        with pytest.raises(ConcurrentRunError, match="another run"):
            Context().run(rival.invoke, {"log": ["rival"]}, THREAD, durability="sync")
        return quick(state)

    saver = BotWireSaver(namespace, url=place_url, lease=600)
    rival = graph(BotWireSaver(namespace, url=place_url, lease=600), quick)
    for turn in range(2):
        done = graph(saver, slow).invoke({"log": [f"{turn}"]}, THREAD, durability="sync")
        assert "rival" not in done["log"]
        # A run that returned, was interrupted or failed blocks no other run.
        rival.invoke({"log": ["between"]}, THREAD)

    def asks(state: State) -> State:
        return {"log": [interrupt("well?")]}

    def fails(state: State) -> State:
        raise ZeroDivisionError

    graph(saver, asks).invoke({"log": ["asks"]}, THREAD)
    rival.invoke({"log": ["instead"]}, THREAD)
    with pytest.raises(ZeroDivisionError):
        graph(saver, fails).invoke({"log": ["fails"]}, THREAD)
    assert rival.invoke({"log": ["instead"]}, THREAD)["log"][-2] == "instead"
    assert saver.connection.memory.list_keys("busy/") == []


def test_who_was_overtaken_is_told(saver: BotWireSaver, place_url: str) -> None:
    def slow(state: State) -> State:
        if "slow" in state["log"][-1]:
            Context().run(overtaker.invoke, {"log": ["quick"]}, THREAD)
        return quick(state)

    overtaker = graph(other(saver, place_url, lease=0), quick)
    for begun in (False, True):  # on an empty thread, and on one with a past
        with pytest.raises(ConcurrentRunError, match=r"thread 't'.*again"):
            graph(saver, slow).invoke({"log": [f"slow {begun}"]}, THREAD, durability="sync")
    # Everything acknowledged is there, and the rest can be repeated.
    assert graph(saver, quick).get_state(THREAD).values["log"].count("quick") == 2
    after = graph(saver, quick).invoke({"log": ["again"]}, THREAD)
    assert after["log"].count("quick") == 2
    assert after["log"][-2] == "again"


@pytest.mark.anyio
async def test_the_awaited_half_tells_too(saver: BotWireSaver, place_url: str) -> None:
    async def slow(state: State) -> State:
        if state["log"][-1] == "slow":
            rival = graph(other(saver, place_url), quick).ainvoke({"log": ["quick"]}, THREAD)
            await asyncio.create_task(rival, context=Context())
        return quick(state)

    with pytest.raises(ConcurrentRunError):
        await graph(saver, slow).ainvoke({"log": ["slow"]}, THREAD, durability="sync")
    assert "quick" in (await graph(saver, slow).aget_state(THREAD)).values["log"]


def test_of_two_first_turns_one_is_told(saver: BotWireSaver, place_url: str) -> None:
    rival = other(saver, place_url)
    assert saver.get_tuple(THREAD) is rival.get_tuple(THREAD) is None
    config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    saver.put(config, empty_checkpoint(), {}, {})
    with pytest.raises(ConcurrentRunError):
        rival.put(config, empty_checkpoint(), {}, {})


def test_a_rival_who_looks_at_an_old_checkpoint_is_told_all_the_same(
    saver: BotWireSaver, place_url: str
) -> None:
    """A page that shows the past must not open the fence for a run of the same process."""
    app = graph(saver, quick)
    app.invoke({"log": ["one"]}, THREAD)
    head = app.get_state(THREAD).config
    read = saver.get_tuple(THREAD)
    assert read is not None
    graph(other(saver, place_url), quick).invoke({"log": ["two"]}, THREAD)
    copy_context().run(app.get_state, head)
    with pytest.raises(ConcurrentRunError):
        saver.put(read.config, empty_checkpoint(), {}, {})


def test_time_travel_is_no_conflict(saver: BotWireSaver, place_url: str) -> None:
    def asks(state: State) -> State:
        return {"log": [interrupt("well?")]}

    def travel(checkpointer: Any) -> list[Any]:
        app = graph(checkpointer, asks)
        app.invoke({"log": ["in"]}, THREAD)
        past = app.get_state(THREAD).config
        said = [app.invoke(Command(resume="one"), THREAD)["log"]]
        # Resumed, continued and changed, each from a checkpoint that has children.
        said += [app.invoke(Command(resume="two"), past)["log"]]
        said += [app.invoke({"log": ["other"]}, past)["log"]]
        said += [app.invoke(Command(resume="three"), THREAD)["log"]]
        app.update_state(past, {"log": ["by hand"]})
        said += [app.invoke({"log": ["after"]}, THREAD)["log"]]
        app.update_state(past, None, as_node="__copy__")
        return [*said, app.get_state(THREAD).values["log"]]

    expected = travel(InMemorySaver())
    assert expected[3:] == [["in", "other", "three"], ["in", "by hand", "after"], ["in"]]
    assert travel(saver) == expected
    saver.delete_thread("t")
    assert travel(other(saver, place_url)) == expected


def test_forks_are_allowed_where_they_are_wanted(saver: BotWireSaver, place_url: str) -> None:
    def slow(state: State) -> State:
        Context().run(graph(rival, quick).invoke, {"log": ["quick"]}, THREAD)
        return quick(state)

    forking = other(saver, place_url, on_conflict="fork")
    rival = other(saver, place_url, on_conflict="fork")
    graph(forking, slow).invoke({"log": ["slow"]}, THREAD, durability="sync")
    app = graph(saver, quick)
    logs = [state.values.get("log") for state in app.get_state_history(THREAD)]
    assert logs[0] == ["slow", "saw 1"]
    assert ["slow", "quick", "saw 2"] in logs
    with pytest.raises(ConfigurationError, match="on_conflict"):
        BotWireSaver(on_conflict="merge")  # type: ignore[arg-type]


def test_a_step_of_a_clock_that_is_behind_is_the_latest_all_the_same(
    saver: BotWireSaver, place_url: str
) -> None:
    """Ids are derived from the time, so the greatest may not be that of the last step."""
    config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    first, second, last = empty_checkpoint(), empty_checkpoint(), empty_checkpoint()
    ahead = saver.put(config, last, {}, {})
    head = saver.put(ahead, first, {}, {})
    for reader in (saver, other(saver, place_url)):
        found = reader.get_tuple(THREAD)
        assert found is not None
        assert found.checkpoint["id"] == first["id"]
        assert found.parent_config == ahead
    with pytest.raises(ConcurrentRunError):
        other(saver, place_url).put(ahead, empty_checkpoint(), {}, {})
    saver.put(head, second, {}, {})
    saver.prune(["t"])
    found = other(saver, place_url).get_tuple(THREAD)
    assert found is not None
    assert found.checkpoint["id"] == second["id"]
    # Once the clocks agree again, the greatest id is the latest again.
    newest = saver.put(found.config, empty_checkpoint(), {}, {})
    assert other(saver, place_url).get_tuple(THREAD) is not None
    assert [one.config for one in saver.list(THREAD, limit=1)] == [newest]


WRITERS = """
import os, random, sys, time
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.graph import END, START, MessagesState, StateGraph

from botwire_langgraph import BotWireSaver, ConcurrentRunError

url, namespace = sys.argv[1:]


def write(who):
    builder = StateGraph(MessagesState)
    builder.add_node("answer", lambda state: {"messages": [AIMessage("noted")]})
    builder.add_edge(START, "answer")
    builder.add_edge("answer", END)
    app = builder.compile(checkpointer=BotWireSaver(namespace, url=url))
    source = random.Random(who)
    for turn in range(5):
        message = HumanMessage("hi", id=f"{who}-{turn}")
        wait = 0.1
        while True:
            try:
                app.invoke({"messages": [message]}, {"configurable": {"thread_id": "t"}})
                break
            except ConcurrentRunError:
                time.sleep(source.random() * wait)  # as long as a turn takes, and longer
                wait = min(wait * 2, 1)


children = []
for who in range(8):
    child = os.fork()
    if not child:
        write(who)
        os._exit(0)
    children.append(child)
for child in children:
    assert os.waitpid(child, 0)[1] == 0
"""


def test_eight_processes_lose_no_turn(zygote: Zygote, place_url: str, namespace: str) -> None:
    assert zygote.run(WRITERS, place_url, namespace) == 0
    found = BotWireSaver(namespace, url=place_url).get_tuple(THREAD)
    assert found is not None
    ids = [message.id for message in found.checkpoint["channel_values"]["messages"]]
    said = [f"{who}-{turn}" for who in range(8) for turn in range(5)]
    assert sorted(id for id in ids if id in said) == said
