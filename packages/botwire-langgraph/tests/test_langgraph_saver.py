"""A thread continues in another process; stored data is isolated and never executed."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import copy
import itertools
import logging
import operator
import os
import pickle
import uuid
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.checkpoint.base import CheckpointTuple, empty_checkpoint
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

from botwire import ConfigurationError, Memory, TransportError
from botwire.exact import Json
from botwire_langgraph import BotWireSaver, BotWireStore, ConcurrentRunError, thread_cache
from botwire_langgraph.records import Thread, write_value
from botwire_langgraph.serializer import from_blob, to_blob
from botwire_langgraph.thread_cache import Fences, ThreadCache, Tip
from conftest import run_and_kill
from tests.interrupts import Stop, cutting_in
from tests.zygote import Zygote


class State(TypedDict):
    """The state of the graph."""

    log: Annotated[list[str], operator.add]


@pytest.fixture
def saver(place_url: str, namespace: str) -> BotWireSaver:
    """An empty saver."""
    return BotWireSaver(namespace, url=place_url)


def thread(thread_id: Any, **more: Any) -> Any:
    return {"configurable": {"thread_id": thread_id, **more}}


def graph(saver: BotWireSaver) -> Any:
    """A graph of two nodes; the second asks a person."""

    def first(state: State) -> State:
        return {"log": [f"first saw {len(state['log'])}"]}

    def second(state: State) -> State:
        return {"log": [f"answered {interrupt('well?')}"]}

    builder = StateGraph(State)
    builder.add_node("first", first)
    builder.add_node("second", second)
    builder.add_edge(START, "first")
    builder.add_edge("first", "second")
    builder.add_edge("second", END)
    return builder.compile(checkpointer=saver)


def test_an_interrupted_run_goes_on_elsewhere(
    saver: BotWireSaver, place_url: str, namespace: str
) -> None:
    graph(saver).invoke({"log": ["in"]}, thread("t"))
    elsewhere = graph(BotWireSaver(namespace, url=place_url))
    done = elsewhere.invoke(Command(resume="yes"), thread("t"))
    assert done["log"] == ["in", "first saw 1", "answered yes"]


@pytest.mark.anyio
async def test_the_awaited_half_is_the_same_thread(saver: BotWireSaver) -> None:
    await graph(saver).ainvoke({"log": ["in"]}, thread("t"))
    assert graph(saver).invoke(Command(resume="yes"), thread("t"))["log"][-1] == "answered yes"
    asynchronous = [found async for found in saver.alist(thread("t"))]
    assert asynchronous == list(saver.list(thread("t")))
    assert await saver.aget_tuple(thread("t")) == saver.get_tuple(thread("t"))


def test_the_past_can_be_visited_and_left_on_another_way(saver: BotWireSaver) -> None:
    def travel(checkpointer: Any) -> list[Any]:
        runner = graph(checkpointer)
        runner.invoke({"log": ["in"]}, thread("t"))
        runner.invoke(Command(resume="one"), thread("t"))
        history = list(runner.get_state_history(thread("t")))
        past = next(state for state in history if state.next == ("second",))
        fork = runner.update_state(past.config, {"log": ["another way"]})
        runner.invoke(None, fork)
        runner.invoke(Command(resume="two"), thread("t"))
        return [
            (state.values, state.next, state.metadata["step"])
            for state in runner.get_state_history(thread("t"))
        ]

    found = travel(saver)
    assert found == travel(InMemorySaver())
    logs = [values.get("log", []) for values, _, _ in found]
    assert ["in", "first saw 1", "answered one"] in logs
    assert ["in", "first saw 1", "another way", "answered two"] in logs


ODD = ["t", "t/", "t%2F", "", " ", "..", "%", "*", "😀", "\ud800", "~", "x" * 3000, "x" * 3001]


def test_odd_threads_are_kept_apart(saver: BotWireSaver) -> None:
    for name in ODD:
        put(saver, name, ascii(name))
    for name in ODD:
        assert value(saver.get_tuple(thread(name))) == ascii(name)
    saver.delete_thread("t")
    assert saver.get_tuple(thread("t")) is None
    for name in ODD[1:]:
        assert value(saver.get_tuple(thread(name))) == ascii(name)
        saver.delete_thread(name)
    keys = saver.connection.memory.list_keys()
    assert [key for key in keys if not key.startswith("deleted/")] == []


def test_a_thread_may_be_a_number_or_a_uuid(saver: BotWireSaver) -> None:
    for name in (7, uuid.UUID(int=7)):
        put(saver, name, "x")
        assert value(saver.get_tuple(thread(str(name)))) == "x"


def put(saver: BotWireSaver, name: Any, content: Any) -> Any:
    checkpoint = empty_checkpoint()
    checkpoint["channel_values"] = {"c": content}
    checkpoint["channel_versions"] = {"c": "1"}
    config = thread(name, checkpoint_ns="")
    return saver.put(config, checkpoint, {"source": "input", "step": -1}, {"c": "1"})


def put_on(saver: BotWireSaver, parent: Any, content: Any) -> Any:
    checkpoint = empty_checkpoint()
    version = saver.get_next_version(None, None)
    checkpoint["channel_values"] = {"c": content}
    checkpoint["channel_versions"] = {"c": version}
    return saver.put(parent, checkpoint, {"source": "loop"}, {"c": version})


def value(found: CheckpointTuple | None) -> Any:
    assert found is not None
    return found.checkpoint["channel_values"]["c"]


def test_writes_come_in_the_order_of_a_live_run_and_once(saver: BotWireSaver) -> None:
    config = put(saver, "t", "x")
    saver.put_writes(config, [("a", 1), ("b", 2)], "task-2", "~1")
    saver.put_writes(config, [("a", 3)], "task-1", "~2")
    saver.put_writes(config, [("a", 9), ("b", 9), ("c", 4)], "task-2", "~1")
    saver.put_writes(config, [("__error__", "first")], "task-1", "~2")
    saver.put_writes(config, [("__error__", "second")], "task-1", "~2")
    found = saver.get_tuple(config)
    assert found is not None
    assert found.pending_writes == [
        ("task-2", "a", 1), ("task-2", "b", 2), ("task-2", "c", 4),
        ("task-1", "__error__", "second"), ("task-1", "a", 3),
    ]  # fmt: skip


def test_listing_filters_before_it_limits(saver: BotWireSaver) -> None:
    configs = []
    for step in range(250):
        checkpoint = empty_checkpoint()
        metadata: Any = {"source": "loop" if step % 2 else "input", "step": step}
        configs.append(saver.put(thread("t", checkpoint_ns=""), checkpoint, metadata, {}))
    found = list(saver.list(thread("t"), filter={"source": "input"}, limit=120))
    assert [one.metadata["step"] for one in found] == list(range(248, 8, -2))
    before = list(saver.list(thread("t"), before=configs[3]))
    assert [one.metadata["step"] for one in before] == [2, 1, 0]
    assert len(list(saver.list(None))) == 250
    assert list(saver.list(thread("t"), limit=0)) == []


class Counting:
    """An engine that counts the batches it passes on."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.calls = 0

    def apply(self, batch: Any) -> Any:
        self.calls += 1
        return self.engine.apply(batch)


def counting(saver: BotWireSaver) -> Counting:
    """Counts the requests of a saver from now on."""
    counter = Counting(saver.connection.memory.engine)
    saver.connection.memory.engine = counter  # type: ignore[assignment]
    return counter


def test_few_round_trips(saver: BotWireSaver, place_url: str) -> None:
    counter = counting(saver)
    assert saver.get_tuple(thread("t")) is None
    config = put(saver, "t", ["x", {"y": 1}])
    saver.put_writes(config, [("a", 1), ("b", 2)], "task")
    config = put_on(saver, config, [["x"], ["y"]])
    saver.get_tuple(thread("t"))
    assert counter.calls == 5  # one each
    elsewhere = BotWireSaver(saver.connection.namespace, url=place_url)
    counter = counting(elsewhere)
    elsewhere.get_tuple(thread("t"))
    assert counter.calls == 2  # finding the latest, and reading it
    put_on(elsewhere, config, [["x"], ["y"], ["z"]])
    assert counter.calls == 3


@pytest.fixture
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes wait for their checkpoint for as long as it takes."""
    monkeypatch.setattr("botwire_langgraph.convoy._LINGER", 60)


def write_apart(saver: BotWireSaver, pool: ThreadPoolExecutor, config: Any) -> Future[None]:
    """Puts a write, which then waits for a checkpoint."""
    writing = pool.submit(saver.put_writes, config, [("a", 1)], "task")
    while not saver._convoy._waiting:
        wait([writing], 0.01)
    return writing


@pytest.mark.usefixtures("_patient")
def test_the_writes_of_a_step_go_with_its_checkpoint(saver: BotWireSaver) -> None:
    config = put(saver, "t", "x")
    counter = counting(saver)
    with ThreadPoolExecutor() as pool:
        writing = write_apart(saver, pool, config)
        put_on(saver, config, "y")
        writing.result()
    assert counter.calls == 1
    found = saver.get_tuple(config)
    assert found is not None
    assert found.pending_writes == [("task", "a", 1)]


@pytest.mark.anyio
@pytest.mark.usefixtures("_patient")
async def test_the_writes_of_a_step_go_with_its_checkpoint_awaited(saver: BotWireSaver) -> None:
    config = await saver.aput(thread("t", checkpoint_ns=""), empty_checkpoint(), {}, {})
    memory = saver.connection.async_memory
    memory.engine = counter = Counting(memory.engine)  # type: ignore[assignment]
    await asyncio.gather(
        saver.aput_writes(config, [("a", 1)], "task"),
        saver.aput_writes(config, [("a", 2)], "other"),
        saver.aput(config, empty_checkpoint(), {}, {}),
    )
    assert counter.calls == 1
    found = await saver.aget_tuple(config)
    assert found is not None
    assert found.pending_writes == [("other", "a", 2), ("task", "a", 1)]


@pytest.mark.usefixtures("_patient")
def test_writes_are_kept_if_their_checkpoint_is_refused(saver: BotWireSaver) -> None:
    base = put(saver, "t", "x")
    put_on(saver, base, "y")
    with ThreadPoolExecutor() as pool:
        writing = write_apart(saver, pool, base)
        with pytest.raises(ConcurrentRunError):
            put_on(saver, base, "z")
        writing.result()
    found = saver.get_tuple(base)
    assert found is not None
    assert found.pending_writes == [("task", "a", 1)]


@pytest.mark.usefixtures("_patient")
def test_writes_wait_for_a_server_that_is_down_no_longer_than_their_checkpoint(
    saver: BotWireSaver,
) -> None:
    base = put(saver, "t", "x")
    counter = counting(saver)

    def apply(batch: Any) -> Any:
        counter.calls += 1
        raise TransportError("no answer", url="http://nowhere")

    counter.apply = apply  # type: ignore[method-assign]
    with ThreadPoolExecutor() as pool:
        writing = write_apart(saver, pool, base)
        with pytest.raises(TransportError):
            put_on(saver, base, "z")
        with pytest.raises(TransportError):
            writing.result()
    assert counter.calls == 1


@pytest.mark.anyio
@pytest.mark.usefixtures("_patient")
async def test_who_no_longer_waits_does_not_disturb_the_others(saver: BotWireSaver) -> None:
    config = await saver.aput(thread("t", checkpoint_ns=""), empty_checkpoint(), {}, {})
    cancelled, kept = (
        asyncio.create_task(saver.aput_writes(config, [("a", name)], name))
        for name in ("cancelled", "kept")
    )
    await asyncio.sleep(0)
    putting = asyncio.create_task(saver.aput(config, empty_checkpoint(), {}, {}))
    await asyncio.sleep(0)  # both are in flight
    cancelled.cancel()
    await putting
    await kept
    found = await saver.aget_tuple(config)
    assert found is not None
    assert ("kept", "a", "kept") in (found.pending_writes or [])
    with pytest.raises(asyncio.CancelledError):
        await cancelled


class Evil:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.system, ("echo executed",)


def test_a_forged_row_executes_nothing(
    saver: BotWireSaver, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    put(saver, "t", "x")
    (key,) = saver.connection.memory.list_keys("blobs/")
    target = tmp_path / "executed"
    # A call of os.system, as the permissive serializer would make it.
    kind, forged = JsonPlusSerializer().dumps_typed({"x": 1})
    import ormsgpack

    call = ormsgpack.packb(("os", "system", f"touch {target}"))
    forged = ormsgpack.packb(ormsgpack.Ext(0, call))
    saver.connection.memory.set(key, kind.encode() + b"\x00" + forged)
    found = saver.get_tuple(thread("t"))
    assert found is not None
    assert not target.exists()
    saver.connection.memory.set(key, b"pickle\x00" + pickle.dumps(Evil()))
    with pytest.raises(NotImplementedError, match="pickle"):
        saver.get_tuple(thread("t"))
    assert "executed" not in capfd.readouterr().out


@dataclass
class Order:
    """A class of the user's."""

    number: int


class Mine:
    """Another."""

    def __init__(self, x: int) -> None:
        self.x = x


def test_a_type_that_is_not_allowed_is_plain_data_and_says_so(
    saver: BotWireSaver,
    place_url: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("botwire_langgraph.serializer._warned", set())  # once a process
    put(saver, "t", [Order(7), Order(8)])
    with caplog.at_level(logging.WARNING, "botwire.langgraph"):
        for _ in range(2):
            assert value(saver.get_tuple(thread("t"))) == [{"number": 7}, {"number": 8}]
    (warning,) = [one for one in caplog.records if one.name == "botwire.langgraph"]
    assert "allowed_types=[Order]" in warning.getMessage()
    allowing = BotWireSaver(saver.connection.namespace, url=place_url, allowed_types=[Order, Mine])
    assert value(allowing.get_tuple(thread("t"))) == [Order(7), Order(8)]


def test_a_server_that_is_down_is_an_error_that_names_it(unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    app = graph(BotWireSaver(client=Memory("n", url=url, timeout=0.5)))
    with pytest.raises(TransportError, match=url):
        app.invoke({"log": ["in"]}, thread("t"))


def test_a_graph_within_a_graph(saver: BotWireSaver, place_url: str) -> None:
    def nested(checkpointer: Any) -> Any:
        builder = StateGraph(State)
        builder.add_node("inner", graph(True))  # it has its own state in the thread
        builder.add_edge(START, "inner")
        builder.add_edge("inner", END)
        return builder.compile(checkpointer=checkpointer)

    def run(here: Any, there: Any) -> list[Any]:
        for turn in range(2):
            nested(here).invoke({"log": [f"in {turn}"]}, thread("t"))
            done = nested(there).invoke(Command(resume=f"yes {turn}"), thread("t"))
        history = nested(there).get_state_history(thread("t"))
        return [done["log"], [(state.values, state.next) for state in history]]

    memory = InMemorySaver()
    elsewhere = BotWireSaver(saver.connection.namespace, url=place_url)
    assert run(saver, elsewhere) == run(memory, memory)
    assert saver.list_threads() == ["t"]
    before = nested(saver).get_state(thread("t")).values
    saver.prune(["t"])
    assert nested(elsewhere).get_state(thread("t")).values == before


def test_serializers(place_url: str, namespace: str) -> None:
    serde = JsonPlusSerializer()
    assert BotWireSaver(namespace, url=place_url, serde=serde).serde is serde
    with pytest.raises(ConfigurationError, match="allowed_types"):
        BotWireSaver(namespace, serde=serde, allowed_types=[Mine])
    wrong: dict[str, Any]
    for wrong, says in (
        ({"allowed_types": [5]}, r"allowed_types\[0\] must be a class, not int: 5"),
        ({"allowed_types": 5}, "allowed_types must be a list of classes, not int"),
        ({"serde": 5}, "serde must be a serializer of LangGraph"),
        ({"serde": 0}, "serde must be a serializer of LangGraph"),
        ({"lease": None}, "lease must be a number of seconds"),
    ):
        with pytest.raises(ConfigurationError, match=says):
            BotWireSaver(namespace, url=place_url, **wrong)
    saver = BotWireSaver(namespace, url=place_url, allowed_types=[Mine])
    kept = {"a": [1, b"\x00", None], "b": {"c": 1.5}}
    assert from_blob(saver.serde, to_blob(saver.serde, kept)) == kept


def test_copies_go_on_working(saver: BotWireSaver) -> None:
    put(saver, "t", "x")
    for again in (
        copy.copy(saver),
        copy.deepcopy(saver),
        saver.with_allowlist([("tests", "Mine")]),
    ):
        assert value(again.get_tuple(thread("t"))) == "x"


@pytest.mark.anyio
async def test_it_is_opened_as_the_official_ones_are(place_url: str, namespace: str) -> None:
    with BotWireSaver.from_conn_string(place_url, namespace=namespace) as opened:
        opened.setup()
        put(opened, "t", "x")
    async with BotWireSaver.from_conn_string(place_url, namespace=namespace) as opened:
        await opened.asetup()
        assert value(await opened.aget_tuple(thread("t"))) == "x"
    with BotWireStore.from_conn_string(place_url, namespace=namespace) as store:
        store.setup()
        store.put(("n",), "k", {"v": 1})
    async with BotWireStore.from_conn_string(place_url, namespace=namespace) as store:
        await store.asetup()
        assert (await store.aget(("n",), "k")) == store.get(("n",), "k") is not None


def test_a_namespace_is_its_own(saver: BotWireSaver) -> None:
    put(saver, "t", "mine")
    other = BotWireSaver(client=saver.connection.memory.with_namespace("other" + uuid.uuid4().hex))
    assert other.get_tuple(thread("t")) is None
    assert list(other.list(None)) == []
    assert isinstance(saver.connection.memory, Memory)


AGENT = """
import json, sys

from langchain_core.messages import AIMessage
from langgraph.graph import END, START, MessagesState, StateGraph

from botwire_langgraph import BotWireSaver

url, namespace, text = sys.argv[1:]


def model(state):
    print(json.dumps([message.content for message in state["messages"]]), flush=True)
    return {"messages": [AIMessage("noted")]}


builder = StateGraph(MessagesState)
builder.add_node("model", model)
builder.add_edge(START, "model")
builder.add_edge("model", END)
agent = builder.compile(checkpointer=BotWireSaver(namespace, url=url))
agent.invoke({"messages": [("user", text)]}, {"configurable": {"thread_id": "t"}})
print("done", flush=True)
sys.stdin.read()
"""


def test_a_killed_agent_is_remembered(zygote: Zygote, place_url: str, namespace: str) -> None:
    assert run_and_kill(zygote, AGENT, place_url, namespace, "I am Ada") == ["I am Ada"]
    assert run_and_kill(zygote, AGENT, place_url, namespace, "Who?") == [
        "I am Ada",
        "noted",
        "Who?",
    ]


def test_a_pending_write_is_stored_as_exact_json() -> None:
    serde = JsonPlusSerializer()
    for value in ("", "x" * 1000, {"a": [1, None]}, b"\x00\xff"):
        kind, data = serde.dumps_typed(value)
        kept = {"task_id": "t", "task_path": 'a"]}', "index": -1, "channel": "c"}
        text = [kind, base64.b64encode(data).decode()]
        assert write_value(serde, "t", 'a"]}', -1, "c", value) == Json.of({**kept, "value": text})


def test_a_wrong_argument_is_named(saver: BotWireSaver) -> None:
    wrong: Any = 5
    at = thread("t")
    empty = empty_checkpoint()
    no_thread = "the thread_id is missing"
    for call, says in (
        (lambda: saver.put(None, empty, {}, {}), "config must be a dict, not NoneType"),  # type: ignore[arg-type]
        (lambda: saver.put(at, wrong, {}, {}), "checkpoint must be a dict, not int: 5"),
        (lambda: saver.put(at, {"v": 1}, {}, {}), "checkpoint has no 'channel_values'"),  # type: ignore[arg-type,typeddict-item]
        (lambda: saver.put(at, empty, wrong, {}), "metadata must be a dict"),
        (lambda: saver.put(at, empty, {}, wrong), "new_versions must be a dict"),
        (lambda: saver.put_writes(at, wrong, "task"), "writes must be a list of pairs"),
        (lambda: saver.put_writes(at, ["ab"], "task"), r"writes\[0\] must be a pair"),  # type: ignore[list-item]
        (lambda: saver.get_tuple({}), r"config\['configurable'\] must be a dict"),
        (lambda: saver.get_tuple({"configurable": {}}), no_thread),
        (lambda: saver.get_tuple({"configurable": {"thread_id": None}}), no_thread),
        (lambda: list(saver.list(wrong)), "config must be a dict"),
        (lambda: list(saver.list(None, before=wrong)), "before must be a dict, not int: 5"),
        (lambda: list(saver.list(None, filter=wrong)), "filter must be a dict, not int: 5"),
        (lambda: saver.delete_thread(None), no_thread),  # type: ignore[arg-type]
        (lambda: saver.is_running(None), no_thread),  # type: ignore[arg-type]
        (lambda: saver.prune("t"), "thread_ids must be a list of strings, not a single string"),
        (lambda: saver.delete_for_runs(wrong), "run_ids must be a list of strings"),
        (lambda: saver.threads(wrong), "a prefix must be a string"),
        (lambda: saver.list_threads(limit="x"), "limit must be an int"),  # type: ignore[arg-type]
        (lambda: saver.import_threads(wrong), "source must be a BaseCheckpointSaver"),
        (lambda: saver.import_threads(saver, wrong), "thread_ids must be a list of strings"),
        (lambda: saver.import_threads(saver, [{}]), "thread_id must be a string"),  # type: ignore[list-item]
    ):
        with pytest.raises(ConfigurationError, match=says):
            call()
    assert saver.list_threads() == []


def test_an_interrupt_at_any_moment_leaves_the_cache_usable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def strike() -> None:
        raise Stop

    tip = Tip(None, Fences(), {})
    for moment in itertools.count(1):
        cache = ThreadCache()
        monkeypatch.setattr(thread_cache, "_MOST_TIPS", 5)
        for i in range(5):
            cache.remember(Thread(str(i), "", None), tip)
        monkeypatch.setattr(thread_cache, "_MOST_TIPS", 1)
        with contextlib.suppress(Stop), cutting_in(moment, strike, "thread_cache") as count:
            cache.remember(Thread("new", "", None), tip)
        assert not cache._lock.locked()
        if count[0] < moment:
            break
    assert moment > 3
