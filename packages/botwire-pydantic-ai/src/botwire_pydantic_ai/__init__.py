"""Pydantic AI on BotWire: conversations that outlive the process."""

from botwire_pydantic_ai.conversations import BotWireConversationStore

__all__ = ["BotWireConversationStore"]
