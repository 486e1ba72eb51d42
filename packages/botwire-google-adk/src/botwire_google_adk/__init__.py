"""Google ADK on BotWire: sessions, memories and artifacts that outlive the process."""

from botwire_google_adk.artifacts import BotWireArtifactService
from botwire_google_adk.memory import BotWireMemoryService
from botwire_google_adk.registering import register_services
from botwire_google_adk.sessions import BotWireSessionService

__all__ = [
    "BotWireArtifactService",
    "BotWireMemoryService",
    "BotWireSessionService",
    "register_services",
]
