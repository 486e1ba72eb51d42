"""OpenAI Agents SDK on BotWire: sessions that outlive the process."""

from botwire_openai_agents.listing import list_sessions
from botwire_openai_agents.session import BotWireSession

__all__ = ["BotWireSession", "list_sessions"]
