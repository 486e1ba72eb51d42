"""LangChain on BotWire: conversations, documents, bytes and answers that outlive the process."""

from botwire_langchain.cache import BotWireCache
from botwire_langchain.history import BotWireChatHistory, BotWireChatMessageHistory
from botwire_langchain.store import BotWireByteStore
from botwire_langchain.vectors import BotWireVectorStore

__all__ = [
    "BotWireByteStore",
    "BotWireCache",
    "BotWireChatHistory",
    "BotWireChatMessageHistory",
    "BotWireVectorStore",
]
