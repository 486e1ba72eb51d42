"""Pydantic AI on BotWire: conversations, and the memory of its harness.

The harness is another distribution, so each name is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from botwire import ConfigurationError

if TYPE_CHECKING:
    from botwire_pydantic_ai.conversations import BotWireConversationStore
    from botwire_pydantic_ai.memory_store import BotWireMemoryStore

__all__ = ["BotWireConversationStore", "BotWireMemoryStore"]

_HOMES = {
    "BotWireConversationStore": "botwire_pydantic_ai.conversations",
    "BotWireMemoryStore": "botwire_pydantic_ai.memory_store",
}


def __getattr__(name: str) -> Any:
    """Imports the module of a name.

    Raises:
        ConfigurationError: The harness is not installed.
    """
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{name} needs {error.name}, which is not installed: "
            'pip install "botwire-pydantic-ai[harness]"'
        ) from error
