"""Faults of other memories for AutoGen, each shown to be absent here.

Seen on autogen-ext 0.7.5. What needs a server or a process is in `test_autogen_faults.py`: a
cache that swallows errors (redis), a query that is empty because it failed (mem0), adding that
holds up the event loop (chromadb), passwords in components (redis, diskcache).
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core import CancellationToken, Image
from autogen_core.memory import Memory, MemoryContent, MemoryMimeType
from autogen_core.model_context import UnboundedChatCompletionContext
from autogen_core.models import SystemMessage, UserMessage
from autogen_ext.models.replay import ReplayChatCompletionClient

from botwire_autogen import BotWireMemory

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5Erk"
    "Jggg=="
)


@pytest.fixture
def memory(place_url: str, namespace: str) -> BotWireMemory:
    """An empty memory."""
    return BotWireMemory(namespace, url=place_url, recall_timeout=60)  # the machine may be busy


@pytest.mark.anyio
async def test_chromadb_refuses_a_mime_type_that_is_a_string(memory: BotWireMemory) -> None:
    await memory.add(MemoryContent(content="x", mime_type="text/plain"))
    # It also returns 'MemoryMimeType.TEXT', a string that is not a mime type.
    assert (await memory.query("x")).results[0].mime_type is MemoryMimeType.TEXT


@pytest.mark.anyio
async def test_chromadb_keeps_json_as_lower_case_python(memory: BotWireMemory) -> None:
    content = {"City": "Oslo", "wet": True, "at": None}
    await memory.add(MemoryContent(content=content, mime_type=MemoryMimeType.JSON))
    assert (await memory.query("Oslo")).results[0].content == content


@pytest.mark.anyio
async def test_chromadb_refuses_nested_metadata(memory: BotWireMemory) -> None:
    metadata = {"a": {"b": [1, {"c": None}]}}
    await memory.add(MemoryContent(content="x", mime_type=MemoryMimeType.TEXT, metadata=metadata))
    # It also puts the score into the caller's own metadata.
    assert metadata == {"a": {"b": [1, {"c": None}]}}
    found = (await memory.query("x")).results[0].metadata
    assert found is not None
    assert found.pop("score") > 0
    assert found == metadata


@pytest.mark.anyio
async def test_chromadb_compares_lengths_where_it_was_told_cosine(
    place_url: str, namespace: str
) -> None:
    def embed(texts: list[str]) -> list[list[float]]:
        return [[float(len(text)), 0.0] for text in texts]

    memory = BotWireMemory(namespace, url=place_url, embedder=embed, retrieval="vector")
    await memory.add(MemoryContent(content="x" * 50, mime_type=MemoryMimeType.TEXT))
    assert len((await memory.query("x", score_threshold=0.99)).results) == 1


@pytest.mark.anyio
async def test_chromadb_has_no_k_and_takes_its_clients_arguments(memory: BotWireMemory) -> None:
    for _ in range(3):
        await memory.add(MemoryContent(content="x", mime_type=MemoryMimeType.TEXT))
    assert len((await memory.query("x", k=2)).results) == 2


@pytest.mark.anyio
async def test_chromadb_and_redis_do_not_come_back_as_components(memory: BotWireMemory) -> None:
    again = Memory.load_component(json.loads(memory.dump_component().model_dump_json()))
    assert type(again) is BotWireMemory


@pytest.mark.anyio
async def test_redis_deletes_everything_when_it_is_closed(memory: BotWireMemory) -> None:
    await memory.add(MemoryContent(content="x", mime_type=MemoryMimeType.TEXT))
    await memory.close()
    assert len((await memory.query()).results) == 1


@pytest.mark.anyio
async def test_redis_tells_an_empty_system_message_when_there_is_nothing(
    memory: BotWireMemory,
) -> None:
    context = UnboundedChatCompletionContext()
    await context.add_message(UserMessage(content="hello", source="user"))
    await memory.update_context(context)
    assert len(await context.get_messages()) == 1


def test_mem0_makes_up_a_user_whose_memories_nobody_finds_again() -> None:
    with pytest.raises(TypeError, match="namespace"):
        BotWireMemory()  # type: ignore[call-arg]


@pytest.mark.anyio
async def test_mem0_fails_when_it_is_given_a_cancellation_token(memory: BotWireMemory) -> None:
    token = CancellationToken()
    await memory.add(MemoryContent(content="x", mime_type=MemoryMimeType.TEXT), token)
    assert len((await memory.query("x", token)).results) == 1


@pytest.mark.anyio
async def test_autogen_adds_every_memory_again_with_every_run(memory: BotWireMemory) -> None:
    for i in range(5):
        await memory.add(MemoryContent(content=f"fact {i}", mime_type=MemoryMimeType.TEXT))
    agent = AssistantAgent("a", ReplayChatCompletionClient(["x"] * 50), memory=[memory])
    sizes = []
    for _ in range(50):
        await agent.run(task="hello")
        sizes.append(len(json.dumps(await agent.save_state())))
    messages = await agent.model_context.get_messages()
    told = [message for message in messages if isinstance(message, SystemMessage)]
    assert len(told) == 1
    assert told[0].content.count("fact") == 5
    assert len({after - before for before, after in pairwise(sizes)}) == 1


@pytest.mark.anyio
async def test_a_memory_of_bytes_or_times_makes_a_state_that_is_no_json(
    memory: BotWireMemory,
) -> None:
    # microsoft/autogen#5688 and #6793.
    metadata: dict[str, Any] = {"at": datetime(2026, 1, 1, tzinfo=UTC), "raw": b"\xff"}
    for content, mime in (
        ("x", MemoryMimeType.TEXT),
        (b"\xff", MemoryMimeType.BINARY),
        (Image.from_base64(PIXEL), MemoryMimeType.IMAGE),
        ({"raw": b"\xff"}, MemoryMimeType.JSON),
        ("y", "application/x-mine"),
    ):
        await memory.add(MemoryContent(content=content, mime_type=mime, metadata=metadata))
    agent = AssistantAgent("a", ReplayChatCompletionClient(["x", "y"]), memory=[memory])
    team = RoundRobinGroupChat([agent], max_turns=1)
    result = await team.run(task="hello")
    state = json.loads(json.dumps(await team.save_state()))
    assert json.loads(result.model_dump_json())
    agent = AssistantAgent("a", ReplayChatCompletionClient(["x", "y"]), memory=[memory])
    again = RoundRobinGroupChat([agent], max_turns=1)
    await again.load_state(state)
    assert [m.source for m in (await again.run(task="more")).messages] == ["user", "a"]
