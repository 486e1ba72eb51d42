"""The classes of `botwire_langchain`, under the name that integrations of LangChain have."""

from botwire_langchain import (
    BotWireByteStore,
    BotWireCache,
    BotWireChatHistory,
    BotWireChatMessageHistory,
    BotWireVectorStore,
)

__all__ = [
    "BotWireByteStore",
    "BotWireCache",
    "BotWireChatHistory",
    "BotWireChatMessageHistory",
    "BotWireVectorStore",
]
