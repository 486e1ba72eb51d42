"""Microsoft Agent Framework on BotWire: state that outlives the process."""

from botwire_agent_framework.checkpoints import BotWireCheckpointStorage
from botwire_agent_framework.context import BotWireContextProvider
from botwire_agent_framework.history import BotWireHistoryProvider

__all__ = [
    "BotWireCheckpointStorage",
    "BotWireContextProvider",
    "BotWireHistoryProvider",
]
