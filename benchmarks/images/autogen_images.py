"""AutoGen: a context and a memory."""

from __future__ import annotations

import os

import PIL.Image
from autogen_core import Image
from autogen_core.memory import MemoryContent, MemoryMimeType
from autogen_core.models import UserMessage

from benchmarks.images.frame import Works, main
from botwire_autogen import BotWireChatCompletionContext, BotWireMemory

SIZE = (900, 950)  # 2.5 MB as PNG


async def works(url: str) -> Works:
    """Returns what is measured."""
    picture = PIL.Image.frombytes("RGB", SIZE, os.urandom(SIZE[0] * SIZE[1] * 3))
    context = BotWireChatCompletionContext("images", url=url, buffer_size=1)
    memory = BotWireMemory("images", url=url, recall_timeout=20, k=1)
    message = UserMessage(content=["look:", Image(picture)], source="user")
    content = MemoryContent(content=Image(picture), mime_type=MemoryMimeType.IMAGE)
    return {
        "`BotWireChatCompletionContext.add_message`": lambda: context.add_message(message),
        "`get_messages`": context.get_messages,
        "`BotWireMemory.add`": lambda: memory.add(content),
        "`query`": memory.query,
    }


if __name__ == "__main__":
    main("AutoGen", works)
