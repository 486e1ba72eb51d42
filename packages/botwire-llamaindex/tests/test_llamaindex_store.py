"""Messages come back as they went in, in order, once."""

from __future__ import annotations

import copy
import json
import logging
import pickle
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.base.llms.types import (
    AudioBlock,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.storage.chat_store.loading import load_chat_store
from pydantic import BaseModel

from botwire import NotJSONError, TransportError
from botwire_llamaindex import BotWireChatMemoryBuffer, BotWireChatStore
from botwire_llamaindex.convert import from_native, to_native

PNG = b"\x89PNG\r\n\x1a\n\x00\xff"

BLOCKS: list[Any] = [
    TextBlock(text="hello \ud800 \x00 😀"),
    TextBlock(text=""),
    ImageBlock(image=PNG, image_mimetype="image/png"),
    ImageBlock(url="https://example.test/a.png"),
    AudioBlock(audio=PNG, format="wav"),
    VideoBlock(video=PNG, video_mimetype="video/mp4"),
    DocumentBlock(data=PNG, document_mimetype="application/pdf"),
    CachePoint(cache_control={"type": "ephemeral", "ttl": "5m"}),
    CitableBlock(title="t", source="s", content=[TextBlock(text="cited")]),
    CitationBlock(cited_content=TextBlock(text="c"), source="s", title="t",
                  additional_location_info={"page": 1}),
    ThinkingBlock(content="hm", num_tokens=2,
                  additional_information={"signature": "RXJ0+/=="}),
    ToolCallBlock(tool_call_id="c", tool_name="f", tool_kwargs={"a": [1, None]}),
    ToolCallBlock(tool_call_id="d", tool_name="g", tool_kwargs='{"partial'),
]  # fmt: skip


@pytest.fixture
def store(place_url: str, namespace: str) -> BotWireChatStore:
    """An empty store."""
    return BotWireChatStore(namespace, url=place_url)


def user(text: str) -> ChatMessage:
    return ChatMessage(role="user", content=text)


def texts(messages: list[ChatMessage] | None) -> list[str | None]:
    return [message.content for message in messages or []]


@pytest.mark.parametrize("role", list(MessageRole))
def test_every_block_comes_back_equal(store: BotWireChatStore, role: MessageRole) -> None:
    extra = {
        "tool_call_id": "c", "when": datetime(2026, 11, 24, tzinfo=UTC), "raw": b"\x00\xff",
        "pair": (1, 2), "ids": {1, 2}, "nan": float("inf"), "deep": {7: "int key"},
    }  # fmt: skip
    messages = [
        ChatMessage(role=role, blocks=BLOCKS, additional_kwargs=extra),
        ChatMessage(role=role, blocks=[]),
    ]
    store.set_messages("k", messages)
    assert store.get_messages("k") == messages


def test_an_open_file_is_read_and_left_where_it_was(store: BotWireChatStore) -> None:
    file = BytesIO(PNG)
    message = ChatMessage(role="user", blocks=[ImageBlock.model_construct(image=file)])
    store.add_message("k", message)
    assert file.tell() == 0
    (found,) = store.get_messages("k")
    block = found.blocks[0]
    assert isinstance(block, ImageBlock)
    assert block.resolve_image().read() == PNG


class Raw(BaseModel):
    """What a model's library returns."""

    name: str = "f"


def test_raw_answers_of_models_are_kept_as_dicts(store: BotWireChatStore) -> None:
    store.add_message("k", ChatMessage(role="assistant", additional_kwargs={"tool_calls": [Raw()]}))
    assert store.get_messages("k")[0].additional_kwargs == {"tool_calls": [{"name": "f"}]}


@pytest.mark.parametrize(
    "bad",
    [
        "text",
        ChatMessage(role="user", content="x", additional_kwargs={"raw": object()}),
        ChatMessage(role="user", content="\ud83d\ude00"),
    ],
    ids=["no message", "an object", "a surrogate pair"],
)
def test_what_would_not_come_back_is_refused_and_nothing_is_written(
    store: BotWireChatStore, bad: Any
) -> None:
    store.add_message("k", user("kept"))
    for write in (store.add_messages, store.set_messages):
        with pytest.raises(NotJSONError, match=r"\[1\]"):
            write("k", [user("good"), bad])
    assert texts(store.get_messages("k")) == ["kept"]


words = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)


@given(words, words, st.dictionaries(words, st.integers() | words | st.booleans()), st.binary())
def test_whatever_it_holds_comes_back_equal(
    text: str, thought: str, kwargs: dict[str, Any], raw: bytes
) -> None:
    message = ChatMessage(
        role="assistant",
        blocks=[
            TextBlock(text=text),
            ThinkingBlock(content=thought),
            ToolCallBlock(tool_call_id=text, tool_name=thought, tool_kwargs=kwargs),
        ],
        additional_kwargs={"raw": raw, **kwargs},
    )
    assert from_native(json.loads(json.dumps(to_native(message, "it")))) == message


@pytest.mark.anyio
async def test_both_halves_of_every_pair(store: BotWireChatStore) -> None:
    await store.aset_messages("k", [user(t) for t in "abc"])
    store.add_message("k", user("d"))
    await store.async_add_message("k", user("e"))
    store.add_message("k", user("start"), idx=0)
    await store.async_add_message("k", user("x"), idx=2)
    assert texts(await store.aget_messages("k")) == ["start", "a", "x", "b", "c", "d", "e"]
    assert texts(store.get_messages("k")) == ["start", "a", "x", "b", "c", "d", "e"]
    assert (await store.adelete_message("k", 2)) == user("x")
    assert store.delete_message("k", 0) == user("start")
    assert store.delete_message("k", -1) == user("e")
    assert store.delete_message("k", 9) is None
    assert await store.adelete_message("k", -9) is None
    assert await store.adelete_last_message("k") == user("d")
    assert store.delete_last_message("k") == user("c")
    assert texts(store.get_messages("k")) == ["a", "b"]
    assert store.get_keys() == await store.aget_keys() == ["k"]
    assert texts(await store.adelete_messages("k")) == ["a", "b"]
    assert store.delete_messages("k") is None
    assert store.delete_last_message("k") is None
    assert await store.adelete_last_message("k") is None
    assert store.get_keys() == []
    assert store.get_messages("never") == []


def test_the_caller_gets_objects_of_their_own(store: BotWireChatStore) -> None:
    store.add_message("k", user("mine"))
    found = store.get_messages("k")
    found[0].blocks[0].text = "changed"  # type: ignore[union-attr]
    assert texts(store.get_messages("k")) == ["mine"]


def test_an_item_that_cannot_be_read_does_not_hide_the_others(
    store: BotWireChatStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.add_message("k", user("first"))
    store.connection.memory.history("k").extend([
        "no message",
        {"envelope": 1, "role": "user", "text": "newer block",
         "native": {"framework": "llamaindex", "format": 1,
                    "data": {"role": "user", "blocks": [{"block_type": "hologram"}],
                             "additional_kwargs": {}}}},
    ])  # fmt: skip
    with caplog.at_level(logging.WARNING, "botwire.messages"):
        assert texts(store.get_messages("k")) == ["first", "newer block"]
    assert "item 2" in caplog.text
    assert "only be read in part" in caplog.text


def test_a_conversation_of_another_framework_is_read(store: BotWireChatStore) -> None:
    store.connection.memory.history("k").extend([
        {"envelope": 1, "role": "user", "text": "hi",
         "native": {"framework": "langchain", "format": 1, "data": {}}},
        {"envelope": 1, "role": "assistant", "text": "",
         "tool_calls": [{"id": "c", "name": "f", "arguments": {"a": 1}}]},
        {"envelope": 1, "role": "tool", "text": "1", "tool_call_id": "c", "name": "f"},
    ])  # fmt: skip
    asked, called, answered = store.get_messages("k")
    assert asked == user("hi")
    block = called.blocks[0]
    assert isinstance(block, ToolCallBlock)
    assert block.tool_kwargs == {"a": 1}
    assert (answered.role, answered.additional_kwargs["tool_call_id"]) == (MessageRole.TOOL, "c")


def test_copies_and_dumps_refer_to_the_same_place(
    place_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTWIRE_API_KEY", "bw_secret")
    store = BotWireChatStore(namespace, url=place_url, api_key="bw_secret")
    memory = BotWireChatMemoryBuffer.from_defaults(chat_store=store, chat_store_key="k")
    memory.put(user("secret text"))
    dump = memory.to_string()
    assert "secret" not in dump + repr(memory) + repr(store)
    for again in (
        BotWireChatMemoryBuffer.from_string(dump),
        ChatMemoryBuffer.from_dict(json.loads(dump)),
        pickle.loads(pickle.dumps(memory)),
        copy.deepcopy(memory),
        memory.model_copy(deep=True),
    ):
        assert texts(again.get_all()) == ["secret text"]
    assert isinstance(load_chat_store(json.loads(dump)["chat_store"]), BotWireChatStore)
    assert store.class_name() == "BotWireChatStore"


def test_a_server_that_is_down_is_an_error_and_not_an_empty_session(unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    with pytest.raises(TransportError, match=url):
        BotWireChatStore("n", url=url).get_messages("k")
