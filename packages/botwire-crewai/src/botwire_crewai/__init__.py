"""CrewAI on BotWire: what crews learn, kept and shared between processes."""

from botwire_crewai.factory import install, uninstall
from botwire_crewai.flow import BotWireFlowPersistence
from botwire_crewai.knowledge import BotWireKnowledgeStorage
from botwire_crewai.memory import BotWireMemory
from botwire_crewai.migrate import migrate_lancedb
from botwire_crewai.storage import BotWireStorage
from botwire_crewai.tools import memory_tools

__all__ = [
    "BotWireFlowPersistence",
    "BotWireKnowledgeStorage",
    "BotWireMemory",
    "BotWireStorage",
    "install",
    "memory_tools",
    "migrate_lancedb",
    "uninstall",
]
