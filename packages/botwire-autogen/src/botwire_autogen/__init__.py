"""AutoGen on BotWire: memory and conversations that outlive the process."""

from botwire_autogen.context import (
    BotWireChatCompletionContext,
    BotWireChatCompletionContextConfig,
)
from botwire_autogen.memory import BotWireMemory, BotWireMemoryConfig

__all__ = [
    "BotWireChatCompletionContext",
    "BotWireChatCompletionContextConfig",
    "BotWireMemory",
    "BotWireMemoryConfig",
]
