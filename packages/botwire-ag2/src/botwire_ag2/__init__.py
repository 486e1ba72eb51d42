"""AG2 on BotWire: conversations, knowledge and tasks that outlive the process."""

from botwire_ag2.checkpoints import BotWireCheckpointStore
from botwire_ag2.knowledge import BotWireKnowledgeStore
from botwire_ag2.storage import BotWireStorage

__all__ = [
    "BotWireCheckpointStore",
    "BotWireKnowledgeStore",
    "BotWireStorage",
]
