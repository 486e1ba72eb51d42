"""LlamaIndex on BotWire: chat memory and chat stores that outlive the process."""

from botwire_llamaindex.buffer import BotWireChatMemoryBuffer, PersistentChatMemory
from botwire_llamaindex.store import BotWireChatStore

__all__ = ["BotWireChatMemoryBuffer", "BotWireChatStore", "PersistentChatMemory"]
