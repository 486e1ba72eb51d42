"""An agent remembers in the next process, each memory once, and continues without an answer."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from autogen_core import CancellationToken, Component, ComponentBase, Image
from autogen_core.memory import Memory, MemoryContent, MemoryMimeType
from autogen_core.model_context import UnboundedChatCompletionContext
from autogen_core.models import AssistantMessage, SystemMessage, UserMessage
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from botwire import ConfigurationError, NotJSONError, Record
from botwire_autogen import BotWireMemory
from botwire_autogen.convert import from_record, to_record
from conftest import run_and_kill
from tests.zygote import Zygote

PATIENCE = 60  # seconds, on a busy machine
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5Erk"
    "Jggg=="
)


@pytest.fixture
def memory(place_url: str, namespace: str) -> BotWireMemory:
    """An empty memory."""
    return BotWireMemory(namespace, url=place_url, recall_timeout=PATIENCE)


def text(content: str, **metadata: Any) -> MemoryContent:
    return MemoryContent(content=content, mime_type=MemoryMimeType.TEXT, metadata=metadata or None)


@pytest.mark.parametrize(
    "content",
    [
        text("plain \ud800 😀", source="test", deep={"a": [1, None]}),
        MemoryContent(content="# title", mime_type=MemoryMimeType.MARKDOWN),
        MemoryContent(content="same as an enum", mime_type="text/plain"),
        MemoryContent(content={"a": [1, {"b": None}]}, mime_type=MemoryMimeType.JSON),
        MemoryContent(content=b"\x00\xff", mime_type=MemoryMimeType.BINARY),
        MemoryContent(content=b"utf8 too", mime_type="application/x-mine"),
    ],
    ids=lambda content: str(content.mime_type),
)
@pytest.mark.anyio
async def test_every_content_comes_back_in_another_process(
    memory: BotWireMemory, place_url: str, namespace: str, content: MemoryContent
) -> None:
    await memory.add(content)
    (found,) = (await BotWireMemory(namespace, url=place_url).query()).results
    assert type(found.content) is type(content.content)
    assert (found.content, found.metadata) == (content.content, content.metadata)
    known = {mime.value for mime in MemoryMimeType}
    mime = content.mime_type
    value = mime.value if isinstance(mime, MemoryMimeType) else mime
    assert found.mime_type == (MemoryMimeType(value) if value in known else value)


@pytest.mark.anyio
async def test_an_image_comes_back(memory: BotWireMemory) -> None:
    image = Image.from_base64(PIXEL)
    await memory.add(MemoryContent(content=image, mime_type=MemoryMimeType.IMAGE))
    (found,) = (await memory.query()).results
    assert isinstance(found.content, Image)
    assert found.content.to_base64() == image.to_base64()


words = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)
parts = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | words | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(words, inner),
    max_leaves=8,
)


@given(words | st.binary() | st.dictionaries(words, parts), words, st.dictionaries(words, parts))
def test_whatever_it_holds_comes_back_equal(content: Any, mime: str, metadata: Any) -> None:
    kept = MemoryContent.model_construct(content=content, mime_type=mime, metadata=metadata)
    record = to_record(kept)
    stored = replace(record, metadata=json.loads(json.dumps(record.metadata)))
    found = from_record(stored)
    assert (found.content, found.metadata) == (content, metadata)


@pytest.mark.anyio
async def test_what_would_not_come_back_is_refused(memory: BotWireMemory) -> None:
    for bad in (
        text("x", raw=object()),
        MemoryContent(content={"raw": object()}, mime_type=MemoryMimeType.JSON),
    ):
        with pytest.raises(NotJSONError, match="raw"):
            await memory.add(bad)
    assert (await memory.query()).results == []


@pytest.mark.anyio
async def test_the_last_ones_in_their_order(memory: BotWireMemory) -> None:
    for i in range(30):
        await memory.add(text(str(i)))
    assert [c.content for c in (await memory.query()).results] == [str(i) for i in range(10, 30)]
    assert [c.content for c in (await memory.query(k=2)).results] == ["28", "29"]


FACTS = ("Ada likes tea", "Bob likes coffee", "Ada lives in Oslo", "The sky is blue")


class Config(BaseModel):
    """The configuration of an embedder that is a component."""


class Embedder(ComponentBase[Config], Component[Config]):
    """Knows two meanings, and counts its calls."""

    component_type = "embedder"
    component_config_schema = Config
    component_provider_override = f"{__name__}.Embedder"
    asked = 0

    def __call__(self, texts: list[str]) -> list[list[float]]:
        Embedder.asked += 1
        drinks = ("tea", "coffee", "drink", "thirsty")
        return [[1.0, 0.1] if any(d in t for d in drinks) else [0.1, 1.0] for t in texts]

    def _to_config(self) -> Config:
        return Config()

    @classmethod
    def _from_config(cls, config: Config) -> Embedder:
        return cls()


async def awaited(texts: list[str]) -> list[list[float]]:
    await asyncio.sleep(0)
    return Embedder()(texts)


async def filled(url: str, namespace: str, **options: Any) -> BotWireMemory:
    memory = BotWireMemory(namespace, url=url, recall_timeout=PATIENCE, **options)
    for i, fact in enumerate(FACTS):
        await memory.add(text(fact, about={"person": fact.split()[0]}, n=i))
    return memory


async def asked(memory: BotWireMemory, question: str, **options: Any) -> list[Any]:
    return [c.content for c in (await memory.query(question, **options)).results]


@pytest.mark.anyio
async def test_what_shares_words_is_found_the_best_first(place_url: str, namespace: str) -> None:
    memory = await filled(place_url, namespace)
    assert (await asked(memory, "where does ADA live, in Oslo?")) == [FACTS[2], FACTS[0]]
    assert (await asked(memory, "where does ADA live, in Oslo?", k=1)) == [FACTS[2]]
    assert await asked(memory, "quantum") == []
    question = MemoryContent(content="sky", mime_type=MemoryMimeType.TEXT)
    assert [c.content for c in (await memory.query(question)).results] == [FACTS[3]]
    best = await asked(memory, "where does ADA live, in Oslo?", score_threshold=0.6)
    assert best == [FACTS[2]]


@pytest.mark.parametrize("embedder", [Embedder(), awaited], ids=["called", "awaited"])
@pytest.mark.anyio
async def test_what_means_the_same_is_found(place_url: str, namespace: str, embedder: Any) -> None:
    memory = await filled(place_url, namespace, embedder=embedder, retrieval="vector")
    assert sorted(await asked(memory, "I am thirsty", score_threshold=0.9)) == sorted(FACTS[:2])
    hybrid = BotWireMemory(namespace, url=place_url, embedder=embedder)
    assert (await asked(hybrid, "does Ada drink?"))[0] == FACTS[0]
    await hybrid.add(MemoryContent(content=b"\xff", mime_type=MemoryMimeType.BINARY))


@pytest.mark.anyio
async def test_what_json_paths_describe_is_found(place_url: str, namespace: str) -> None:
    memory = await filled(place_url, namespace)
    about_ada = {"metadata.about.person": "Ada"}
    assert await asked(memory, "", filter=about_ada) == [FACTS[0], FACTS[2]]
    assert await asked(memory, "likes", filter=about_ada) == [FACTS[0]]
    newest = {"metadata.n": {"$gte": 1}, "mime_type": "text/plain"}
    assert await asked(memory, "", filter=newest) == list(FACTS[1:])
    await memory.add(MemoryContent(content={"city": "Oslo"}, mime_type=MemoryMimeType.JSON))
    assert await asked(memory, "", filter={"content.city": "Oslo"}) == [{"city": "Oslo"}]
    # A memory's own filter applies to everything it does, in addition to a query's filter.
    adas = BotWireMemory(namespace, url=place_url, filter=about_ada, recall_timeout=PATIENCE)
    assert await asked(adas, "", filter={"metadata.n": {"$lt": 2}}) == [FACTS[0]]
    context = UnboundedChatCompletionContext()
    told = await adas.update_context(context)
    assert [c.content for c in told.memories.results] == [FACTS[0], FACTS[2]]


@pytest.mark.anyio
async def test_a_filter_is_applied_before_the_limit(place_url: str, namespace: str) -> None:
    memory = BotWireMemory(namespace, url=place_url, k=2)
    for i in range(12):
        await memory.add(text(f"fact {i}", n=i))
    rare = {"metadata.n": {"$in": [0, 1]}}
    assert await asked(memory, "", filter=rare) == ["fact 0", "fact 1"]
    assert sorted(await asked(memory, "fact", filter=rare)) == ["fact 0", "fact 1"]


@pytest.mark.parametrize(
    ("retrieval", "told"),
    [
        ("auto", [FACTS[0], *FACTS[2:]]),
        ("recent", list(FACTS[1:])),
        ("keyword", [FACTS[0]]),
    ],
)
@pytest.mark.anyio
async def test_a_run_is_told_what_fits_the_last_user_message(
    place_url: str, namespace: str, retrieval: str, told: list[str]
) -> None:
    memory = await filled(place_url, namespace, retrieval=retrieval, k=3)
    context = UnboundedChatCompletionContext()
    for said in ("Something about the sky", "A cup of tea, please"):
        await context.add_message(UserMessage(content=said, source="user"))
    await context.add_message(AssistantMessage(content="The sky is blue", source="a"))
    result = await memory.update_context(context)
    assert [c.content for c in result.memories.results] == told


@pytest.mark.anyio
async def test_a_user_can_tell_it_to_models_that_take_one_system_message(
    place_url: str, namespace: str
) -> None:
    memory = await filled(place_url, namespace, role="user", retrieval="keyword")
    context = UnboundedChatCompletionContext()
    await context.add_message(UserMessage(content="tea", source="user"))
    assert len((await memory.update_context(context)).memories.results) == 1
    # Recognized as a memory, so neither taken as a question nor shown again.
    assert (await memory.update_context(context)).memories.results == []
    user, told = await context.get_messages()
    assert isinstance(told, UserMessage)
    assert "- Ada likes tea" in told.content
    assert user.content == "tea"


@pytest.mark.anyio
async def test_the_context_is_told_once(memory: BotWireMemory) -> None:
    context = UnboundedChatCompletionContext()
    for i in range(5):
        await memory.add(text(f"fact {i}"))
    told = 0
    for run in range(50):
        await context.add_message(UserMessage(content=f"question {run}", source="user"))
        told += len((await memory.update_context(context)).memories.results)
    lines = "fact 5\n- of\n\n    two lines\n"
    await memory.add(text(lines))
    again = await memory.update_context(context)
    assert [c.content for c in again.memories.results] == [lines]
    assert (await memory.update_context(context)).memories.results == []
    assert told == 5
    messages = await context.get_messages()
    system = [message for message in messages if isinstance(message, SystemMessage)]
    assert len(system) == 2
    assert sum(message.content.count("fact") for message in system) == 6


@pytest.mark.anyio
async def test_nothing_to_tell_adds_nothing(memory: BotWireMemory) -> None:
    context = UnboundedChatCompletionContext()
    assert (await memory.update_context(context)).memories.results == []
    assert await context.get_messages() == []


@pytest.mark.anyio
async def test_clearing_and_closing(memory: BotWireMemory) -> None:
    other = BotWireMemory(
        memory.connection.namespace, client=memory.connection.memory, name="other"
    )
    await memory.add(text("mine"))
    await other.add(text("theirs"))
    await memory.close()
    assert len((await memory.query()).results) == 1
    await memory.clear()
    assert (await memory.query()).results == []
    assert len((await other.query()).results) == 1


@pytest.mark.anyio
async def test_a_cancelled_call_raises(memory: BotWireMemory) -> None:
    token = CancellationToken()
    token.cancel()
    with pytest.raises(asyncio.CancelledError):
        await memory.add(text("x"), token)
    with pytest.raises(asyncio.CancelledError):
        await memory.query("x", token)


@pytest.mark.parametrize("restricted", [False, True])
@pytest.mark.anyio
async def test_a_component_comes_back_without_a_secret(
    place_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch, restricted: bool
) -> None:
    if restricted:
        monkeypatch.setenv("AUTOGEN_ALLOWED_PROVIDER_NAMESPACES", "botwire_autogen")
    memory = BotWireMemory(
        namespace,
        url=place_url,
        api_key="bw_secret",
        name="m",
        k=3,
        retrieval="hybrid",
        score_threshold=0.1,
        filter={"metadata.n": 1},
        embedder=Embedder(),
        role="user",
        recall_timeout=1.5,
        strict=True,
    )
    await memory.add(text("kept", n=1))
    dump = json.dumps(memory.dump_component().model_dump())
    assert "bw_secret" not in dump + repr(memory)
    assert "botwire_autogen.BotWireMemory" in dump
    again = Memory.load_component(json.loads(dump))
    assert isinstance(again, BotWireMemory)
    assert again.dump_component() == memory.dump_component()
    assert await asked(again, "kept") == ["kept"]


def test_an_embedder_that_no_component_can_hold_says_so(place_url: str) -> None:
    with pytest.raises(ConfigurationError, match="plain function"):
        BotWireMemory("n", url=place_url, embedder=awaited).dump_component()


@pytest.mark.anyio
async def test_an_argument_that_only_another_memory_knows_is_named(memory: BotWireMemory) -> None:
    with pytest.raises(ConfigurationError, match="n_results"):
        await memory.query("x", n_results=3)
    with pytest.raises(ConfigurationError, match=r"magic"):
        await memory.query("x", filter={"a": {"$magic": 1}})


@pytest.mark.anyio
async def test_a_wrong_argument_of_a_call_is_named(memory: BotWireMemory) -> None:
    wrong: Any = 5
    for call, says in (
        (memory.add(wrong), "content must be a MemoryContent, not int: 5"),
        (memory.query(wrong), "query must be a text or a MemoryContent, not int: 5"),
        (memory.query("x", k=0), "k must be at least 1"),
        (memory.query("x", wrong), "cancellation_token must be a CancellationToken"),
        (memory.add(text("x"), wrong), "cancellation_token must be a CancellationToken"),
        (memory.query("x", score_threshold="x"), "score_threshold must be a number"),  # type: ignore[arg-type]
    ):
        with pytest.raises(ConfigurationError, match=says):
            await call
    assert (await memory.query()).results == []


@pytest.mark.anyio
async def test_an_embedder_that_fails_does_not_end_a_run(
    place_url: str, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(texts: list[str]) -> list[list[float]]:
        raise OSError("no embedding today")

    await filled(place_url, namespace)
    context = UnboundedChatCompletionContext()
    await context.add_message(UserMessage(content="tea", source="user"))
    memory = BotWireMemory(namespace, url=place_url, embedder=broken)
    assert (await memory.update_context(context)).memories.results == []
    assert "no embedding today" in caplog.text
    strict = BotWireMemory(namespace, url=place_url, embedder=broken, strict=True)
    with pytest.raises(OSError, match="no embedding today"):
        await strict.update_context(context)
    with pytest.raises(OSError, match="no embedding today"):  # not stored without its embedding
        await memory.add(text("x"))
    assert len((await strict.query()).results) == len(FACTS)


@pytest.mark.anyio
async def test_a_record_that_is_no_memory_is_read_as_its_text(
    memory: BotWireMemory, caplog: pytest.LogCaptureFixture
) -> None:
    records = memory.connection.memory.records(memory.name)
    records.put([Record("from somewhere else"), Record("newer", metadata={"format": 99})])
    records.put([Record("odd", metadata={"format": 1, "kind": "image", "content": "!"})])
    found = (await memory.query()).results
    assert {c.content for c in found} == {"from somewhere else", "newer", "odd"}
    assert "only the text can be read" in caplog.text


def test_wrong_arguments(place_url: str) -> None:
    wrong: list[dict[str, Any]] = [
        {"k": 0},
        {"k": 1001},
        {"retrieval": "magic"},
        {"retrieval": "vector"},
        {"role": "assistant"},
        {"filter": {"$magic": 1}},
        {"recall_timeout": 0},
        {"recall_timeout": "x"},
        {"k": "x"},
        {"score_threshold": "x"},
        {"embedder": 5},
        {"name": ""},
        {"name": 5},
    ]
    for arguments in wrong:
        with pytest.raises(ConfigurationError):
            BotWireMemory("n", url=place_url, **arguments)
    with pytest.raises(ConfigurationError, match="namespace"):
        BotWireMemory("", url=place_url)


AGENT = """
import asyncio, json, sys
from collections.abc import Sequence
from typing import Any

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core.memory import MemoryContent, MemoryMimeType
from autogen_ext.models.replay import ReplayChatCompletionClient

from botwire_autogen import BotWireMemory

url, namespace, fact, text = sys.argv[1:]


class Recording(ReplayChatCompletionClient):
    async def create(self, messages: Sequence[Any], **kwargs: Any) -> Any:
        print(json.dumps([str(message.content) for message in messages]), flush=True)
        return await super().create(messages, **kwargs)


async def main() -> None:
    memory = BotWireMemory(namespace, url=url, recall_timeout=60)
    if fact:
        await memory.add(MemoryContent(content=fact, mime_type=MemoryMimeType.TEXT))
        await memory.add(MemoryContent(content=b"\\xff", mime_type=MemoryMimeType.BINARY))
    agent = AssistantAgent("a", Recording(["noted"]), memory=[memory])
    team = RoundRobinGroupChat([agent], max_turns=1)
    await team.run(task=text)
    json.dumps(await team.save_state())
    print("done", flush=True)
    sys.stdin.read()


asyncio.run(main())
"""


def test_a_killed_team_is_remembered(zygote: Zygote, place_url: str, namespace: str) -> None:
    run_and_kill(zygote, AGENT, place_url, namespace, "Ada likes tea", "Hello")
    received = run_and_kill(zygote, AGENT, place_url, namespace, "", "What does she like?")
    assert any("- Ada likes tea" in message for message in received)
    assert received[-1].count("1 bytes of application/octet-stream") == 1


@pytest.mark.anyio
async def test_what_is_found_has_its_score_in_its_metadata(place_url: str, namespace: str) -> None:
    memory = BotWireMemory(namespace, url=place_url)
    own = {"score": "my own", "n": 1}
    for text, metadata in (("tea with milk", None), ("tea", {"n": 2}), ("tea and cake", own)):
        await memory.add(
            MemoryContent(content=text, mime_type=MemoryMimeType.TEXT, metadata=metadata)
        )
    found = {r.content: r.metadata or {} for r in (await memory.query("tea")).results}
    assert found["tea"]["score"] > found["tea with milk"]["score"] > 0
    assert found["tea"]["n"] == 2
    assert found["tea and cake"] == own
    assert all(r.metadata in (None, {"n": 2}, own) for r in (await memory.query("")).results)
