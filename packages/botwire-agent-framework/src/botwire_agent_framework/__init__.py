"""Microsoft Agent Framework on BotWire: conversations and memory that outlive the process."""

from botwire_agent_framework.context import BotWireContextProvider
from botwire_agent_framework.history import BotWireHistoryProvider

__all__ = [
    "BotWireContextProvider",
    "BotWireHistoryProvider",
]
