"""A conversation outlives its process, complete and in order."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
    messages_from_dict,
)

from botwire import AsyncMemory, ConfigurationError, Memory, NotJSONError, TransportError
from botwire.tagged import from_json
from botwire_langchain import BotWireChatHistory, BotWireChatMessageHistory, convert
from botwire_langchain.convert import from_items, to_items
from tests.clients import later
from tests.items import stored_items
from tests.zygote import Zygote

EVERY_KIND: list[BaseMessage] = [
    HumanMessage("hello", id="1", name="ada"),
    HumanMessage([{"type": "text", "text": "look"}, {"type": "image_url", "image_url": "data:x"}]),
    HumanMessage("extra", custom=1),
    AIMessage(
        "",
        id="2",
        tool_calls=[{"id": "c1", "name": "f", "args": {"a": [1, None]}, "type": "tool_call"}],
        invalid_tool_calls=[
            {"id": "c2", "name": "g", "args": "{", "error": "bad", "type": "invalid_tool_call"}
        ],
        usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
        response_metadata={"model": "m", "logprobs": [0.1]},
        additional_kwargs={"k": {"deep": [True]}},
    ),
    AIMessageChunk("chunk", id="3"),
    SystemMessage("be kind"),
    ToolMessage("42", tool_call_id="c1", artifact={"rows": [1, 2]}, status="error", name="f"),
    ChatMessage("as critic", role="critic"),
    FunctionMessage("old", name="f"),
    RemoveMessage(id="1"),
    HumanMessage("\ud800 \x00 😀"),
    HumanMessage(
        "odd metadata",
        response_metadata={
            "bytes": b"\x00\xff",
            "when": datetime(2026, 11, 24, tzinfo=UTC),
            "price": Decimal("1.10"),
            "id": uuid.UUID(int=7),
            "set": {1, 2},
            "pair": (1, "a"),
            "nan": float("inf"),
        },
    ),
]


@pytest.fixture
def history(place_url: str, namespace: str) -> BotWireChatMessageHistory:
    """An empty session."""
    return BotWireChatMessageHistory("session/1", namespace=namespace, url=place_url)


def again(history: BotWireChatMessageHistory, place_url: str) -> BotWireChatMessageHistory:
    """Returns the same session as another process would open it."""
    return BotWireChatMessageHistory(
        history.session_id, namespace=history.connection.namespace, url=place_url
    )


def test_every_kind_of_message_comes_back_equal(
    history: BotWireChatMessageHistory, place_url: str
) -> None:
    history.add_messages(EVERY_KIND)
    found = again(history, place_url).messages
    assert found == EVERY_KIND
    assert [type(message) for message in found] == [type(message) for message in EVERY_KIND]


@pytest.mark.anyio
async def test_the_awaited_half_is_the_same_session(history: BotWireChatMessageHistory) -> None:
    await history.aadd_messages(EVERY_KIND)
    assert await history.aget_messages() == history.messages == EVERY_KIND
    history.add_user_message("more")
    assert (await history.aget_messages(limit=1))[0].content == "more"
    await history.aclear()
    assert history.messages == []


contents = st.text(st.characters(exclude_categories=("Cs",)), max_size=50)
metadata = st.dictionaries(
    contents,
    st.recursive(
        st.none() | st.integers() | st.floats(allow_nan=False) | contents | st.binary()
        | st.datetimes() | st.decimals(allow_nan=False) | st.uuids(),
        lambda inner: st.lists(inner) | st.dictionaries(contents, inner),
        max_leaves=8,
    ),
    max_size=3,
)  # fmt: skip


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | contents,
    lambda inner: st.lists(inner) | st.dictionaries(contents, inner),
    max_leaves=5,
)
said = contents | st.just("\ud800") | st.lists(contents | st.dictionaries(contents, plain))
optional = st.none() | contents
fields = st.fixed_dictionaries(
    {"content": said, "response_metadata": metadata, "id": optional, "name": optional},
    optional={"additional_kwargs": st.dictionaries(contents | st.just("content_blocks"), plain)},
)
calls = st.fixed_dictionaries(
    {"name": contents, "args": st.dictionaries(contents, plain), "id": optional}
)
tokens = st.fixed_dictionaries(
    dict.fromkeys(("input_tokens", "output_tokens", "total_tokens"), st.integers())
)
spoken = st.one_of(
    st.builds(lambda given: HumanMessage(**given), fields),
    st.builds(lambda given: SystemMessage(**given), fields),
    st.builds(
        lambda given, calls, tokens: AIMessage(**given, tool_calls=calls, usage_metadata=tokens),
        *(fields, st.lists(calls), st.none() | tokens),
    ),
    st.builds(
        lambda given, call, kept: ToolMessage(**given, tool_call_id=call, artifact=kept),
        *(fields, contents, plain),
    ),
)


@given(spoken, st.booleans())
def test_whatever_it_holds_comes_back_equal(message: BaseMessage, decoded: bool) -> None:
    (item,) = stored_items(to_items([message]), decoded=decoded)
    ((_, found),) = from_items([item])
    assert found == message
    (constructed,) = messages_from_dict([from_json(item.value["native"]["data"])])
    assert found.__getstate__() == constructed.__getstate__()


class Mine(BaseMessage):
    """A kind that LangChain cannot read back."""

    type: str = "mine"


@pytest.mark.parametrize(
    "bad",
    [
        Mine(content="x"),
        HumanMessage("x", response_metadata={"raw": object()}),
        "just text",
    ],
    ids=lambda bad: type(bad).__name__,
)
def test_what_would_not_come_back_is_refused_and_nothing_is_written(
    history: BotWireChatMessageHistory, bad: Any
) -> None:
    with pytest.raises(NotJSONError, match=r"messages\[1\]"):
        history.add_messages([HumanMessage("good"), bad])
    assert history.messages == []


def test_an_item_that_cannot_be_read_does_not_hide_the_others(
    history: BotWireChatMessageHistory, caplog: pytest.LogCaptureFixture
) -> None:
    history.add_user_message("first")
    raw = history.connection.memory.history(history.session_id)
    raw.append({"not": "a message"})
    raw.append({"envelope": 2, "role": "user", "text": "from the future"})
    raw.append({
        "envelope": 1, "role": "user", "text": "newer format",
        "native": {"framework": "langchain", "format": 99, "data": None},
    })  # fmt: skip
    raw.append({
        "envelope": 1, "role": "assistant", "text": "unknown kind",
        "native": {"framework": "langchain", "format": 1, "data": {"type": "x", "data": {}}},
    })  # fmt: skip
    with caplog.at_level(logging.WARNING, "botwire.messages"):
        found = history.messages
    assert [message.content for message in found] == ["first", "newer format", "unknown kind"]
    assert "item 2" in caplog.text
    assert "item 3" in caplog.text


def test_a_conversation_of_another_framework_is_read(history: BotWireChatMessageHistory) -> None:
    history.connection.memory.history(history.session_id).extend([
        {"envelope": 1, "role": "system", "text": "be kind"},
        {"envelope": 1, "role": "user", "text": "hi", "id": "7",
         "native": {"framework": "llamaindex", "format": 1, "data": {}}},
        {"envelope": 1, "role": "assistant", "text": "",
         "tool_calls": [{"id": "c", "name": "f", "arguments": {"a": 1}}]},
        {"envelope": 1, "role": "tool", "text": "1", "tool_call_id": "c", "name": "f"},
    ])  # fmt: skip
    system, user, assistant, tool = history.messages
    assert isinstance(system, SystemMessage)
    assert user == HumanMessage("hi", id="7")
    assert isinstance(assistant, AIMessage)
    assert assistant.tool_calls[0]["args"] == {"a": 1}
    assert isinstance(tool, ToolMessage)
    assert tool.tool_call_id == "c"


@pytest.mark.anyio
async def test_pages_and_deletion(history: BotWireChatMessageHistory) -> None:
    history.add_messages([HumanMessage(str(i), id=f"m{i}") for i in range(500)])
    assert [m.content for m in history.get_messages(limit=2)] == ["498", "499"]
    page = history.get_messages(limit=2, before="m498")
    assert (
        [m.content for m in page]
        == ["496", "497"]
        == [m.content for m in await history.aget_messages(limit=2, before="m498")]
    )
    assert history.get_messages(before="unknown") == []
    assert history.delete_messages(["m0", "m499", "unknown"]) == 2
    assert await history.adelete_messages(["m1"]) == 1
    assert len(history.messages) == 497


def test_a_repeated_append_stores_a_message_with_an_id_once(
    history: BotWireChatMessageHistory,
) -> None:
    turn = [HumanMessage("hi"), AIMessage("hello", id="a"), AIMessageChunk("hel", id="b")]
    for _ in range(2):
        history.add_messages([*turn, AIMessageChunk("lo", id="b"), AIMessageChunk("lo", id="b")])
    history.add_messages([AIMessage("edited", id="a")])
    assert [message.content for message in history.messages] == [
        "hi", "hello", "hel", "lo", "lo", "hi", "edited",
    ]  # fmt: skip
    history.clear()
    history.add_messages(turn)
    assert history.messages == turn


EXPIRING = """
import sys
from botwire_langchain import BotWireChatMessageHistory
url, namespace, text = sys.argv[1:]
history = BotWireChatMessageHistory("s", namespace=namespace, url=url, ttl=60)
history.add_user_message(text)
"""


@pytest.mark.anyio
async def test_a_session_expires_by_the_stores_clock(
    zygote: Zygote, tmp_path: Path, namespace: str
) -> None:
    path = tmp_path / "memory.db"

    def say(text: str) -> None:
        with zygote.start(EXPIRING, f"sqlite:///{path}", namespace, text) as process:
            assert process.wait() == 0, process.stderr

    say("before")
    with later(path, namespace, 50) as client:
        session = BotWireChatMessageHistory("s", client=client, ttl=60)
        assert [m.content for m in session.messages] == ["before"]
        await session.aadd_messages([HumanMessage("again")])  # renews the expiry
        # A write without a ttl, a deletion and metadata leave the expiry as it is.
        untimed = BotWireChatMessageHistory("s", client=client)
        untimed.add_messages([HumanMessage("untimed", id="1")])
        assert untimed.delete_messages(["1"]) == 1
    with later(path, namespace, 100) as client:
        assert len(BotWireChatMessageHistory("s", client=client).messages) == 2
    with later(path, namespace, 120) as client:
        session = BotWireChatMessageHistory("s", client=client)  # expired for every reader
        assert session.messages == session.get_messages(limit=1) == []
        assert await session.aget_messages() == await session.aget_messages(limit=1) == []
        assert session.list_sessions() == await session.alist_sessions() == []
        session.add_user_message("after")  # and begins afresh, without an expiry
        assert [m.content for m in session.messages] == ["after"]
    with later(path, namespace, 1_000_000) as client:
        assert len(BotWireChatMessageHistory("s", client=client).messages) == 1


def test_a_ttl_is_a_positive_number_of_seconds(history: BotWireChatMessageHistory) -> None:
    for ttl in (0, -1, "60"):
        with pytest.raises(ConfigurationError, match="ttl"):
            BotWireChatMessageHistory("s", client=history.connection.memory, ttl=ttl)  # type: ignore[arg-type]


@pytest.mark.anyio
async def test_a_session_without_messages_is_not_listed(history: BotWireChatMessageHistory) -> None:
    titled = BotWireChatMessageHistory("titled", client=history.connection.memory)
    history.connection.memory.history("titled").set_metadata({"title": "Untitled"})
    assert history.list_sessions() == await history.alist_sessions() == []
    titled.add_user_message("hi")
    assert history.list_sessions() == await history.alist_sessions() == ["titled"]


def test_only_the_last_messages_when_asked(place_url: str, namespace: str) -> None:
    history = BotWireChatHistory("s", namespace=namespace, url=place_url, history_size=3)
    history.add_messages([HumanMessage(str(i)) for i in range(5)])
    assert [m.content for m in history.messages] == ["2", "3", "4"]
    assert history.get_messages(limit=0) == []
    assert [m.content for m in history.get_messages(limit=4)] == ["1", "2", "3", "4"]
    with pytest.raises(ConfigurationError, match="limit"):
        history.get_messages(limit=-1)
    with pytest.raises(ConfigurationError, match="ids must be a list of strings, not int"):
        history.delete_messages(5)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="history_size"):
        BotWireChatHistory("s", history_size=0)


@pytest.mark.anyio
async def test_sessions_are_apart_and_listed(history: BotWireChatMessageHistory) -> None:
    client = history.connection.memory
    for session in ("a", "a/b", "%", "😀"):
        BotWireChatMessageHistory(session, client=client).add_user_message(session)
    assert history.messages == []
    assert history.list_sessions() == await history.alist_sessions() == ["%", "a", "a/b", "😀"]
    BotWireChatMessageHistory("a", client=client).clear()
    assert history.list_sessions("a") == ["a/b"]


@pytest.mark.anyio
async def test_either_client_serves_both_halves(place_url: str, namespace: str) -> None:
    for client in (Memory(namespace, url=place_url), AsyncMemory(namespace, url=place_url)):
        history = BotWireChatMessageHistory("s", client=client)
        await history.aadd_messages([HumanMessage("a")])
        history.add_ai_message("b")
        assert [m.content for m in await history.aget_messages()] == ["a", "b"]
        history.clear()


def test_a_server_that_is_down_is_an_error_and_not_an_empty_session(unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    with pytest.raises(TransportError, match=url):
        _ = BotWireChatMessageHistory("s", client=Memory("n", url=url, timeout=0.5)).messages


def test_a_secret_is_never_shown(place_url: str) -> None:
    history = BotWireChatMessageHistory("s", namespace="n", url=place_url, api_key="bw_secret")
    assert "bw_secret" not in repr(history)
    assert "bw_secret" not in str(history.connection.reference())


WRITER = """
import sys
from langchain_core.messages import HumanMessage
from botwire_langchain import BotWireChatMessageHistory
url, namespace, who = sys.argv[1:]
history = BotWireChatMessageHistory("s", namespace=namespace, url=url)
for turn in range(25):
    history.add_messages([HumanMessage(f"{who}:{turn}:{part}") for part in range(3)])
"""


def test_eight_processes_write_whole_turns(zygote: Zygote, place_url: str, namespace: str) -> None:
    writers = [zygote.start(WRITER, place_url, namespace, str(who)) for who in range(8)]
    for writer in writers:
        with writer:
            assert writer.wait() == 0, writer.stderr
    history = BotWireChatMessageHistory("s", namespace=namespace, url=place_url)
    texts = [str(message.content).split(":") for message in history.messages]
    assert len(texts) == 600
    turns = [tuple(text[:2] for text in texts[i : i + 3]) for i in range(0, 600, 3)]
    assert all(first == second == third for first, second, third in turns)
    assert len({tuple(first) for first, _, _ in turns}) == 200


async def test_large_messages_are_converted_off_the_event_loop(
    namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    converted: list[bool] = []
    for name in ("to_native", "from_native"):
        monkeypatch.setattr(convert, name, _in_loop(getattr(convert, name), converted))
    history = BotWireChatMessageHistory("s", namespace=namespace, url="sqlite://")
    image = {"type": "image", "base64": "QUJD" * 100_000, "mime_type": "image/png"}
    for content, is_large in (([image], True), ("hello", False)):
        message = HumanMessage(content, id="1")
        await history.aadd_messages([message])
        await history.aadd_messages([message])  # stored once
        assert await history.aget_messages() == [message]
        assert await history.aget_messages(limit=1) == [message]
        assert converted
        assert all(one is not is_large for one in converted)
        await history.aclear()
        converted.clear()
    await history.aadd_messages([])
    assert await history.aget_messages() == []


def _in_loop(convert: Callable[..., Any], converted: list[bool]) -> Callable[..., Any]:
    """Returns the function, which then notes whether an event loop runs in its thread."""

    def convert_and_note(*values: Any) -> Any:
        converted.append(asyncio._get_running_loop() is not None)
        return convert(*values)

    return convert_and_note
