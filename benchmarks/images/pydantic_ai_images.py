"""Pydantic AI: a conversation store."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable
from typing import Any

from pydantic_ai.conversation import Conversation
from pydantic_ai.messages import BinaryContent, ModelRequest, UserPromptPart

from benchmarks.images.frame import IMAGE, MIME, Works, main
from botwire_pydantic_ai import BotWireConversationStore


async def works(url: str) -> Works:
    """Returns what is measured."""
    store = BotWireConversationStore("images", url=url)
    request = ModelRequest([UserPromptPart([BinaryContent(IMAGE, media_type=MIME)])])
    numbers = itertools.count()

    def save() -> Awaitable[Any]:
        return store.save(Conversation(conversation_id=f"c{next(numbers)}", messages=[request]))

    return {
        "`BotWireConversationStore.save`": save,
        "`load`": lambda: store.load("c0"),
    }


if __name__ == "__main__":
    main("Pydantic AI", works)
