"""LangChain on BotWire: conversations, byte stores and model caches that outlive the process."""

from botwire_langchain.cache import BotWireCache
from botwire_langchain.history import BotWireChatHistory, BotWireChatMessageHistory
from botwire_langchain.store import BotWireByteStore

__all__ = [
    "BotWireByteStore",
    "BotWireCache",
    "BotWireChatHistory",
    "BotWireChatMessageHistory",
]
