"""LlamaIndex: a chat store and a memory."""

from __future__ import annotations

from llama_index.core.base.llms.types import ChatMessage, ImageBlock

from benchmarks.images.frame import ENCODED, MIME, Works, main
from botwire_llamaindex import BotWireAsyncChatStore, BotWireChatMemoryBuffer, BotWireMemory


async def works(url: str) -> Works:
    """Returns what is measured."""
    store = BotWireAsyncChatStore("images", url=url)
    memory = BotWireMemory("images", session_id="memory", url=url)
    buffer = BotWireChatMemoryBuffer("images-buffer", url=url)
    image = ImageBlock(image=ENCODED.encode(), image_mimetype=MIME)
    message = ChatMessage(role="user", blocks=[image])
    return {
        "`BotWireAsyncChatStore.add_message`": lambda: store.add_message("chat", message),
        "`get_messages(limit=1)`": lambda: store.get_messages("chat", limit=1),
        "`BotWireMemory.aput`": lambda: memory.aput(message),
        "`aget`": memory.aget,
        "`BotWireChatMemoryBuffer.aput`": lambda: buffer.aput(message),
        "`BotWireChatMemoryBuffer.aget`": buffer.aget,
    }


if __name__ == "__main__":
    main("LlamaIndex", works)
