"""AutoGen on BotWire: a memory that outlives the process."""

from botwire_autogen.memory import BotWireMemory, BotWireMemoryConfig

__all__ = ["BotWireMemory", "BotWireMemoryConfig"]
