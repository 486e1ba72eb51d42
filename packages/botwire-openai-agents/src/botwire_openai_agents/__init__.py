"""OpenAI Agents SDK on BotWire: sessions that outlive the process."""

from botwire_openai_agents.session import BotWireSession, list_sessions

__all__ = ["BotWireSession", "list_sessions"]
