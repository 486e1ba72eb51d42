"""LangChain: a chat history."""

from __future__ import annotations

from langchain_core.messages import HumanMessage

from benchmarks.images.frame import ENCODED, MIME, Works, main
from botwire_langchain import BotWireChatMessageHistory


async def works(url: str) -> Works:
    """Returns what is measured."""
    history = BotWireChatMessageHistory("chat", namespace="images", url=url)
    message = HumanMessage([{"type": "image", "base64": ENCODED, "mime_type": MIME}])
    return {
        "`BotWireChatMessageHistory.aadd_messages`": lambda: history.aadd_messages([message]),
        "`aget_messages(limit=1)`": lambda: history.aget_messages(limit=1),
    }


if __name__ == "__main__":
    main("LangChain", works)
