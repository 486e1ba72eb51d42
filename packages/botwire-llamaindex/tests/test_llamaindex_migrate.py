"""Migrating from another chat store: everything, once, in order, despite interruptions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, ToolCallBlock
from llama_index.core.storage.chat_store import SimpleChatStore
from llama_index.core.storage.chat_store.base_db import MessageStatus
from llama_index.core.storage.chat_store.sql import SQLAlchemyChatStore
from sqlalchemy.ext.asyncio import create_async_engine

from botwire import NotJSONError
from botwire_llamaindex import (
    BotWireAsyncChatStore,
    BotWireChatStore,
    aimport_chat_store,
    import_chat_store,
)


def user(text: str) -> ChatMessage:
    return ChatMessage(role="user", content=text)


def turn() -> list[ChatMessage]:
    call = ToolCallBlock(tool_call_id="c", tool_name="f", tool_kwargs={"a": 1})
    return [
        ChatMessage(role="user", blocks=[ImageBlock(image=b"\x89PNG\r\n\x1a\n")]),
        ChatMessage(role="assistant", blocks=[call]),
        ChatMessage(role="tool", content="1", additional_kwargs={"tool_call_id": "c"}),
        ChatMessage(role="assistant", content="done"),
    ]


@pytest.fixture
def target(place_url: str, namespace: str) -> BotWireChatStore:
    """An empty store."""
    return BotWireChatStore(namespace, url=place_url)


@pytest.mark.anyio
async def test_everything_is_copied_once(target: BotWireChatStore) -> None:
    source = SimpleChatStore(store={"ada": turn(), "b/%2e ü": [user("ok"), user("ok")]})
    assert import_chat_store(source, target) == {"ada": 4, "b/%2e ü": 2}
    source.add_message("ada", user("since"))
    target.add_message("b/%2e ü", user("said here"))
    assert await aimport_chat_store(source, target) == {"ada": 5, "b/%2e ü": 2}
    assert import_chat_store(source, target, keys=["ada"]) == {"ada": 5}
    assert target.get_messages("ada") == [*turn(), user("since")]
    assert target.get_messages("b/%2e ü") == [user("ok"), user("ok"), user("said here")]


def test_a_file_that_stock_has_persisted(target: BotWireChatStore, tmp_path: Path) -> None:
    # As `SimpleChatStore.persist` writes it; on newer pydantic that method raises.
    path = tmp_path / "chat_store.json"
    stored = [message.model_dump(mode="json") for message in turn()]
    path.write_text(json.dumps({"store": {"ada": stored}, "class_name": "SimpleChatStore"}))
    import_chat_store(SimpleChatStore.from_persist_path(str(path)), target)
    assert target.get_messages("ada") == turn()


class Interrupted(SimpleChatStore):
    """A source that fails while its second conversation is read."""

    def get_messages(self, key: str) -> list[ChatMessage]:
        """Returns only the first conversation."""
        if key == "second":
            raise ConnectionError("gone")
        return super().get_messages(key)


def test_an_interrupted_import_is_repeated(target: BotWireChatStore) -> None:
    messages: dict[str, Any] = {"first": [user(str(i)) for i in range(450)], "second": turn()}
    with pytest.raises(ConnectionError):
        import_chat_store(Interrupted(store=messages), target)
    # Also in the middle of a conversation: the first batch of one is there.
    target.connection.memory.history("first").delete_many(
        item.seq for item in target.connection.memory.history("first").read()[200:]
    )
    import_chat_store(SimpleChatStore(store=messages), target)
    assert {key: target.get_messages(key) for key in target.get_keys()} == messages


def test_long_messages_go_in_requests_of_their_own(target: BotWireChatStore) -> None:
    long = [user(f"{i} " + "x" * 700_000) for i in range(3)]
    import_chat_store(SimpleChatStore(store={"k": long}), target)
    assert target.get_messages("k") == long
    written = [item.created_at for item in target.connection.memory.history("k").read()]
    assert len(set(written)) == 3


def test_a_message_that_would_not_come_back_is_named(target: BotWireChatStore) -> None:
    bad = ChatMessage(role="user", content="x", additional_kwargs={"raw": object()})
    source = SimpleChatStore(store={"good": turn(), "bad": [user("a"), bad]})
    with pytest.raises(NotJSONError, match=r"'bad': messages\[1\].*'raw'"):
        import_chat_store(source, target)
    assert target.get_keys() == ["good"]


@pytest.mark.anyio
async def test_the_store_of_memory_with_its_archive(place_url: str, namespace: str) -> None:
    engine = create_async_engine("sqlite+aiosqlite:///:memory:")
    source = SQLAlchemyChatStore(table_name="messages", async_engine=engine)
    await source.add_messages("s", [user(str(i)) for i in range(6)])
    await source.archive_oldest_messages("s", 2)
    target = BotWireAsyncChatStore(namespace, url=place_url)
    for _ in range(2):
        assert await aimport_chat_store(source, target) == {"s": 6}
        archived = await target.get_messages("s", MessageStatus.ARCHIVED)
        assert [message.content for message in archived] == ["0", "1"]
        active = await target.get_messages("s")
        assert [message.content for message in active] == ["2", "3", "4", "5"]
    await engine.dispose()
