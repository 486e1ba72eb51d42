"""A run that has ended in any way blocks no other; a live run keeps its thread."""

from __future__ import annotations

import asyncio
import copy
import gc
import operator
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from types import SimpleNamespace
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import EmptyInputError, GraphRecursionError, InvalidUpdateError
from langgraph.func import entrypoint
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, interrupt

from botwire import ConfigurationError, ConflictError
from botwire.operations import Batch
from botwire_langgraph import BotWireSaver, ConcurrentRunError
from botwire_langgraph.leases import Lease
from botwire_langgraph.runs import Run
from tests.waiting import until
from tests.zygote import Program, Zygote


class State(TypedDict):
    """The state of the graphs."""

    log: Annotated[list[str], operator.add]


THREAD: Any = {"configurable": {"thread_id": "t"}}
Node = Callable[[State], Any]


def graph(saver: BotWireSaver, *nodes: Node, **more: Any) -> Any:
    builder, last = StateGraph(State), START
    for number, node in enumerate(nodes):
        builder.add_node(str(number), node).add_edge(last, str(number))
        last = str(number)
    return builder.add_edge(last, END).compile(checkpointer=saver, **more)


def say(text: str) -> Node:
    return lambda state: {"log": [text]}


def raising(error: BaseException) -> Node:
    def node(state: State) -> Any:
        raise error

    return node


@pytest.fixture
def saver(place_url: str, namespace: str) -> BotWireSaver:
    """An empty saver whose leases last longer than any test."""
    return BotWireSaver(namespace, url=place_url, lease=600)


def other(saver: BotWireSaver, place_url: str, **more: Any) -> BotWireSaver:
    """Returns another saver for the same threads."""
    return BotWireSaver(saver.connection.namespace, url=place_url, **{"lease": 600, **more})


def returned(saver: BotWireSaver) -> Any:
    graph(saver, say("a")).invoke({"log": ["in"]}, THREAD)


def interrupted_before(saver: BotWireSaver) -> Any:
    graph(saver, say("a"), say("b"), interrupt_before=["1"]).invoke({"log": ["in"]}, THREAD)


def interrupted_after(saver: BotWireSaver) -> Any:
    graph(saver, say("a"), say("b"), interrupt_after=["0"]).invoke({"log": ["in"]}, THREAD)


def interrupted(saver: BotWireSaver) -> Any:
    graph(saver, lambda state: interrupt("well?")).invoke({"log": ["in"]}, THREAD)


def failed(saver: BotWireSaver) -> Any:
    with pytest.raises(ZeroDivisionError) as caught:
        graph(saver, raising(ZeroDivisionError())).invoke({"log": ["in"]}, THREAD)
    return caught  # with a traceback that keeps everything alive


def stopped_by_ctrl_c(saver: BotWireSaver) -> Any:
    with pytest.raises(KeyboardInterrupt) as caught:
        graph(saver, raising(KeyboardInterrupt())).invoke({"log": ["in"]}, THREAD)
    return caught


def out_of_steps(saver: BotWireSaver) -> Any:
    with pytest.raises(GraphRecursionError) as caught:
        graph(saver, say("a"), say("b")).invoke({"log": ["in"]}, {**THREAD, "recursion_limit": 1})
    return caught


def wrote_nonsense(saver: BotWireSaver) -> Any:
    with pytest.raises(InvalidUpdateError) as caught:
        graph(saver, lambda state: "nonsense").invoke({"log": ["in"]}, THREAD)
    return caught


def out_of_time(saver: BotWireSaver) -> Any:
    over = threading.Event()
    app = graph(saver, lambda state: {"log": [str(over.wait(1))]})
    app.step_timeout = 0.05
    with pytest.raises(TimeoutError) as caught:
        app.invoke({"log": ["in"]}, THREAD)
    return caught


def did_not_begin(saver: BotWireSaver) -> Any:
    with pytest.raises(EmptyInputError) as caught:
        graph(saver, say("a")).invoke(None, THREAD)
    return caught


def resumed_what_is_ambiguous(saver: BotWireSaver) -> Any:
    builder = StateGraph(State)
    for name in ("one", "two"):
        builder.add_node(name, lambda state: {"log": [interrupt("well?")]}).add_edge(START, name)
    app = builder.compile(checkpointer=saver)
    app.invoke({"log": ["in"]}, THREAD)
    with pytest.raises(RuntimeError, match="multiple pending interrupts"):
        app.invoke(Command(resume="both?"), THREAD)


def closed_its_stream(saver: BotWireSaver) -> Any:
    for _ in graph(saver, say("a"), say("b")).stream({"log": ["in"]}, THREAD):
        break


def turned_away(saver: BotWireSaver) -> Any:
    stream = graph(saver, say("a"), say("b")).stream({"log": ["in"]}, THREAD)
    next(stream)
    return stream


def ran_a_function(saver: BotWireSaver) -> Any:
    @entrypoint(checkpointer=saver)
    def work(given: Any) -> Any:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        work.invoke("in", THREAD)
    return caught


ENDS = [
    returned,
    interrupted_before,
    interrupted_after,
    interrupted,
    failed,
    stopped_by_ctrl_c,
    out_of_steps,
    wrote_nonsense,
    out_of_time,
    did_not_begin,
    resumed_what_is_ambiguous,
    closed_its_stream,
    turned_away,
    ran_a_function,
]


@pytest.mark.parametrize("durability", ["async", "exit"])
@pytest.mark.parametrize("end", ENDS)
def test_a_run_that_is_over_keeps_nobody_waiting(
    saver: BotWireSaver, place_url: str, end: Callable[[BotWireSaver], Any], durability: Any
) -> None:
    kept = end(saver)
    rival = graph(other(saver, place_url), say("b"))
    assert not saver.is_running("t")
    done = rival.invoke({"log": ["next"]}, THREAD, durability=durability)
    assert done["log"][-2:] == ["next", "b"]
    if end not in (did_not_begin, resumed_what_is_ambiguous, turned_away):
        # The store learns of those gradually.
        end_again = end if end is not returned else interrupted
        kept = (kept, end_again(saver))
        assert saver.connection.memory.list_keys("busy/") == []
    del kept


def test_a_stream_that_continues_after_another_run_is_told(saver: BotWireSaver) -> None:
    stream = turned_away(saver)
    graph(saver, say("c")).invoke({"log": ["next"]}, THREAD)
    with pytest.raises(ConcurrentRunError):
        list(stream)
    assert graph(saver, say("c")).get_state(THREAD).values["log"][-2:] == ["next", "c"]


async def pause(state: State) -> Any:
    if state["log"][-1] == "in":
        await asyncio.sleep(60)
    return {"log": ["a"]}


async def timed_out(app: Any) -> Any:
    with pytest.raises(TimeoutError) as caught:
        await asyncio.wait_for(app.ainvoke({"log": ["in"]}, THREAD), 0.1)
    return caught


async def was_cancelled(app: Any) -> Any:
    task = asyncio.create_task(app.ainvoke({"log": ["in"]}, THREAD))
    await until(lambda: app.checkpointer.ais_running("t"))
    task.cancel()  # without waiting for it


async def closed(app: Any) -> Any:
    stream = app.astream({"log": ["in"]}, THREAD, stream_mode="values")
    await anext(stream)
    await stream.aclose()


async def dropped(app: Any) -> Any:
    async def look() -> None:
        async for _ in app.astream({"log": ["in"]}, THREAD, stream_mode="values"):
            break

    await asyncio.create_task(look())
    gc.collect()  # a debugger or a tracer may have seen it


async def left_open(app: Any) -> Any:
    stream = app.astream({"log": ["in"]}, THREAD, stream_mode="values")
    await anext(stream)
    return stream


async def failed_to_begin(app: Any) -> Any:
    with pytest.raises(EmptyInputError) as caught:
        await app.ainvoke(None, THREAD)
    return caught


@pytest.mark.anyio
@pytest.mark.parametrize(
    "end", [timed_out, was_cancelled, closed, dropped, left_open, failed_to_begin]
)
async def test_an_awaited_run_that_is_over_keeps_nobody_waiting(
    saver: BotWireSaver, place_url: str, end: Callable[[Any], Awaitable[Any]]
) -> None:
    kept = await end(graph(saver, pause))
    done = await graph(other(saver, place_url), pause).ainvoke({"log": ["next"]}, THREAD)
    assert done["log"][-2:] == ["next", "a"]
    assert not await saver.ais_running("t")
    del kept


def test_a_run_keeps_its_thread_however_long_it_takes(saver: BotWireSaver, place_url: str) -> None:
    """Even longer than its lease, which is renewed."""
    held = other(saver, place_url, lease=1)
    rival = graph(other(saver, place_url), say("rival"))

    def slow(state: State) -> Any:
        versions = set()
        while len(versions) <= 4:  # the first, and a whole lease of renewals
            entry = saver.connection.memory.entry("busy/t")
            assert entry is not None
            versions.add(entry.version)
            time.sleep(0.02)
        assert saver.is_running("t")
        for change in (
            lambda: rival.invoke({"log": ["other"]}, THREAD),
            lambda: rival.invoke({"log": ["other"]}, THREAD, durability="exit"),
            lambda: rival.invoke(Command(resume=1), THREAD),
            lambda: rival.update_state(THREAD, {"log": ["by hand"]}),
        ):
            with pytest.raises(ConcurrentRunError, match="thread 't'"):
                Context().run(change)
        return {"log": ["slow"]}

    assert not saver.is_running("t")
    for durability in ("async", "exit"):
        done = graph(held, slow).invoke({"log": ["in"]}, THREAD, durability=durability)
        assert done["log"][-2:] == ["in", "slow"]
        # Another thread is another conversation.
        rival.invoke({"log": ["other"]}, {"configurable": {"thread_id": "u"}})


def test_runs_wait_for_each_other_if_they_are_to(saver: BotWireSaver, place_url: str) -> None:
    app = graph(other(saver, place_url, on_conflict="wait"), say("said"))
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda n: app.invoke({"log": [str(n)]}, THREAD), range(12)))
    log = app.get_state(THREAD).values["log"]
    assert sorted(log[::2], key=int) == [str(n) for n in range(12)]
    assert log[1::2] == ["said"] * 12
    with pytest.raises(ConfigurationError, match="on_conflict"):
        BotWireSaver(on_conflict="queue")  # type: ignore[arg-type]


def test_a_lease_is_renewed_only_once_its_run_has_the_thread(
    saver: BotWireSaver, place_url: str
) -> None:
    # If it were renewed earlier, a waiting run would be refused because of its own lease.
    for on_conflict in ("wait", "reject") * 2:
        app = graph(other(saver, place_url, on_conflict=on_conflict, lease=0.04), say("said"))
        killed = {"run": "of another process"}
        saver.connection.memory.set("busy/t", killed, ttl=0.15)
        assert app.invoke({"log": [on_conflict]}, THREAD)["log"][-1] == "said"


def test_a_stack_that_changes_while_it_is_read_ends_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    # An error here would end the thread that renews all leases.
    run = object.__new__(Run)
    run._driver = None
    frames = {1: SimpleNamespace(f_back=3)}
    monkeypatch.setattr("botwire_langgraph.runs.sys._current_frames", lambda: frames)
    assert run._is_executing()


def test_a_run_whose_renewal_released_the_lease_too_has_ended(
    saver: BotWireSaver,
) -> None:
    memory = saver.connection.memory
    run: Any = SimpleNamespace(thread="t", token="mine", version=memory.set("busy/t", {}))
    lease = Lease(run, 2.0, wait=False)
    # A renewal is in flight as the run ends, ...
    version = memory.set("busy/t", {"run": "mine"})
    steps = lease.release()
    delete = next(steps)
    with pytest.raises(ConflictError) as refused:
        memory.engine.apply(Batch(memory.namespace, delete))
    read = steps.throw(refused.value)
    found = memory.engine.apply(Batch(memory.namespace, read))
    delete = steps.send(found)
    # ... and sees that it has ended just before the run deletes the renewed lease.
    assert memory.delete("busy/t", if_version=version)
    with pytest.raises(ConflictError) as refused:
        memory.engine.apply(Batch(memory.namespace, delete))
    with pytest.raises(StopIteration):
        steps.throw(refused.value)


@pytest.mark.anyio
async def test_awaited_runs_wait_for_each_other_if_they_are_to(
    saver: BotWireSaver, place_url: str
) -> None:
    app = graph(other(saver, place_url, on_conflict="wait"), say("said"))
    await asyncio.gather(*(app.ainvoke({"log": [str(n)]}, THREAD) for n in range(8)))
    log = (await app.aget_state(THREAD)).values["log"]
    assert sorted(log[::2]) == [str(n) for n in range(8)]
    # A node that runs its own thread would wait for itself.

    async def inner(state: State) -> Any:
        with pytest.raises(ConcurrentRunError):
            await saver.aget_tuple(THREAD) and await _rival(app)
        return {"log": ["outer"]}

    async def _rival(app: Any) -> None:
        from langchain_core.runnables.config import var_child_runnable_config

        var_child_runnable_config.set(None)
        await app.ainvoke({"log": ["inner"]}, THREAD)

    waiting = graph(other(saver, place_url, on_conflict="wait"), inner)
    assert (await waiting.ainvoke({"log": ["in"]}, THREAD))["log"][-1] == "outer"


def test_a_message_that_a_node_changes_in_place_is_stored_so(
    saver: BotWireSaver, place_url: str
) -> None:
    """Messages that did not change are neither written nor revived again."""

    def node(state: MessagesState) -> Any:
        if len(state["messages"]) > 3:
            state["messages"][0].content = "changed"
            state["messages"][1].additional_kwargs["deep"] = {"a": [1, (2, 3)]}
            state["messages"][2].response_metadata["odd"] = {7}
        return {"messages": [AIMessage("answer", id=f"a{len(state['messages'])}")]}

    builder = StateGraph(MessagesState).add_node("node", node).add_edge(START, "node")
    app = builder.compile(checkpointer=saver)
    stock = builder.compile(checkpointer=InMemorySaver())
    for turn in range(5):
        given = {"messages": [HumanMessage(f"{turn}", id=f"h{turn}", custom=turn)]}
        for one in (app, stock):
            one.invoke(copy.deepcopy(given), THREAD)
        expected = stock.get_state(THREAD).values["messages"]
        for reader in (saver, other(saver, place_url)):
            found = reader.get_tuple(THREAD)
            assert found is not None
            messages = found.checkpoint["channel_values"]["messages"]
            assert messages == expected
            assert list(map(repr, messages)) == list(map(repr, expected))
            assert [one.model_fields_set for one in messages] == [
                one.model_fields_set for one in expected
            ]


ELSEWHERE = """
import sys, time
from langgraph.graph import END, START, MessagesState, StateGraph
from botwire_langgraph import BotWireSaver

url, namespace = sys.argv[1:]


def slow(state):
    print("inside", flush=True)
    sys.stdin.readline()
    return {"messages": ["slow"]}


builder = StateGraph(MessagesState).add_node("slow", slow)
app = builder.add_edge(START, "slow").add_edge("slow", END).compile(
    checkpointer=BotWireSaver(namespace, url=url))
app.invoke({"messages": ["in"]}, {"configurable": {"thread_id": "t"}})
print("done", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def elsewhere(zygote: Zygote, saver: BotWireSaver, place_url: str) -> Iterator[Program]:
    """Another process, in the middle of a run."""
    with zygote.start(ELSEWHERE, place_url, saver.connection.namespace) as process:
        assert process.stdout.readline() == "inside\n"
        yield process
        process.kill()


def texts(saver: BotWireSaver) -> list[str]:
    found = saver.get_tuple(THREAD)
    assert found is not None
    return [message.content for message in found.checkpoint["channel_values"]["messages"]]


def answering(saver: BotWireSaver) -> Any:
    builder = StateGraph(MessagesState).add_node("a", lambda state: {"messages": ["answer"]})
    return builder.add_edge(START, "a").add_edge("a", END).compile(checkpointer=saver)


def test_a_run_of_another_process_is_refused_waited_for_and_over(
    saver: BotWireSaver, place_url: str, elsewhere: Program
) -> None:
    assert saver.is_running("t")
    with pytest.raises(ConcurrentRunError):
        answering(saver).invoke({"messages": ["refused"]}, THREAD)
    waiting = answering(other(saver, place_url, on_conflict="wait"))
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(waiting.invoke, {"messages": ["waits"]}, THREAD)
        print(file=elsewhere.stdin, flush=True)
        assert [one.content for one in done.result()["messages"]][2:] == ["waits", "answer"]
    assert texts(saver) == ["in", "slow", "waits", "answer"]
    # That process is still running, but its run has ended.
    assert not saver.is_running("t")
    answering(saver).invoke({"messages": ["next"]}, THREAD)


def test_a_run_that_was_killed_keeps_others_waiting_for_its_lease_at_most(
    saver: BotWireSaver, elsewhere: Program
) -> None:
    elsewhere.kill()
    elsewhere.wait()
    answering(saver).invoke({"messages": ["next"]}, THREAD)  # which is not refused
    assert texts(saver)[-2:] == ["next", "answer"]


def test_it_can_be_imported_where_no_process_forks() -> None:
    """As on Windows."""
    program = "import os; del os.fork, os.register_at_fork; import botwire_langgraph"
    subprocess.run([sys.executable, "-c", program], check=True)
