"""Servers that are down, silent or killed in the middle, agents that fail, and crowds."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from autogen_agentchat.agents import AssistantAgent, UserProxyAgent
from autogen_agentchat.messages import MemoryQueryEvent
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core import CancellationToken
from autogen_core.memory import MemoryContent, MemoryMimeType
from autogen_core.model_context import UnboundedChatCompletionContext
from autogen_core.models import CreateResult, SystemMessage
from autogen_ext.models.replay import ReplayChatCompletionClient

from botwire import AsyncMemory, ConfigurationError, Memory, TransportError
from botwire_autogen import (
    BotWireCacheStore,
    BotWireChatCompletionContext,
    BotWireMemory,
    CheckpointedTeam,
)
from botwire_autogen.teams import PREFIX
from conftest import read_url, start_server
from tests.zygote import Zygote

BUDGET = 0.3  # seconds, for calls that get no answer
PATIENCE = 5.0  # seconds, for calls that get one, on a busy machine


def text(content: str) -> MemoryContent:
    return MemoryContent(content=content, mime_type=MemoryMimeType.TEXT)


class Failing(ReplayChatCompletionClient):
    """Gives scripted answers, and calls a function before one of them."""

    def __init__(self, before: Callable[[int], None], *says: str) -> None:
        super().__init__(list(says))
        self.before, self.calls = before, 0

    async def create(self, messages: Sequence[Any], **kwargs: Any) -> CreateResult:
        self.calls += 1
        self.before(self.calls)
        return await super().create(messages, **kwargs)


@pytest.fixture
def silent_url() -> Iterator[str]:
    """The URL of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.anyio
async def test_a_run_goes_on_when_nobody_answers(
    silent_url: str, unused_tcp_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    down = f"http://127.0.0.1:{unused_tcp_port}"
    for url in (silent_url, down):
        caplog.clear()
        memory = BotWireMemory("n", url=url, recall_timeout=BUDGET)
        agent = AssistantAgent("a", ReplayChatCompletionClient(["hello"]), memory=[memory])
        with caplog.at_level(logging.WARNING, "botwire.autogen"):
            async with asyncio.timeout(30):
                result = await agent.run(task="hi")
        assert [getattr(m, "content", None) for m in result.messages] == ["hi", "hello"]
        assert "continues without" in caplog.text
        strict = BotWireMemory("n", url=url, recall_timeout=BUDGET, strict=True)
        with pytest.raises(TransportError, match=re.escape(url)):
            await strict.update_context(UnboundedChatCompletionContext())


@pytest.mark.anyio
async def test_what_is_asked_for_is_never_empty_because_nobody_answers(
    unused_tcp_port: int,
) -> None:
    client = AsyncMemory("n", url=f"http://127.0.0.1:{unused_tcp_port}", timeout=BUDGET)
    memory = BotWireMemory("n", client=client)
    context = BotWireChatCompletionContext("n", client=client)
    team = CheckpointedTeam(
        RoundRobinGroupChat([AssistantAgent("a", ReplayChatCompletionClient(["x"]))], max_turns=1),
        "n",
        client=client,
    )
    for call in (
        memory.query("x"),
        memory.add(text("x")),
        memory.clear(),
        context.get_messages(),
        context.add_message(SystemMessage(content="x")),
        team.run(task="x"),
        team.pending(),
    ):
        with pytest.raises(TransportError, match=str(unused_tcp_port)):
            await call
    store: BotWireCacheStore[Any] = BotWireCacheStore("n", client=client)
    with pytest.raises(TransportError, match=str(unused_tcp_port)):
        store.get("k")
    with pytest.raises(TransportError, match=str(unused_tcp_port)):
        store.set("k", 1)


@pytest.mark.anyio
async def test_a_server_killed_in_the_middle_of_a_turn_loses_nothing(
    tmp_path: Path, namespace: str, unused_tcp_port: int
) -> None:
    database = tmp_path / "memory.db"
    port = ("--port", str(unused_tcp_port))
    with start_server(database, *port) as server:
        client = AsyncMemory(namespace, url=read_url(server), timeout=PATIENCE)
        memory = BotWireMemory(namespace, client=client, recall_timeout=2 * PATIENCE)
        await memory.add(text("the sky is blue"))

        def kill(call: int) -> None:
            if call == 2:
                server.kill()
                server.wait()

        def agent(name: str, before: Callable[[int], None]) -> AssistantAgent:
            return AssistantAgent(
                name,
                Failing(before, *(f"{name}{i}" for i in range(9))),
                model_context=BotWireChatCompletionContext(namespace, client=client, name=name),
                memory=[memory],
            )

        team = RoundRobinGroupChat([agent("a", kill), agent("b", lambda _: None)], max_turns=1)
        checkpointed = CheckpointedTeam(team, namespace, client=client, max_turns=6)
        with pytest.raises((TransportError, RuntimeError), match=str(unused_tcp_port)):
            await checkpointed.run(task="go")
        assert server.returncode == -signal.SIGKILL
    with start_server(database, *port) as again:
        read_url(again)
        result = await checkpointed.run(task="go")
        again.terminate()
    said = [m.source for m in result.messages if not isinstance(m, MemoryQueryEvent)]
    assert said == ["user", "a", "b", "a", "b", "a", "b"]
    assert sum(isinstance(m, MemoryQueryEvent) for m in result.messages) == 2


@pytest.mark.anyio
async def test_a_turn_that_failed_is_run_again_by_the_same_object(
    place_url: str, namespace: str
) -> None:
    def fail(call: int) -> None:
        if call == 2:
            raise OSError("the model is busy")

    agents = [
        AssistantAgent("a", Failing(fail, "a0", "a1", "a2")),
        AssistantAgent("b", ReplayChatCompletionClient(["b0", "b1"])),
    ]
    team = RoundRobinGroupChat([*agents], max_turns=1)
    one = CheckpointedTeam(team, namespace, url=place_url, max_turns=4)
    with pytest.raises(RuntimeError, match="the model is busy"):
        await one.run(task="go")
    async with asyncio.timeout(20):
        result = await one.run()
    assert [m.source for m in result.messages] == ["user", "a", "b", "a", "b"]


@pytest.mark.anyio
async def test_a_run_that_waits_for_a_person_is_saved_and_goes_on(
    place_url: str, namespace: str
) -> None:
    # microsoft/autogen#6981: a stream that waits for a user never reaches the save after it.
    is_over = asyncio.Event()  # held, or its waiting task is collected
    others = asyncio.all_tasks()

    async def never(prompt: str, token: CancellationToken | None) -> str:
        await is_over.wait()
        return ""

    def make(answer: Any) -> CheckpointedTeam:
        agents = [
            AssistantAgent("a", ReplayChatCompletionClient(["a0", "a1"])),
            UserProxyAgent("person", input_func=answer),
        ]
        return CheckpointedTeam(
            RoundRobinGroupChat([*agents], max_turns=1), namespace, url=place_url, max_turns=2
        )

    token = CancellationToken()
    stream = make(never).run_stream(task="go", cancellation_token=token)
    async for event in stream:
        if type(event).__name__ == "UserInputRequestedEvent":
            break
    token.cancel()
    await stream.aclose()
    other = make(lambda prompt: "yes")
    assert [m.source for m in await other.thread()] == ["user", "a"]
    result = await other.run()
    assert [m.source for m in result.messages if "Event" not in type(m).__name__] == [
        "user",
        "a",
        "person",
    ]
    is_over.set()
    if left := asyncio.all_tasks() - others:  # of the abandoned run
        await asyncio.wait(left, timeout=30)


@pytest.mark.anyio
async def test_a_run_that_cannot_go_on_is_abandoned(place_url: str, namespace: str) -> None:
    model = ReplayChatCompletionClient(["done"])
    agent = AssistantAgent("a", model)
    inner = RoundRobinGroupChat([agent], max_turns=1)
    team = CheckpointedTeam(inner, namespace, url=place_url, max_turns=1)
    await team.run(task="go")
    with pytest.raises(RuntimeError, match="No more mock responses"):
        await team.run(task="a task that the model fails on")
    agent._model_client = ReplayChatCompletionClient(["answered"])
    with pytest.raises(ConfigurationError, match="abandon"):
        await team.run(task="another")
    await team.abandon()
    result = await team.run(task="another")
    assert result.messages[-1].to_model_text() == "answered"  # type: ignore[union-attr]


@pytest.mark.anyio
async def test_a_reset_that_was_cut_off_is_finished_by_the_next_run(
    place_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make() -> tuple[RoundRobinGroupChat, CheckpointedTeam]:
        context = BotWireChatCompletionContext(namespace, url=place_url)
        agent = AssistantAgent("a", ReplayChatCompletionClient(["x"] * 9), model_context=context)
        team = RoundRobinGroupChat([agent], max_turns=1)
        return team, CheckpointedTeam(team, namespace, url=place_url, max_turns=1)

    team, first = make()
    await first.run(task="old")

    async def cut_off(self: Any) -> None:
        await RoundRobinGroupChat.reset(self)
        raise KeyboardInterrupt  # as if the process ended: only the state is left

    class CutOff(RoundRobinGroupChat):
        reset = cut_off

    team.__class__ = CutOff
    with pytest.raises(KeyboardInterrupt):
        await first.reset()
    _, second = make()
    result = await second.run(task="new")
    assert [m.to_text() for m in result.messages] == ["new", "x"]  # type: ignore[union-attr]
    assert len(await second.thread()) == 2


@pytest.mark.anyio
async def test_each_message_of_a_thread_is_written_once(place_url: str, namespace: str) -> None:
    agents = [AssistantAgent(name, ReplayChatCompletionClient(["x"] * 40)) for name in "ab"]
    team = CheckpointedTeam(
        RoundRobinGroupChat([*agents], max_turns=1), namespace, url=place_url, max_turns=30
    )
    for task in ("one", "two"):
        await team.run(task=task)
    info = Memory(namespace, url=place_url).history(PREFIX + "team").info()
    # Numbers are never used twice: there are as many as messages.
    assert info.count == info.last_seq == 62


def test_adding_does_not_hold_up_the_event_loop(tmp_path: Path, namespace: str) -> None:
    database = tmp_path / "memory.db"
    memory = BotWireMemory(namespace, url=f"sqlite:///{database}")

    async def main() -> None:
        await memory.add(text("first"))
        other = sqlite3.connect(database, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")  # blocks all other writers
        adding = [asyncio.create_task(memory.add(text(str(i)))) for i in range(20)]
        for _ in range(200):
            await asyncio.sleep(0.001)  # if the loop were blocked, the lock would never be released
        assert not any(task.done() for task in adding)
        other.execute("ROLLBACK")
        other.close()
        await asyncio.gather(*adding)
        assert len((await memory.query(k=100)).results) == 21

    asyncio.run(main())


@pytest.mark.anyio
async def test_all_of_it_on_postgresql(postgres_url: str, namespace: str) -> None:
    def embed(texts: list[str]) -> list[list[float]]:
        return [[1.0, 0.1] if "tea" in text else [0.1, 1.0] for text in texts]

    place: dict[str, Any] = {"namespace": namespace, "url": postgres_url}
    memory = BotWireMemory(**place, embedder=embed, k=1, recall_timeout=60)
    for i, content in enumerate(("Ada likes tea", "the sky is blue")):
        mime = MemoryMimeType.TEXT
        await memory.add(MemoryContent(content=content, mime_type=mime, metadata={"n": i}))
    assert (await memory.query("a cup of tea")).results[0].content == "Ada likes tea"
    chosen = await memory.query("a cup of tea", filter={"metadata.n": 1})
    assert chosen.results[0].content == "the sky is blue"
    context = BotWireChatCompletionContext(**place, buffer_size=1)
    await context.add_message(SystemMessage(content="Be brief."))
    assert len((await memory.update_context(context)).memories.results) == 1
    await context.load_state(await context.save_state())
    assert len(await context.get_messages()) == 1
    store: BotWireCacheStore[Any] = BotWireCacheStore(**place)
    store.set("k", {"a": 1})
    assert store.get("k") == {"a": 1}


CROWD = """
import asyncio, os, sys
from autogen_core.memory import MemoryContent, MemoryMimeType
from botwire_autogen import BotWireMemory

url, namespace, processes, adds = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])

async def main(me):
    memory = BotWireMemory(namespace, url=url)
    for i in range(adds):
        content = f"{me} {i}"
        await memory.add(MemoryContent(content=content, mime_type=MemoryMimeType.TEXT))

children = []
for me in range(processes):
    if (child := os.fork()) == 0:
        asyncio.run(main(me))
        os._exit(0)
    children.append(child)
assert all(os.waitpid(child, 0)[1] == 0 for child in children)
"""


@pytest.mark.anyio
async def test_four_processes_add_and_the_order_is_that_of_each(
    zygote: Zygote, place_url: str, namespace: str
) -> None:
    assert zygote.run(CROWD, place_url, namespace, "4", "50") == 0
    memory = BotWireMemory(namespace, url=place_url, k=1000)
    found = [str(content.content) for content in (await memory.query()).results]
    assert len(found) == len(set(found)) == 200
    for process in "0123":
        mine = [content for content in found if content.startswith(process)]
        assert mine == [f"{process} {i}" for i in range(50)]
    assert found == [str(content.content) for content in (await memory.query()).results]


ALONE = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("autogen_ext", "autogen", "openai", "tiktoken"):
            raise ImportError(f"{name} is not installed here")

sys.meta_path.insert(0, Refuse())

import asyncio, json
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core.memory import MemoryContent
from autogen_core.models import ChatCompletionClient, CreateResult, RequestUsage
from botwire_autogen import (
    BotWireCacheStore, BotWireChatCompletionContext, BotWireMemory, CheckpointedTeam,
)

class Model(ChatCompletionClient):
    model_info = capabilities = {
        "vision": False, "function_calling": False, "json_output": False,
        "family": "x", "structured_output": False,
    }
    async def create(self, messages, **kwargs):
        return CreateResult(
            finish_reason="stop", content=str(messages[-1].content), usage=RequestUsage(1, 1),
            cached=False,
        )
    def create_stream(self, messages, **kwargs): raise NotImplementedError
    async def close(self): ...
    def count_tokens(self, messages, **kwargs): return len(messages)
    def remaining_tokens(self, messages, **kwargs): return 1
    actual_usage = total_usage = lambda self: RequestUsage(1, 1)

async def main():
    memory = BotWireMemory("n")
    await memory.add(MemoryContent(content="the sky is blue", mime_type="text/plain"))
    context = BotWireChatCompletionContext("n", token_limit=9, model_client=Model())
    agent = AssistantAgent("a", Model(), memory=[memory], model_context=context)
    team = CheckpointedTeam(RoundRobinGroupChat([agent], max_turns=1), "n", max_turns=1)
    result = await team.run(task="look up")
    assert "the sky is blue" in result.messages[-1].content, result
    BotWireCacheStore("n").set("k", 1)

asyncio.run(main())
"""


def test_it_runs_with_what_pyautogen_brings(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ALONE],
        env={"BOTWIRE_URL": f"sqlite:///{tmp_path / 'memory.db'}", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_whole_team_is_a_component_without_a_secret(server_url: str, namespace: str) -> None:
    def agent(name: str) -> AssistantAgent:
        place: dict[str, Any] = {"url": server_url, "api_key": "bw_secret"}
        return AssistantAgent(
            name,
            ReplayChatCompletionClient(["x"]),
            memory=[BotWireMemory(namespace, **place)],
            model_context=BotWireChatCompletionContext(namespace, name=name, **place),
        )

    team = RoundRobinGroupChat([agent("a"), agent("b")], max_turns=2)
    dumped = team.dump_component().model_dump_json()
    assert "bw_secret" not in dumped
    # What autogen#7463 allows to load once botwire_autogen is among the trusted packages.
    providers = set(re.findall(r'"provider":\s*"(\w+)\.', dumped))
    assert providers == {"autogen_agentchat", "autogen_core", "autogen_ext", "botwire_autogen"}
    again = RoundRobinGroupChat.load_component(json.loads(dumped))
    result = asyncio.run(again.run(task="go"))
    assert [m.source for m in result.messages] == ["user", "a", "b"]


def test_a_password_in_a_url_is_in_no_component(namespace: str) -> None:
    url = "postgresql://ada:secret@127.0.0.1/db"
    for made in (
        BotWireMemory(namespace, url=url),
        BotWireChatCompletionContext(namespace, url=url),
        BotWireCacheStore(namespace, url=url),
    ):
        dumped = made.dump_component().model_dump_json()
        assert "secret" not in dumped + repr(made)
        assert "postgresql://ada@127.0.0.1/db" in dumped
