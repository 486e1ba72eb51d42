"""Copies the conversations of any other LlamaIndex chat store to BotWire."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.storage.chat_store import BaseChatStore
from llama_index.core.storage.chat_store.base_db import AsyncDBChatStore, MessageStatus

from botwire import NotJSONError
from botwire.splitting import in_batches
from botwire_llamaindex.async_store import BotWireAsyncChatStore
from botwire_llamaindex.convert import to_items
from botwire_llamaindex.store import BotWireChatStore

_BATCH = 200
"""The number of messages per request."""


def import_chat_store(
    source: BaseChatStore,
    into: BotWireChatStore | BotWireAsyncChatStore,
    keys: Iterable[str] | None = None,
) -> dict[str, int]:
    """Copies conversations in order and leaves the source unchanged.

    Messages that an earlier import copied are not copied again, so you can repeat an import after
    an interruption or to add new messages. Two equal messages of a conversation stay two.

    Args:
        source: A chat store, such as `SimpleChatStore`, `RedisChatStore` or `PostgresChatStore`.
        into: A chat store of BotWire, such as `BotWireChatMemoryBuffer.chat_store`.
        keys: The conversations to copy. Defaults to all keys of the source; a Redis database may
            hold other keys too.

    Returns:
        The number of messages per key; all of them are now stored.

    Raises:
        NotJSONError: A message cannot be restored. Nothing of its conversation was written; earlier
            conversations were.
        BotWireError: The memory could not be reached or refused a write; repeat the import.
    """
    copied = {}
    for key in source.get_keys() if keys is None else keys:
        messages = source.get_messages(key)
        history = into.connection.memory.history(key, ttl=into.ttl)
        for values, ids in _batches(key, messages):
            history.extend(values, ids=ids)
        copied[key] = len(messages)
    return copied


async def aimport_chat_store(
    source: BaseChatStore | AsyncDBChatStore,
    into: BotWireChatStore | BotWireAsyncChatStore,
    keys: Iterable[str] | None = None,
) -> dict[str, int]:
    """Like `import_chat_store`, but also copies from the stores of LlamaIndex's `Memory`.

    From those (`SQLAlchemyChatStore`), it copies archived messages first and archives them here
    too.
    """
    copied = {}
    if keys is None:
        names = source.get_keys() if isinstance(source, AsyncDBChatStore) else source.aget_keys()
        keys = await names
    for key in keys:
        archived: list[ChatMessage] = []
        if isinstance(source, AsyncDBChatStore):
            archived = await source.get_messages(key, status=MessageStatus.ARCHIVED)
            messages = archived + await source.get_messages(key, status=MessageStatus.ACTIVE)
        else:
            messages = await source.aget_messages(key)
        history = into.connection.async_memory.history(key, ttl=into.ttl)
        seqs: list[int] = []
        for values, ids in _batches(key, messages):
            seqs += await history.extend(values, ids=ids)
        if archived:
            await history.archive(up_to=seqs[len(archived) - 1])
        copied[key] = len(messages)
    return copied


def _batches(
    key: str, messages: list[ChatMessage]
) -> Iterator[tuple[list[dict[str, Any]], list[str]]]:
    """Yields the items of a conversation with their ids, after converting all messages."""
    try:
        items = to_items(messages)
    except NotJSONError as error:
        raise NotJSONError(f"{key!r}: {error}", error.path) from error
    seen: Counter[str] = Counter()
    written = []
    for item in items:
        text = json.dumps(item, sort_keys=True)
        # Derive ids from the content, not the position: a source that has lost its oldest messages,
        # such as one with an expiry, still gives the others the same ids.
        digest = hashlib.sha256(text.encode()).hexdigest()
        seen[digest] += 1
        written.append((item, f"import:{digest}:{seen[digest]}", len(text)))
    for batch in in_batches(written, _BATCH, lambda one: one[2]):
        yield [item for item, _, _ in batch], [name for _, name, _ in batch]
