"""LlamaIndex on BotWire: memories, chat stores and storage that outlive the process."""

from botwire_llamaindex.async_store import BotWireAsyncChatStore
from botwire_llamaindex.buffer import BotWireChatMemoryBuffer, PersistentChatMemory
from botwire_llamaindex.kvstore import BotWireKVStore
from botwire_llamaindex.memory import BotWireMemory
from botwire_llamaindex.migrate import aimport_chat_store, import_chat_store
from botwire_llamaindex.recall import BotWireMemoryBlock
from botwire_llamaindex.storage import BotWireDocumentStore, BotWireIndexStore
from botwire_llamaindex.store import BotWireChatStore
from botwire_llamaindex.vectors import BotWireVectorStore

__all__ = [
    "BotWireAsyncChatStore",
    "BotWireChatMemoryBuffer",
    "BotWireChatStore",
    "BotWireDocumentStore",
    "BotWireIndexStore",
    "BotWireKVStore",
    "BotWireMemory",
    "BotWireMemoryBlock",
    "BotWireVectorStore",
    "PersistentChatMemory",
    "aimport_chat_store",
    "import_chat_store",
]
