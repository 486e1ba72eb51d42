"""Messages come back as they went in, in order, once."""

from __future__ import annotations

import copy
import inspect
import json
import logging
import pickle
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from io import BytesIO
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
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
from llama_index.core.memory import ChatMemoryBuffer, Memory
from llama_index.core.storage.chat_store import BaseChatStore, SimpleChatStore
from llama_index.core.storage.chat_store.base_db import AsyncDBChatStore
from llama_index.core.storage.chat_store.loading import load_chat_store
from llama_index.core.storage.kvstore.types import BaseKVStore
from pydantic import BaseModel

import botwire
from botwire import ConfigurationError, NotJSONError, TransportError
from botwire.connection import Connection
from botwire.places import without_password
from botwire_llamaindex import (
    BotWireAsyncChatStore,
    BotWireChatMemoryBuffer,
    BotWireChatStore,
    BotWireDocumentStore,
    BotWireIndexStore,
    BotWireKVStore,
    BotWireMemory,
    PersistentChatMemory,
)
from botwire_llamaindex.convert import from_items, to_items
from tests.items import stored_items

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
    """A raw response of a model library."""

    name: str = "f"
    scores: dict[str, Any] = {}


def test_raw_answers_of_models_are_kept_as_dicts(store: BotWireChatStore) -> None:
    store.add_message("k", ChatMessage(role="assistant", additional_kwargs={"tool_calls": [Raw()]}))
    call = {"name": "f", "scores": {}}
    assert store.get_messages("k")[0].additional_kwargs == {"tool_calls": [call]}
    raw = Raw(scores={"a": float("nan"), "b": [None, float("inf")]})
    store.add_message("k", ChatMessage(role="assistant", additional_kwargs={"raw": raw}))
    assert repr(store.get_messages("k")[1].additional_kwargs) == repr({"raw": raw.model_dump()})


class Reason(Enum):
    """Why a model stopped, in a model library's own words."""

    DONE = "stop"


@dataclass(frozen=True)
class Usage:
    """How much a model has read and written."""

    tokens: int


def test_enums_dataclasses_and_paths_are_kept_as_llamaindex_dumps_them(
    store: BotWireChatStore,
) -> None:
    raw = {Reason.DONE: [Reason.DONE, Usage(3)], "at": (Path("a/b"), Reason.DONE)}
    raw["all"] = {Usage(3)}  # a set of dicts cannot be
    call = ToolCallBlock(tool_call_id="c", tool_name="f", tool_kwargs={"x": [raw, Raw()]})
    store.add_message("k", ChatMessage(role="assistant", blocks=[call], additional_kwargs=raw))
    (found,) = store.get_messages("k")
    plain = {"stop": ["stop", {"tokens": 3}], "at": ("a/b", "stop"), "all": [{"tokens": 3}]}
    assert found.additional_kwargs == plain
    assert found.blocks[0].tool_kwargs == {"x": [plain, {"name": "f", "scores": {}}]}  # type: ignore[union-attr]


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
maybe = st.none() | words
urls = st.none() | st.just("https://example.test/a.png")
scalars = st.none() | st.booleans() | st.integers() | st.floats() | words | st.binary(max_size=9)
# ISO 8601 does not say which of two equal hours in autumn it is.
moments = st.datetimes(timezones=st.none() | st.just(UTC)).map(lambda time: time.replace(fold=0))
anything = st.recursive(
    scalars | moments | st.uuids() | st.decimals(),
    lambda part: (
        st.lists(part, max_size=3)
        | st.tuples(part, part)
        | st.dictionaries(words | st.integers(), part, max_size=3)
    ),
    max_leaves=6,
)
free = st.dictionaries(words, anything, max_size=3)


def media(cls: type[Any], name: str, **fields: Any) -> Any:
    return st.builds(cls, **{name: st.none() | st.binary(max_size=40)}, url=urls, **fields)


plain_blocks = (
    st.builds(TextBlock, text=words),
    media(ImageBlock, "image", image_mimetype=maybe, detail=maybe),
    media(DocumentBlock, "data", title=maybe, document_mimetype=st.just("application/pdf")),
)
blocks = st.one_of(
    *plain_blocks,
    media(AudioBlock, "audio", format=maybe),
    media(VideoBlock, "video", video_mimetype=maybe, detail=maybe, fps=st.none() | st.integers()),
    st.builds(CachePoint, cache_control=st.builds(CacheControl, type=words, ttl=words)),
    st.builds(
        CitableBlock, title=words, source=words,
        content=st.lists(st.one_of(*plain_blocks), max_size=2),
    ),
    st.builds(
        CitationBlock, cited_content=st.one_of(*plain_blocks[:2]), source=words, title=words,
        additional_location_info=st.dictionaries(words, st.integers()),
    ),
    st.builds(
        ThinkingBlock, content=maybe, num_tokens=st.none() | st.integers(),
        additional_information=free,
    ),
    st.builds(ToolCallBlock, tool_call_id=maybe, tool_name=words, tool_kwargs=free | words),
)  # fmt: skip
messages = st.builds(
    ChatMessage,
    role=st.sampled_from(MessageRole),
    blocks=st.lists(blocks, max_size=4),
    additional_kwargs=free,
)


@settings(max_examples=200)
@given(messages, st.booleans())
def test_whatever_it_holds_comes_back_equal(message: ChatMessage, decoded: bool) -> None:
    ((_, again),) = from_items(stored_items(to_items([message]), decoded=decoded))
    assert repr(again) == repr(message) or again == message  # NaN is not equal to itself
    for one, other in zip(again.blocks, message.blocks, strict=True):
        if isinstance(other, ImageBlock) and other.image:
            assert isinstance(one, ImageBlock)
            assert one.resolve_image().read() == other.resolve_image().read()


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


def test_a_message_added_in_the_middle_leaves_the_archive_and_the_ids(
    store: BotWireChatStore,
) -> None:
    history = store.connection.memory.history("k")
    for text in "abcd":
        store.add_message("k", user(text))
    history.extend([item.value for item in history.read()][:1], ids=["mine"])
    history.archive(up_to=2)
    store.add_message("k", user("x"), idx=-2)
    assert texts(store.get_messages("k")) == ["c", "x", "d", "a"]
    assert [item.id for item in history.read()] == [None, None, None, "mine"]
    assert len(history.read(archived=True)) == 6
    store.add_message("k", user("last"), idx=99)
    store.add_message("empty", user("first"), idx=-5)
    assert texts(store.get_messages("k"))[-1] == "last"
    assert texts(store.get_messages("empty")) == ["first"]


def test_a_place_that_is_given_is_the_place_that_is_used(place_url: str, namespace: str) -> None:
    place = {"namespace": namespace, "url": without_password(place_url)}
    makers: list[Any] = [
        BotWireChatStore, BotWireAsyncChatStore, BotWireKVStore, BotWireDocumentStore,
        BotWireIndexStore, BotWireChatMemoryBuffer, BotWireMemory, PersistentChatMemory,
    ]  # fmt: skip
    for cls in makers:
        ways = [cls(namespace, url=place_url)]
        if hasattr(cls, "from_uri"):
            ways += [cls.from_uri(place_url, namespace), cls.from_params(namespace, place_url)]
        if hasattr(cls, "from_defaults"):
            ways.append(cls.from_defaults(namespace=namespace, url=place_url))
        for made in ways:
            assert connection_of(made).reference() == place
        with pytest.raises((TypeError, ConfigurationError), match="session"):
            cls(namespace, url=place_url, session="dropped?")
    store = BotWireChatStore(namespace, url=place_url)
    with pytest.raises(ConfigurationError, match="a chat_store has its own place"):
        BotWireChatMemoryBuffer(namespace, chat_store=store)
    with pytest.raises(ConfigurationError, match="BotWireChatStore, not SimpleChatStore"):
        BotWireChatMemoryBuffer.from_defaults(chat_store=SimpleChatStore())
    with pytest.raises(ConfigurationError, match="does not take 'async_database_uri'"):
        BotWireMemory.from_defaults(async_database_uri="sqlite+aiosqlite://")


def connection_of(made: Any) -> Connection:
    for path in ("connection", "chat_store.connection", "sql_store.connection",
                 "_kvstore.connection"):  # fmt: skip
        try:
            found: Connection = attrgetter(path)(made)
        except AttributeError:
            continue
        return found
    raise AssertionError(made)


def test_signatures_are_those_of_llamaindex() -> None:
    for ours, stock, names in (
        (BotWireChatMemoryBuffer, ChatMemoryBuffer, ("from_defaults", "get", "aget")),
        (BotWireMemory, Memory, ("get", "aget", "get_all", "aget_all", "areset", "put", "aput")),
    ):
        for name in names:
            theirs = list(inspect.signature(getattr(stock, name)).parameters)
            mine = list(inspect.signature(getattr(ours, name)).parameters)
            assert [part for part in mine if part in theirs] == theirs
    theirs = list(inspect.signature(Memory.from_defaults).parameters)
    mine = list(inspect.signature(BotWireMemory.from_defaults).parameters)
    assert mine[: theirs.index("chat_store") + 1] == theirs[: theirs.index("chat_store") + 1]


def test_every_method_of_llamaindex_has_both_halves_here() -> None:
    for ours, stock in ((BotWireChatStore, BaseChatStore), (BotWireKVStore, BaseKVStore),
                        (BotWireAsyncChatStore, AsyncDBChatStore)):  # fmt: skip
        inherited = [
            name
            for name, member in vars(stock).items()
            if inspect.isfunction(member) and name[0] != "_" and getattr(ours, name) is member
        ]
        assert not inherited  # inherited methods run in a thread
    for cls in (BotWireChatMemoryBuffer, BotWireMemory):
        threads = [
            name
            for name in ("aget", "aget_all", "aput", "aput_messages", "aset", "areset")
            if "to_thread" in inspect.getsource(getattr(cls, name))
        ]
        assert not threads


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
    assert "only the text of" in caplog.text


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
        BotWireChatStore(client=botwire.Memory("n", url=url, timeout=0.5)).get_messages("k")


@pytest.mark.anyio
async def test_a_store_is_emptied_and_nothing_else_is(place_url: str, namespace: str) -> None:
    said = [ChatMessage(role="user", content="x")]
    other = BotWireChatStore(f"{namespace}-other", url=place_url)
    other.add_message("a", said[0])
    store, newer = (
        cls(namespace, url=place_url) for cls in (BotWireChatStore, BotWireAsyncChatStore)
    )
    empty: Any
    for empty in (store.delete_all, store.adelete_all, newer.delete_all):
        for key in ("a", "b/c", "d e"):
            store.add_messages(key, said * 3)
        await newer.archive_oldest_messages("a", 3)
        count = empty()
        assert (await count if inspect.isawaitable(count) else count) == 3
        assert store.get_keys() == await newer.get_keys() == []
        assert await newer.get_messages("a", status=None) == []
    assert other.get_keys() == ["a"]


async def test_a_wrong_argument_is_named_and_nothing_is_written(
    store: BotWireChatStore, place_url: str, namespace: str
) -> None:
    wrong: Any = "x"
    place: dict[str, Any] = {"url": place_url, "namespace": namespace}
    other = BotWireAsyncChatStore(**place)
    values = BotWireKVStore(**place)
    store.add_message("k", user("first"))
    for call, says in (
        (lambda: store.add_message("k", user("b"), wrong), "idx must be an int, not str: 'x'"),
        (lambda: store.delete_message("k", wrong), "idx must be an int"),
        (lambda: store.set_messages("k", 5), "messages must be a list of messages, not int"),  # type: ignore[arg-type]
        (lambda: store.add_messages("k", wrong), "messages must be a list of messages"),
        (lambda: PersistentChatMemory(**place, token_limit=wrong), "token_limit must be an int"),
        (lambda: BotWireMemory(**place, token_limit=wrong), "token_limit must be an int"),
        (lambda: BotWireMemory.from_defaults(token_flush_size=wrong), "token_flush_size must be"),
        (lambda: BotWireMemory(**place, tokenizer_fn=5), "tokenizer_fn: .*callable"),
        (lambda: BotWireMemory(**place, tokenizer_fn=len), "tokenizer_fn must return the tokens"),
        (lambda: PersistentChatMemory(**place, tokenizer_fn=len), "must return the tokens"),
        (lambda: PersistentChatMemory(**place).get(initial_token_count=wrong), "initial_token_co"),
        (lambda: BotWireMemory(**place).get_all(wrong), "status must be one of active, archived"),
        (lambda: BotWireMemory(**place, memory_blocks=[5]), r"memory_blocks\[0\] must be a Base"),
        (lambda: BotWireMemory.from_dict({}), "no dump of a BotWireMemory: it has no 'chat_store'"),
        (lambda: PersistentChatMemory.from_dict(wrong), "data must be a dict, not str"),
        (lambda: BotWireChatStore.from_dict({}), "no reference to a place"),
        (lambda: values.put(5, {}), "a key must be a string, not int: 5"),  # type: ignore[arg-type]
        (lambda: values.put_all(["ab"]), r"kv_pairs\[0\] must be a pair of a key and a value"),  # type: ignore[list-item]
    ):
        with pytest.raises(ConfigurationError, match=says):
            call()
    for pending, says in (
        (other.get_messages("k", limit=wrong), "limit must be an int, not str"),
        (other.get_messages("k", offset=-1), "offset must be at least 0"),
        (other.get_messages("k", wrong), "status must be one of active, archived"),
        (other.delete_messages("k", wrong), "status must be one of active, archived"),
        (other.delete_message("k", wrong), "idx must be an int"),
        (other.delete_oldest_messages("k", wrong), "n must be an int"),
        (other.archive_oldest_messages("k", wrong), "n must be an int"),
        (other.add_messages("k", 5), "messages must be a list of messages, not int"),  # type: ignore[arg-type]
    ):
        with pytest.raises(ConfigurationError, match=says):
            await pending
    assert texts(store.get_messages("k")) == ["first"]


async def test_a_status_may_be_given_by_its_name(place_url: str, namespace: str) -> None:
    store = BotWireAsyncChatStore(namespace, url=place_url)
    await store.add_messages("k", [user("a"), user("b")])
    await store.archive_oldest_messages("k", 1)
    archived: Any = "archived"
    assert texts(await store.get_messages("k", archived)) == ["a"]
    await store.delete_messages("k", archived)
    assert texts(await store.get_messages("k", None)) == ["b"]


def test_ids_of_calls_may_be_anything(place_url: str, namespace: str) -> None:
    calls = [{"id": {"n": 1}, "type": "function"}, {"id": 2}]
    for memory in (
        PersistentChatMemory(namespace, url=place_url, chat_store_key="a"),
        BotWireMemory(namespace, url=place_url, session_id="b"),
    ):
        memory.put(user("hi"))
        memory.put(ChatMessage(role="assistant", additional_kwargs={"tool_calls": calls}))
        memory.put(ChatMessage(role="tool", additional_kwargs={"tool_call_id": {"n": 1}}))
        memory.put(user("and now?"))
        assert [message.role.value for message in memory.get()] == [
            "user", "assistant", "tool", "tool", "user",
        ]  # fmt: skip
