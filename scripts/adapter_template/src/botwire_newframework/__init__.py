"""NewFramework on BotWire: conversations that outlive the process."""

from botwire_newframework.conversation import BotWireConversation

__all__ = ["BotWireConversation"]
