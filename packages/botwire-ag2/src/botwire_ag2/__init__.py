"""AG2 on BotWire: conversations and knowledge that outlive the process."""

from botwire_ag2.knowledge import BotWireKnowledgeStore
from botwire_ag2.storage import BotWireStorage

__all__ = [
    "BotWireKnowledgeStore",
    "BotWireStorage",
]
