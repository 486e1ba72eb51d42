"""Sessions, storage and memories keep Strands' contracts, and what its files lose."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.trace import NonRecordingSpan, SpanContext
from strands import Agent, tool
from strands.agent.conversation_manager import SlidingWindowConversationManager
from strands.hooks import BeforeToolCallEvent, HookProvider, HookRegistry
from strands.memory import InvocationTrigger, MemoryManager
from strands.memory.types import AddMessagesContext
from strands.session import FileSessionManager, SnapshotSessionManager
from strands.storage import InMemoryStorage
from strands.types.exceptions import EventLoopException, SessionException, StorageError
from strands.types.session import Session, SessionMessage, SessionType

from botwire import Author, ConfigurationError, ConflictError, Memory
from botwire.messages import Message, ToolCall
from botwire.retention import Retention
from botwire_strands import (
    BotWireMemoryStore,
    BotWireSessionManager,
    BotWireStorage,
    list_sessions,
)
from scripted.strands import ScriptedModel, events
from tests.zygote import Zygote

EXAMPLES = str(Path(__file__).parents[3] / "examples")


def open_agent(place: Any, session: str = "ada", **more: Any) -> Agent:
    manager = BotWireSessionManager(session, **place)
    return Agent(model=ScriptedModel(), session_manager=manager, callback_handler=None, **more)


def texts(agent: Agent) -> list[str]:
    return [b["text"] for message in agent.messages for b in message["content"] if "text" in b]


_WRITER = """
import sys
sys.path.append(sys.argv[4])
from strands import Agent, tool
from strands.hooks import BeforeToolCallEvent, HookProvider, HookRegistry
from botwire import ConflictError
from botwire_strands import BotWireSessionManager
from scripted.strands import ScriptedModel

name, namespace, url = sys.argv[1:4]
manager = BotWireSessionManager("ada", namespace=namespace, url=url)
agent = Agent(model=ScriptedModel(), session_manager=manager, callback_handler=None)
for number in range(10):
    while True:
        try:
            agent(f"{name}-{number}")
            break
        except Exception as error:
            if not isinstance(error.__cause__ or error, ConflictError):
                raise
"""


def test_two_processes_lose_nothing_and_never_share_a_message_number(
    zygote: Zygote, place: Any
) -> None:
    where = (place["namespace"], place["url"], EXAMPLES)
    with zygote.start(_WRITER, "a", *where) as one, zygote.start(_WRITER, "b", *where) as other:
        assert [one.wait(), other.wait()] == [0, 0]
    manager = BotWireSessionManager("ada", **place)
    messages = manager.list_messages("ada", "default")
    numbers = [message.message_id for message in messages]
    assert numbers == sorted(set(numbers))
    told = {block.get("text") for message in messages for block in message.message["content"]}
    assert told >= {f"{name}-{number}" for name in "ab" for number in range(10)}
    answers = [message for message in messages if message.message["role"] == "assistant"]
    assert len(answers) == 20  # each accepted turn has its answer


def test_state_and_messages_are_restored_with_their_bytes(place: Any) -> None:
    agent = open_agent(place)
    agent.state.set("count", 3)
    picture: Any = {"image": {"format": "png", "source": {"bytes": b"\x00\xff"}}}
    agent([{"text": "look"}, picture])
    again = open_agent(place)
    assert again.state.get("count") == 3
    assert again.messages == agent.messages
    assert picture in again.messages[0]["content"]


def test_state_and_results_keep_what_json_lacks(place: Any) -> None:
    """Strands' own sessions store them too, and read most of them as something else."""
    value: Any = {"pair": (1, 2), 3: float("inf"), "like a tag": {"$date": "never"}}
    agent = open_agent(place)
    agent.state.set("found", value)
    result: Any = {"toolUseId": "c", "status": "success", "content": [{"json": value}]}
    agent([{"text": "look"}, {"toolResult": result}])
    assert open_agent(place).state.get("found") == value
    stored = BotWireSessionManager("ada", **place).list_messages("ada", "default")
    assert {"toolResult": result} in stored[0].message["content"]


def test_an_agents_messages_have_its_id(place: Any) -> None:
    open_agent(place)("hi")
    open_agent(place, agent_id="editor")("hi")
    with Memory(place["namespace"], url=place["url"]) as memory:
        histories = [memory.history(info.name) for info in memory.list_histories()]
        authors = {str(item.author) for history in histories for item in history.read()}
    assert authors == {"strands", "editor, strands"}


def test_a_traced_request_names_its_trace(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = open_agent(place)
    context = SpanContext(0xABC, 1, is_remote=False)
    monkeypatch.setattr(agent.tracer, "start_agent_span", lambda **_: NonRecordingSpan(context))
    agent("hi")
    with Memory(place["namespace"], url=place["url"]) as memory:
        authors = [item.author for item in memory.history("ada").read()]
    assert authors == [Author(framework="strands", run=f"{0xABC:032x}")] * 2


def test_a_waiting_agent_sees_messages_that_others_added(place: Any) -> None:
    waits = open_agent(place)
    waits("one")
    open_agent(place)("two")
    assert "two" in str(waits("three"))
    assert texts(waits) == texts(open_agent(place))


def test_an_agent_sees_the_messages_of_others_even_if_the_program_listed_them(place: Any) -> None:
    manager = BotWireSessionManager("ada", **place)
    waits = Agent(model=ScriptedModel(), session_manager=manager, callback_handler=None)
    waits("one")
    open_agent(place)("two")
    assert len(manager.list_messages("ada", "default")) == 4
    assert "two" in str(waits("three"))


class Overtaken(ScriptedModel):
    """A model that runs the next of some functions before each answer."""

    def __init__(self, *meanwhile: Callable[[], Any], calls: str | None = None) -> None:
        self.meanwhile, self.calls = [*meanwhile], calls

    async def stream(self, *args: Any, **kwargs: Any) -> AsyncIterable[Any]:
        if self.meanwhile:
            self.meanwhile.pop(0)()
        if self.calls is not None:
            use: Any = {"toolUse": {"toolUseId": "c1", "name": self.calls, "input": {}}}
            self.calls = None
            for event in events([use]):
                yield event
            return
        async for event in super().stream(*args, **kwargs):
            yield event


def refused(agent: Agent, prompt: Any) -> None:
    with pytest.raises(EventLoopException) as error:
        agent(prompt)
    assert isinstance(error.value.__cause__, ConflictError)


@pytest.mark.parametrize("prompt", ["two", [{"role": "user", "content": [{"text": "two"}]}] * 2])
def test_a_refused_request_leaves_nothing_and_can_be_repeated(place: Any, prompt: Any) -> None:
    open_agent(place)("one")
    agent = open_agent(place)
    agent.model = Overtaken(lambda: open_agent(place)("three"))
    begun = texts(agent)
    refused(agent, prompt)
    assert texts(agent) == begun
    known = texts(open_agent(place))
    assert "two" not in known
    agent(prompt)
    assert texts(agent) == texts(open_agent(place))
    assert texts(agent)[: len(known)] == known
    assert texts(agent).count("two") == (1 if prompt == "two" else 2)


def test_a_refused_prompt_does_not_remove_an_earlier_failed_one(place: Any) -> None:
    def fail() -> None:
        raise ArithmeticError("no answer")

    agent = open_agent(place)
    agent.model = Overtaken(fail, lambda: open_agent(place)("three"))
    with pytest.raises(ArithmeticError):
        agent("one")
    refused(agent, "two")
    assert [text for text in texts(open_agent(place)) if text in ("one", "two")] == ["one"]


def test_a_refused_answer_keeps_the_results_of_tools_and_their_prompt(place: Any) -> None:
    @tool
    def look() -> str:
        """Looks."""
        return "12 degrees"

    agent = open_agent(place, tools=[look])
    agent.model = Overtaken(lambda: None, lambda: open_agent(place)("three"), calls="look")
    refused(agent, "two")
    stored = BotWireSessionManager("ada", **place).list_messages("ada", "default")
    mine = [one.message for one in stored][:3]
    assert agent.messages == mine
    assert "12 degrees" in str(mine[2])
    assert "12 degrees" in str(open_agent(place).messages)


def test_an_agent_that_was_broken_off_goes_on_after_another_spoke(place: Any) -> None:
    async def run() -> Agent:
        agent = open_agent(place)
        await broken_off(agent, "one")
        await open_agent(place).invoke_async("three")
        await agent.invoke_async("two")
        return agent

    agent = asyncio.run(run())
    said = [text for text in texts(agent) if text in ("one", "two", "three")]
    assert said == ["one", "three", "two"]
    calls = [str(message).count("'toolUse'") for message in agent.messages]
    answers = [str(message).count("'toolResult'") for message in agent.messages]
    assert answers == [0, *calls[:-1]]
    assert texts(open_agent(place))[-1] == texts(agent)[-1]


async def broken_off(agent: Agent, prompt: str) -> None:
    """Lets an agent begin to run a tool, and nothing after that."""
    inside = asyncio.Event()

    @tool
    async def look() -> str:
        """Looks."""
        inside.set()
        await asyncio.Event().wait()
        return "never"

    agent.tool_registry.process_tools([look])
    agent.model = Overtaken(calls="look")
    task = asyncio.create_task(agent.invoke_async(prompt))
    await inside.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def test_a_window_is_not_shortened_by_calls_that_were_broken_off(
    place: Any, tmp_path: Path
) -> None:
    def open_it(*, stock: bool) -> Agent:
        if not stock:
            return open_agent(place, conversation_manager=SlidingWindowConversationManager(6))
        return Agent(
            model=ScriptedModel(),
            session_manager=FileSessionManager("ada", storage_dir=str(tmp_path / "stock")),
            conversation_manager=SlidingWindowConversationManager(6),
            callback_handler=None,
        )

    shown = []
    for stock in (True, False):
        for turn in range(4):
            asyncio.run(broken_off(open_it(stock=stock), f"{turn}"))
            open_it(stock=stock)(f"again {turn}")
        agent = open_it(stock=stock)
        shown.append([(one["role"], list(one["content"][0])) for one in agent.messages])
        assert texts(agent)[:1] == ["3"]
    assert shown[0] == shown[1]


def test_a_window_of_several_agent_objects_begins_with_a_prompt(place: Any) -> None:
    def open_it() -> Agent:
        return open_agent(place, conversation_manager=SlidingWindowConversationManager(6))

    for turn in range(4):
        agent = open_it()
        asyncio.run(broken_off(agent, f"{turn}"))
        open_it()(f"another {turn}")
        agent.model = ScriptedModel()
        for again in range(2):
            agent(f"again {again}")
        first = open_it().messages[0]
        assert first["role"] == "user"
        assert "text" in first["content"][0]


def test_what_a_tool_returns_late_replaces_the_answer_that_it_was_broken_off(place: Any) -> None:
    @tool
    def look() -> str:
        """Looks."""
        open_agent(place)("three")  # another process takes the call for one that was broken off
        return "12 degrees"

    agent = open_agent(place, tools=[look])
    agent.model = Overtaken(calls="look")
    refused(agent, "two")
    answer = open_agent(place).messages[2]
    assert "12 degrees" in str(answer)
    assert str(open_agent(place).messages).count("'toolResult'") == 1


def test_a_message_that_strands_left_empty_is_not_shown(place: Any) -> None:
    class Gone(BaseException):
        """What Strands does not take for an error of the tool."""

    @tool
    def leave() -> str:
        """Leaves."""
        raise Gone

    agent = open_agent(place, tools=[leave])
    agent.model = Overtaken(calls="leave")
    with suppress(Gone):
        agent("two")
    assert all(message["content"] for message in open_agent(place).messages)
    calls = [str(message).count("'toolUse'") for message in open_agent(place).messages]
    answers = [str(message).count("'toolResult'") for message in open_agent(place).messages]
    assert answers == [0, *calls[:-1]]


def test_an_interrupted_agent_resumes_in_another_process(place: Any) -> None:
    class Approval(HookProvider):
        def register_hooks(self, registry: HookRegistry, **kwargs: Any) -> None:
            registry.add_callback(BeforeToolCallEvent, self.ask)

        def ask(self, event: BeforeToolCallEvent) -> None:
            if event.interrupt("go on", reason="?") != "yes":
                event.cancel_tool = "no"

    @tool
    def look() -> str:
        """Looks."""
        return "12 degrees"

    def open_it() -> Agent:
        agent = open_agent(place, tools=[look], hooks=[Approval()])
        agent.model = Overtaken(calls=None if agent.messages else "look")
        return agent

    (interrupt,) = open_it()("two").interrupts
    resumed = open_it()
    assert len(resumed.messages) == 2  # the question and the call, which has no answer yet
    answer: Any = {"interruptResponse": {"interruptId": interrupt.id, "response": "yes"}}
    resumed([answer])
    roles = [message["role"] for message in resumed.messages]
    assert roles == ["user", "assistant", "user", "assistant"]
    assert "12 degrees" in str(resumed.messages[2])
    assert open_it().messages == resumed.messages


def test_a_prompt_that_must_not_be_deleted_stays_and_the_error_says_so(place: Any) -> None:
    def meanwhile() -> None:
        open_agent(place)("three")
        with Retention(url=place["url"]) as retention:
            retention.hold("trial", place["namespace"])

    agent = open_agent(place)
    agent.model = Overtaken(meanwhile)
    with pytest.raises(EventLoopException) as error:
        agent("two")
    cause = error.value.__cause__
    assert isinstance(cause, ConflictError)
    assert any("its prompt is still in the session" in note for note in cause.__notes__)
    assert "two" in texts(open_agent(place))


def test_each_agent_of_a_session_has_its_own_messages(place: Any) -> None:
    for agent_id in ("default", "helper", "a b", "ä"):
        open_agent(place, agent_id=agent_id)(f"I am {agent_id}")
    for agent_id in ("default", "helper", "a b", "ä"):
        agent = open_agent(place, agent_id=agent_id)
        assert [text for text in texts(agent) if "I am" in text] == [f"I am {agent_id}"]
    assert texts(open_agent(place, "default")) == []


def test_a_conversation_of_another_framework_continues(place: Any) -> None:
    history = Memory(**place).history("ada")
    calls = [ToolCall("c1", "look", {"at": 1}), ToolCall("c2", "look", {})]
    history.extend(
        [
            Message("system", "Be kind.").to_item(),
            Message("user", "And in Oslo?").to_item(),
            Message("assistant", "", tool_calls=calls).to_item(),
            Message("tool", "12 degrees", tool_call_id="c1").to_item(),
            Message("tool", "rain", tool_call_id="c2").to_item(),
        ]
    )
    agent = open_agent(place)
    results = [block["toolResult"] for block in agent.messages[2]["content"]]
    assert [(one["toolUseId"], one["status"]) for one in results] == [
        ("c1", "success"),
        ("c2", "success"),
    ]
    assert "And in Oslo?" in str(agent("and now?"))
    assert texts(open_agent(place)) == texts(agent)
    assert [item.value["text"] for item in history.read()][-2] == "and now?"


def test_several_results_are_several_messages_for_others_and_redacted_everywhere(
    place: Any,
) -> None:
    manager = BotWireSessionManager("ada", **place)

    def result(call: str, text: str) -> Any:
        content = [{"text": text}, {"json": {"n": 1}}]
        return {"toolResult": {"toolUseId": call, "status": "success", "content": content}}

    said: Any = {"role": "user", "content": [result("a", "secret"), result("b", "two")]}
    stored = SessionMessage.from_message(said, 7)
    manager.create_message("ada", "default", stored)
    assert stored.message_id == 1
    history = Memory(**place).history("ada")
    messages = [Message.from_item(item.value) for item in history.read()]
    assert [(m.role, m.text, m.tool_call_id) for m in messages] == [
        ("tool", 'secret\n\n{"n": 1}', "a"),
        ("tool", 'two\n\n{"n": 1}', "b"),
    ]
    stored.redact_message = {"role": "user", "content": [result("a", "-"), result("b", "-")]}  # type: ignore[typeddict-item]
    manager.update_message("ada", "default", stored)
    found = manager.read_message("ada", "default", 1)
    assert found is not None
    assert found.to_message() == stored.redact_message
    assert all("secret" not in item.value["text"] for item in history.read())
    stored.redact_message = {"role": "user", "content": [{"text": "redacted"}]}  # type: ignore[typeddict-item]
    manager.update_message("ada", "default", stored)
    assert [item.value["text"] for item in history.read()] == ["redacted"]
    assert manager.list_messages("ada", "default", limit=1) == [
        manager.read_message("ada", "default", 1)
    ]


def test_a_missing_session_raises_the_error_of_strands(place: Any) -> None:
    manager = BotWireSessionManager("ada", **place)
    message = SessionMessage.from_message({"role": "user", "content": []}, 5)  # type: ignore[typeddict-item]
    with pytest.raises(SessionException, match="Message 5"):
        manager.update_message("ada", "default", message)
    with pytest.raises(SessionException, match="already exists"):
        manager.create_session(Session("ada", SessionType.AGENT))
    with pytest.raises(SessionException, match="does not exist"):
        manager.delete_session("nobody")
    with pytest.raises(ConfigurationError, match="cannot begin"):
        BotWireSessionManager("strands-agents/x", **place)


def test_a_deleted_session_is_gone_with_its_agents(place: Any) -> None:
    open_agent(place)("hello")
    open_agent(place, agent_id="helper")("hello")
    open_agent(place, "ada2")("stays")
    BotWireSessionManager("ada", **place).delete_session("ada")
    assert texts(open_agent(place)) == texts(open_agent(place, agent_id="helper")) == []
    assert "stays" in texts(open_agent(place, "ada2"))


def test_a_session_of_many_agents_is_deleted_in_several_requests(
    server_url: str, namespace: str
) -> None:
    manager = BotWireSessionManager("ada", namespace=namespace, url=server_url)
    memory = manager.connection.memory
    for start in (0, 5_000, 10_000):  # and one more than a server takes at once
        some = range(start, min(start + 5_000, 10_001))
        memory.set_many({f"strands-agents/ada/{number}": {} for number in some})
    manager.delete_session("ada")
    assert memory.list_keys() == []


async def test_many_messages_are_remembered_in_several_requests(
    server_url: str, namespace: str
) -> None:
    store = BotWireMemoryStore(namespace=namespace, url=server_url)
    said: Any = [{"role": "user", "content": [{"text": "x" * 9_000 + str(i)}]} for i in range(2000)]
    await store.add_messages(said)
    assert Memory(namespace, url=server_url).records(store.name).count() == 2000


def test_sessions_are_listed_most_recently_used_first(place: Any) -> None:
    for session, agent_id in (("ada/1", "default"), ("x" * 200, "helper"), ("bob", "default")):
        open_agent(place, session, agent_id=agent_id)("hello")
    BotWireSessionManager("silent", **place)
    memory = Memory(**place)
    memory.history("begun elsewhere").append(Message("user", "I am Ada.").to_item())
    open_agent(place, "x" * 200, agent_id="helper")("hello again")
    listed = [one.session_id for one in list_sessions(**place)]
    assert listed == ["x" * 200, "begun elsewhere", "silent", "bob", "ada/1"]
    assert [one.session_id for one in list_sessions(**place, limit=2)] == listed[:2]
    assert [one.session_id for one in list_sessions(**place, prefix="b")] == [
        "begun elsewhere", "bob",
    ]  # fmt: skip
    for one in list_sessions(**place):
        assert one.created_at <= one.updated_at
    BotWireSessionManager("bob", **place).delete_session("bob")
    assert "bob" not in [one.session_id for one in list_sessions(**place)]


def test_a_session_expires_after_its_last_message(place: Any) -> None:
    memory = Memory(**place)

    def expiries() -> set[float]:
        entries = [*memory.iter_entries("strands-")]
        times = [entry.expires_at for entry in entries]
        times += [info.expires_at for info in memory.list_histories()]
        assert len(times) == 3
        return {time.timestamp() if time is not None else 0 for time in times}

    where = {**place, "ttl": 3600}
    agent = open_agent(where)
    agent("My cat is called Turing.")
    first = expiries()
    assert 0 not in first
    agent("What is it called?")
    assert min(expiries()) > max(first)  # all of them, although the state has not changed
    assert "Turing" in str(open_agent(where)("And now?"))

    # Expired data is gone as if it was deleted, so the waiting agent starts over.
    memory.history("ada").clear()
    for entry in [*memory.iter_entries("strands-")]:
        memory.delete(entry.key)
    agent("hello again")
    assert "hello again" in texts(open_agent(where))
    assert "What is it called?" not in texts(open_agent(where))
    assert 0 not in expiries()
    with pytest.raises(ConfigurationError, match="ttl"):
        BotWireSessionManager("ada", **place, ttl=0)


async def test_storage_keeps_bytes_under_any_key(place: Any) -> None:
    storage = BotWireStorage(**place)
    keys = ("a", "a/b", "a/b*", "a/../c", "ä ~%", "z" * 900)
    for key in keys:
        await storage.write(key, key.encode())
    assert [await storage.read(key) for key in keys] == [key.encode() for key in keys]
    assert await storage.list("") == sorted(keys)
    assert await storage.list("a/") == sorted(key for key in keys if key.startswith("a/"))
    inner = storage.namespace("a")
    assert await inner.read("b") == b"a/b"
    (found, *_) = await storage.search("c")
    assert found.key == "a/../c"
    await storage.delete("a")
    await storage.delete("a")
    assert await storage.read("a") is None
    with pytest.raises(StorageError, match="empty"):
        await storage.write("", b"")
    with pytest.raises(StorageError, match="key"):
        await storage.write("x" * 2000, b"")


async def test_wrong_arguments_are_refused(place: Any) -> None:
    wrong: Any = 5
    for cls in (BotWireStorage, list_sessions):
        with pytest.raises(ConfigurationError, match="a prefix must be a string, not int: 5"):
            cls(**place, prefix=wrong)
    with pytest.raises(ConfigurationError, match="limit must be an int"):
        list_sessions(**place, limit="x")
    with pytest.raises(ConfigurationError, match="max_search_results must be an int"):
        BotWireMemoryStore(**place, max_search_results="x")
    with pytest.raises(ConfigurationError, match="a prefix must be a string"):
        BotWireStorage(**place).namespace(wrong)
    with pytest.raises(StorageError, match="data must be bytes, not int: 5"):
        await BotWireStorage(**place).write("a", wrong)
    memories = BotWireMemoryStore(**place)
    for messages, says in ((wrong, "messages must be a list"), ([{}], r"messages\[0\] needs")):
        with pytest.raises(ConfigurationError, match=says):
            await memories.add_messages(messages)
    manager = BotWireSessionManager("ada", **place)
    with pytest.raises(ConfigurationError, match="session_message must be a SessionMessage"):
        manager.create_message("ada", "default", wrong)
    with pytest.raises(ConfigurationError, match="offset must be an int"):
        manager.list_messages("ada", "default", offset="x")  # type: ignore[arg-type]
    bare = BotWireStorage(**place, prefix="")
    await bare.write("a", b"1")
    assert await bare.list("a") == ["a"]


async def test_a_server_that_is_down_is_a_storage_error_that_names_it(
    unused_tcp_port: int, namespace: str
) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    storage = BotWireStorage(namespace, url=url, timeout=0.5)
    with pytest.raises(StorageError, match=str(unused_tcp_port)):
        await storage.read("a")


def test_snapshots_are_stored_too(place: Any) -> None:
    def open_it() -> Agent:
        manager = SnapshotSessionManager("ada", storage=BotWireStorage(**place))
        return Agent(model=ScriptedModel(), session_manager=manager, callback_handler=None)

    open_it()("My cat is called Turing.")
    assert "Turing" in str(open_it()("What is it called?"))


def test_a_storage_with_a_prefix_of_the_users_gets_no_other(place: Any) -> None:
    storages: list[Any] = [InMemoryStorage(), BotWireStorage(**place)]
    for storage in storages:
        manager = SnapshotSessionManager("ada", storage=storage.namespace("mine"))
        Agent(model=ScriptedModel(), session_manager=manager, callback_handler=None)("hi")
    own, ours = [asyncio.run(storage.list("")) for storage in storages]
    assert own == ours != []


async def test_memories_are_found_and_added_once(place: Any) -> None:
    store = BotWireMemoryStore("facts", **place)
    for _ in range(2):
        await store.add("The cat is called Turing.", {"source": "chat"})
    await store.add("Dogs bark.")
    (found,) = await BotWireMemoryStore("facts", **place).search("cats")
    assert (found.content, found.metadata) == ("The cat is called Turing.", {"source": "chat"})
    assert await store.search("cats or dogs", {"max_search_results": 1})
    assert await BotWireMemoryStore("other", **place).search("cats") == []
    with pytest.raises(ConfigurationError, match="empty"):
        await store.add(" ")
    with pytest.raises(ConfigurationError, match="content must be a string, not NoneType"):
        await store.add(None)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="text must be a string, not int"):
        await store.search(5)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="not writable"):
        await BotWireMemoryStore("facts", writable=False, **place).add("x")


def test_a_memory_manager_shows_memories_to_the_model(
    place: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = BotWireMemoryStore("facts", **place)
    asyncio.run(store.add("The cat is called Turing."))
    log = tmp_path / "received"
    monkeypatch.setenv("SCRIPTED_LOG", str(log))
    Agent(
        model=ScriptedModel(), memory_manager=MemoryManager(stores=[store]), callback_handler=None
    )("What do you know of the cat?")
    assert "The cat is called Turing." in log.read_text()


async def test_retried_messages_are_added_once(place: Any) -> None:
    store = BotWireMemoryStore("said", **place)
    call: Any = {"toolUse": {"toolUseId": "1", "name": "look", "input": {}}}
    messages: Any = [
        {"role": "user", "content": [{"text": "My cat is called Turing."}]},
        {"role": "assistant", "content": [{"text": "A cat named Turing, noted."}, call]},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [{"text": "ok"}]},
        {"role": "user", "content": [{"text": "ok"}]},
    ]
    for numbers in ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4], None):
        await store.add_messages(messages, AddMessagesContext(numbers))
    found = await store.search("cat")
    assert {(one.content, str(one.metadata)) for one in found} == {
        ("My cat is called Turing.", "{'role': 'user'}"),
        ("A cat named Turing, noted.", "{'role': 'assistant'}"),
    }
    assert len(await store.search("ok")) == 1
    with pytest.raises(ConfigurationError, match="not writable"):
        await BotWireMemoryStore("said", writable=False, **place).add_messages(messages)


async def test_a_manager_passes_messages_to_the_store(place: Any) -> None:
    store = BotWireMemoryStore("said", **place, extraction={"trigger": InvocationTrigger()})
    manager = MemoryManager(stores=[store])
    agent = Agent(model=ScriptedModel(), memory_manager=manager, callback_handler=None)
    await agent.invoke_async("My cat is called Turing.")
    await manager.flush()
    (found, *_) = await BotWireMemoryStore("said", **place).search("Turing")
    assert found.content == "My cat is called Turing."
