"""A stream continues in the next process with every event, and nothing stored is ever executed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from ag2 import Agent, MemoryStream
from ag2.events import (
    BaseEvent,
    BinaryInput,
    DataInput,
    Field,
    HumanInputRequest,
    ImageInput,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextInput,
    ToolCallEvent,
    ToolCallsEvent,
    ToolErrorEvent,
    ToolResult,
    ToolResultEvent,
    ToolResultsEvent,
    Usage,
    UsageEvent,
)
from ag2.history import MemoryStorage, unanswered_tool_calls
from ag2.testing import TestConfig
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from botwire import (
    AsyncHistory,
    AsyncMemory,
    ConfigurationError,
    Memory,
    NotJSONError,
    TransportError,
)
from botwire.messages import Message, ToolCall
from botwire.tool_calls import NOT_COMPLETED
from botwire_ag2 import BotWireCheckpointStore, BotWireStorage
from botwire_ag2.convert import from_items, own_classes, to_item
from tests.clients import later
from tests.holding import longest_hold
from tests.items import stored_items
from tests.zygote import Zygote

AG2S = own_classes()
CALL = ToolCallEvent(id="c1", name="look", arguments='{"city": "Oslo"}')


def look(city: str) -> str:
    """Looks at the weather."""
    return f"12 degrees in {city}"


def agent(*says: Any) -> Agent:
    return Agent("a", config=TestConfig(*says), tools=[look])


class Recording(TestConfig):
    """A scripted model that records what it was shown."""

    def __init__(self, *says: Any) -> None:
        super().__init__(*says)
        self.received: list[list[Any]] = []

    def create(self) -> Any:
        client = super().create()

        async def answer(messages: Any, context: Any, **options: Any) -> Any:
            self.received.append(list(messages))
            return await client(messages, context=context, **options)

        return answer


def plain(events: Any) -> list[Any]:
    """Returns events without their times, which equality ignores too."""
    return [(type(event), event) for event in events]


async def test_a_stream_is_what_it_is_in_memory(place_url: str, namespace: str) -> None:
    stock = MemoryStream(MemoryStorage())
    ours = await BotWireStorage(namespace, url=place_url).stream("s")
    for stream in (stock, ours):
        one = agent(CALL, "12 degrees", "bye")
        assert (await one.ask("how warm?", stream=stream)).body == "12 degrees"
    again = await BotWireStorage(namespace, url=place_url).stream("s")
    assert plain(await again.history.get_events()) == plain(await stock.history.get_events())
    reply = await agent("you asked about Oslo").ask("what did I ask?", stream=again)
    assert reply.body == "you asked about Oslo"
    other = await BotWireStorage(namespace, url=place_url).stream("other")
    assert list(await other.history.get_events()) == []


async def test_the_model_is_shown_what_was_said_before(place_url: str, namespace: str) -> None:
    for said in ("I am Ada.", "Who am I?"):
        stream = await BotWireStorage(namespace, url=place_url).stream("user/42 ä")
        config = Recording("noted")
        await Agent("a", config=config).ask(said, stream=stream)
    first, answer, second = config.received[0]
    assert (first, second) == (
        ModelRequest([TextInput("I am Ada.")]),
        ModelRequest([TextInput("Who am I?")]),
    )
    assert answer.content == "noted"


EXPIRING = """
import asyncio, sys
from ag2 import Agent
from ag2.testing import TestConfig
from botwire_ag2 import BotWireStorage
url, namespace = sys.argv[1:]
async def main():
    stream = await BotWireStorage(namespace, url=url, ttl=60).stream("s")
    await Agent("a", config=TestConfig("noted")).ask("I am Ada.", stream=stream)
asyncio.run(main())
"""


async def test_a_stream_expires_a_while_after_its_last_event(
    zygote: Zygote, tmp_path: Path, namespace: str
) -> None:
    path = tmp_path / "memory.db"

    async def ask(client: Memory, said: str, ttl: float | None = 60) -> list[Any]:
        config = Recording("noted")
        stream = await BotWireStorage(client=client, ttl=ttl).stream("s")
        await Agent("a", config=config).ask(said, stream=stream)
        return config.received[0]

    with zygote.start(EXPIRING, f"sqlite:///{path}", namespace) as process:
        assert process.wait() == 0, process.stderr
    with later(path, namespace, 50) as client:  # the answer renews the expiry
        assert len(await ask(client, "hi")) == 3
    with later(path, namespace, 100) as client:
        storage = BotWireStorage(client=client, ttl=60)
        stream = await storage.stream("s")
        events = list(await stream.history.get_events())
        await storage.set_history(stream.id, events[:-1])  # so does what replaces the events
    with later(path, namespace, 150) as client:
        assert len(await ask(client, "hello", None)) > 1  # a write without a ttl leaves it
    with later(path, namespace, 161) as client:
        assert await ask(client, "who am I?", None) == [ModelRequest([TextInput("who am I?")])]
    with later(path, namespace, 1_000_000) as client:
        assert len(await ask(client, "and now?")) == 3
    with pytest.raises(ConfigurationError, match="ttl"):
        BotWireStorage(namespace, ttl=0)


EVENTS: list[BaseEvent] = [
    ModelRequest([TextInput("look \ud800", metadata={"at": datetime(2026, 1, 1, tzinfo=UTC)})]),
    ModelRequest([ImageInput(data=b"\xff", media_type="image/png"), DataInput({"a": [1, None]})]),
    ModelRequest([BinaryInput(b"\xff", media_type="x/y", vendor_metadata={"raw": b"\xfe"})]),
    ModelResponse(
        ModelMessage("warm", metadata={"deep": {"a": (1, 2)}}),
        tool_calls=ToolCallsEvent([CALL]),
        usage=Usage(prompt_tokens=3),
        finish_reason="stop",
    ),
    ToolResultEvent(parent_id="c1", name="look", result=ToolResult("12", {"x": 1}, final=True)),
    ToolResultsEvent([ToolResultEvent(parent_id="c1", name="look", result=ToolResult("12"))]),
    ToolErrorEvent.from_call(CALL, ValueError("no such city")),
    UsageEvent(Usage(total_tokens=9)),
    HumanInputRequest("sure?", timeout=3.5),
]  # fmt: skip


async def test_every_event_comes_back(place_url: str, namespace: str) -> None:
    storage = BotWireStorage(namespace, url=place_url)
    stream_id = uuid4()
    await storage.set_history(stream_id, EVENTS[:3])
    await storage.set_history(stream_id, EVENTS)
    found = list(await BotWireStorage(namespace, url=place_url).get_history(stream_id))
    assert [event.created_at for event in found] == [event.created_at for event in EVENTS]
    for event, expected in zip(found, EVENTS, strict=True):
        # AG2's own reading makes lists of tuples, and an Exception of every error.
        if not isinstance(expected, (ModelResponse, ToolErrorEvent)):
            assert (type(event), event) == (type(expected), expected)
    response = found[3]
    assert isinstance(response, ModelResponse)
    assert response.message is not None
    assert response.message.metadata == {"deep": {"a": [1, 2]}}
    await storage.drop_history(stream_id)
    assert list(await storage.get_history(stream_id)) == []


words = st.text(max_size=20)
parts = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | words | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(words, inner),
    max_leaves=6,
)


@given(st.dictionaries(words, parts), words)
@settings(max_examples=60)
def test_whatever_an_event_holds_comes_back(metadata: dict[str, Any], said: str) -> None:
    assume("__" not in repr(metadata))  # see the next test
    for event in (ModelRequest([TextInput(said, metadata=metadata)]), ModelMessage(said)):
        item = json.loads(json.dumps(to_item(event, AG2S)))
        (found,) = from_items(stored_items([item]), AG2S)
        assert found == event


@pytest.mark.parametrize("key", ["__event__", "__bytes__", "__uuid__", "__exception__"])
def test_a_dict_that_ag2_would_read_as_something_else_is_refused(key: str) -> None:
    event = ModelResponse(ModelMessage("x", metadata={"deep": [{key: "x"}]}))
    with pytest.raises(ConfigurationError, match=key):
        to_item(event, AG2S)


# --- the caller's own classes ----------------------------------------------------------------


class Color(Enum):
    RED = "red"


@dataclass
class Point:
    x: int


class Weather(BaseModel):
    degrees: int


class Noticed(BaseEvent):
    what: Any = Field(kw_only=False)


async def test_own_classes_come_back_if_they_are_named(place_url: str, namespace: str) -> None:
    types = (Color, Point, Weather, Noticed)
    events = [Noticed([Color.RED, Point(1), Weather(degrees=12)])]
    storage = BotWireStorage(namespace, url=place_url, types=types)
    await storage.set_history(uuid4(), [])
    stream_id = uuid4()
    await storage.set_history(stream_id, events)
    assert list(await storage.get_history(stream_id)) == events
    bare = BotWireStorage(namespace, url=place_url)
    with pytest.raises(ConfigurationError, match="Noticed"):
        await bare.set_history(stream_id, events)
    with pytest.raises(ConfigurationError, match="Weather"):
        await bare.set_history(stream_id, [ModelRequest([DataInput(Weather(degrees=1))])])
    assert list(await bare.get_history(stream_id)) == []  # reported, not created
    with pytest.raises(ConfigurationError, match="types"):
        BotWireStorage(namespace, url=place_url, types=[int])


async def test_what_is_superseded_is_archived(place_url: str, namespace: str) -> None:
    stream = await BotWireStorage(namespace, url=place_url).stream("s")
    history = AsyncMemory(namespace, url=place_url).history("s")
    said = [ModelRequest([TextInput(str(number))]) for number in range(6)]
    for events, kept in ((said[:3], 3), (said, 6), (said, 6), (said[2:], 10), ([], 10)):
        await stream.history.replace(events)
        assert plain(await stream.history.get_events()) == plain(events)
        assert len(await history.read(archived=True)) == kept
    assert (await agent("hello").ask("hi", stream=stream)).body == "hello"


async def test_a_run_sees_what_a_cancelled_one_is_writing(
    place_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user presses Stop and goes on, with an object per request."""
    begun, goes_on = asyncio.Event(), asyncio.Event()
    extend = AsyncHistory.extend

    async def slow(history: AsyncHistory, values: Any, **options: Any) -> list[int]:
        if not begun.is_set():
            begun.set()
            await goes_on.wait()  # like a commit, which nobody can stop
        return await extend(history, values, **options)

    monkeypatch.setattr(AsyncHistory, "extend", slow)
    streams = [await BotWireStorage(namespace, url=place_url).stream("s") for _ in range(2)]

    async def answer(stream: MemoryStream) -> None:
        context: Any = SimpleNamespace(stream=stream, dependencies={})
        await stream.history.storage.save_event(ModelResponse(ModelMessage("yes")), context)

    stopped = asyncio.create_task(answer(streams[0]))
    await begun.wait()
    stopped.cancel()

    async def read(stream: MemoryStream) -> list[BaseEvent]:
        return list(await stream.history.get_events())

    reading = asyncio.create_task(read(streams[1]))
    other = await BotWireStorage(namespace, url=place_url).stream("other")
    for _ in range(3):
        assert await read(other) == []  # nothing is written to it, so it need not wait
    assert not reading.done()
    goes_on.set()
    assert len(await reading) == 1
    await answer(streams[1])


async def test_images_hold_no_other_task(tmp_path: Path, namespace: str) -> None:
    url = f"sqlite:///{tmp_path / 'memory.db'}"
    stream = await BotWireStorage(namespace, url=url).stream("s")
    image = ModelRequest([ImageInput(data=os.urandom(2_500_000), media_type="image/png")])
    context: Any = SimpleNamespace(stream=stream, dependencies={})
    store = BotWireCheckpointStore(namespace, url=url)
    held = [
        (await longest_hold(work))[1]
        for work in (
            stream.history.storage.save_event(image, context),
            stream.history.get_events(),
            stream.history.replace([image, image]),
            store.write("t", {"raw": os.urandom(2_500_000)}),
            store.read("t"),
        )
    ]
    assert max(held) < 0.05, held


async def test_what_json_cannot_hold_is_refused(place_url: str, namespace: str) -> None:
    storage = BotWireStorage(namespace, url=place_url)
    with pytest.raises(NotJSONError, match="raw"):
        await storage.set_history(uuid4(), [ModelRequest([TextInput("x", metadata={"raw": object()})])])  # noqa: E501  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        "subprocess.Popen",
        "ag2.stream.asyncio.subprocess.Process",
        "ag2.tools.subagents.run_task",
        "builtins.dict",
        "os.system",
        17,
    ],
)
@pytest.mark.parametrize("tag", ["__event__", "__dataclass__", "__pydantic__", "__enum__"])
async def test_nothing_that_is_stored_is_run(
    namespace: str, tmp_path: Any, name: Any, tag: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"sqlite:///{tmp_path / 'memory.db'}"
    native = to_item(ModelRequest([TextInput("x")]), AG2S)
    evil = {tag: name, "data": {"args": f"touch {tmp_path / 'run'}"}, "value": 1, "shell": True}
    native["native"]["data"]["data"]["parts"] = [evil]
    kind = to_item(UsageEvent(Usage()), AG2S)
    kind["data"]["type"] = name
    Memory(namespace, url=url).history("s").extend([native, kind])
    storage = BotWireStorage(namespace, url=url)
    stream = await storage.stream("s")
    (text,) = await stream.history.get_events()
    assert text == ModelRequest([TextInput("x")])  # its portable part
    assert "only the text of" in caplog.text
    assert "skipped item" in caplog.text
    assert not (tmp_path / "run").exists()


def test_a_name_that_leads_through_a_module_of_ag2_is_no_name_of_its_own() -> None:
    # ag2.knowledge.sqlite imports Path: AG2's own reading would take it from there.
    item = to_item(ModelRequest([TextInput("x")]), AG2S)
    item["native"]["data"]["data"]["parts"] = [
        {"__dataclass__": "ag2.knowledge.sqlite.Path", "data": {}}
    ]
    (found,) = from_items(stored_items([item]), AG2S)
    assert found == ModelRequest([TextInput("x")])


# --- other frameworks, other processes, servers that are down ------------------------------------


async def test_other_frameworks_read_it_and_it_reads_theirs(
    place_url: str, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    memory = Memory(namespace, url=place_url)
    memory.history("s").extend(
        [
            Message("user", "how warm?", name="Ada").to_item(),
            Message("assistant", "", tool_calls=[ToolCall("c", "look", {"city": "x"})]).to_item(),
            Message("tool", "12", name="look", tool_call_id="c").to_item(),
            Message("assistant", "12 degrees").to_item(),
        ]
    )
    stream = await BotWireStorage(namespace, url=place_url).stream("s")
    assert (await agent("you are welcome").ask("thanks", stream=stream)).body == "you are welcome"
    request, called, results, *_ = await stream.history.get_events()
    assert request == ModelRequest([TextInput("how warm?")])
    assert called.tool_calls.calls[0].serialized_arguments == {"city": "x"}
    assert results.results[0].result == ToolResult("12")
    told = [
        (message.role, message.text)
        for item in memory.history("s").read()
        if "envelope" in item.value and (message := Message.from_item(item.value))
    ]
    assert told[-2:] == [("user", "thanks"), ("assistant", "you are welcome")]


async def test_a_server_that_is_down_is_no_empty_stream(unused_tcp_port: int) -> None:
    client = AsyncMemory("n", url=f"http://127.0.0.1:{unused_tcp_port}", timeout=0.3)
    with pytest.raises(TransportError, match=str(unused_tcp_port)):
        await (await BotWireStorage(client=client).stream("s")).history.get_events()
    for wrong, says in (("", "must not be empty"), (5, "must be a string, not int")):
        with pytest.raises(ConfigurationError, match=says):
            await BotWireStorage(client=client).stream(wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="types must be a list of classes"):
        BotWireStorage(client=client, types=5)  # type: ignore[arg-type]
    storage = BotWireStorage(client=client)
    stream = await storage.stream("a \ud800 name")  # any name will do
    with pytest.raises(ConfigurationError, match=r"events\[0\] must be a BaseEvent"):
        await storage.set_history(stream.id, ["hi"])  # type: ignore[list-item]


AGENT = """
import asyncio, os, signal, sys
from ag2 import Agent
from ag2.events import ToolCallEvent
from ag2.testing import TestConfig
from botwire_ag2 import BotWireCheckpointStore, BotWireStorage

url, namespace, dies = sys.argv[1:]

def look(city: str) -> str:
    if dies == "in a tool":
        os.kill(os.getpid(), signal.SIGKILL)
    return "12 degrees"

async def main():
    stream = await BotWireStorage(namespace, url=url).stream("s")
    call = ToolCallEvent(id="c1", name="look", arguments='{"city": "Oslo"}')
    await Agent("a", config=TestConfig(call, "warm"), tools=[look]).ask("I am Ada", stream=stream)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def killed(zygote: Zygote, url: str, namespace: str, dies: str) -> list[BaseEvent]:
    """Runs an agent that is killed, and another one; returns the events of both."""
    assert zygote.run(AGENT, url, namespace, dies) == -signal.SIGKILL

    async def goes_on() -> list[BaseEvent]:
        stream = await BotWireStorage(namespace, url=url).stream("s")
        await agent("you are Ada").ask("who am I?", stream=stream)
        return list(await stream.history.get_events())

    return asyncio.run(goes_on())


@pytest.mark.parametrize("dies", ["at the end", "in a tool"])
def test_a_killed_agent_goes_on(zygote: Zygote, place_url: str, namespace: str, dies: str) -> None:
    events = killed(zygote, place_url, namespace, dies)
    asked = [e.parts[0].content for e in events if isinstance(e, ModelRequest)]  # type: ignore[attr-defined]
    assert asked == ["I am Ada", "who am I?"]
    assert unanswered_tool_calls(events) == set()
    assert (NOT_COMPLETED in str(events)) == (dies == "in a tool")
    assert isinstance(events[-1], ModelResponse)
    assert events[-1].content == "you are Ada"


def test_a_killed_agent_goes_on_on_postgresql(
    zygote: Zygote, postgres_url: str, namespace: str
) -> None:
    assert "you are Ada" in str(killed(zygote, postgres_url, namespace, "in a tool")[-1])


async def test_what_an_agent_stores_has_its_name(place_url: str, namespace: str) -> None:
    storage = BotWireStorage(namespace, url=place_url)
    for name in ("writer", "critic"):
        stream = await storage.stream("s")
        await Agent(name, config=TestConfig(CALL, "warm"), tools=[look]).ask("hi", stream=stream)
    authors = [str(item.author) for item in Memory(namespace, url=place_url).history("s").read()]
    assert list(dict.fromkeys(authors)) == ["writer, ag2", "critic, ag2"]
