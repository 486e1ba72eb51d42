"""Strands Agents on BotWire: sessions, storage and memory that outlive the process."""

from botwire_strands.listing import list_sessions
from botwire_strands.memory import BotWireMemoryStore
from botwire_strands.sessions import BotWireSessionManager
from botwire_strands.storage import BotWireStorage

__all__ = ["BotWireMemoryStore", "BotWireSessionManager", "BotWireStorage", "list_sessions"]
