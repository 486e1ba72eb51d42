"""How ADK's commands find the services."""

from __future__ import annotations

from google.adk.cli.service_registry import get_service_registry

from botwire.specs import SPEC_SCHEME
from botwire_google_adk.artifacts import BotWireArtifactService
from botwire_google_adk.memory import BotWireMemoryService
from botwire_google_adk.sessions import BotWireSessionService


def register_services() -> None:
    """Makes ADK's commands open a service for an address that begins with ``botwire://``.

    Call it in a file ``services.py`` beside the agents, which ``adk web`` runs.
    """
    registry = get_service_registry()
    registry.register_session_service(SPEC_SCHEME, lambda uri, **_: BotWireSessionService(uri=uri))
    registry.register_memory_service(SPEC_SCHEME, lambda uri, **_: BotWireMemoryService(uri=uri))
    registry.register_artifact_service(
        SPEC_SCHEME, lambda uri, **_: BotWireArtifactService(uri=uri)
    )
