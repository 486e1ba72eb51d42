"""Pydantic AI on BotWire: conversations, and the memory of its harness.

The harness is another distribution, so `BotWireMemoryStore` is imported when it is first used.
"""

from typing import TYPE_CHECKING

from botwire.lazy import lazy_names
from botwire_pydantic_ai.conversations import BotWireConversationStore

if TYPE_CHECKING:
    from botwire_pydantic_ai.memory_store import BotWireMemoryStore

__all__ = ["BotWireConversationStore", "BotWireMemoryStore"]

__getattr__ = lazy_names(
    __name__, {"BotWireMemoryStore": ("botwire_pydantic_ai.memory_store", "harness")}
)
