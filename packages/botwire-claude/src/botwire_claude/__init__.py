"""Claude on BotWire: sessions of the Agent SDK, and the files of the memory tool.

The two need different distributions, so each name is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from botwire import ConfigurationError

if TYPE_CHECKING:
    from botwire_claude.sessions import BotWireSessionStore
    from botwire_claude.tool import BotWireAsyncMemoryTool, BotWireMemoryTool

__all__ = ["BotWireAsyncMemoryTool", "BotWireMemoryTool", "BotWireSessionStore"]

_HOMES = {
    "BotWireAsyncMemoryTool": ("botwire_claude.tool", "tool"),
    "BotWireMemoryTool": ("botwire_claude.tool", "tool"),
    "BotWireSessionStore": ("botwire_claude.sessions", "sdk"),
}


def __getattr__(name: str) -> Any:
    """Imports the module of a name.

    Raises:
        ConfigurationError: A distribution that it needs is not installed.
    """
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, extra = _HOMES[name]
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{name} needs {error.name}, which is not installed: "
            f'pip install "botwire-claude[{extra}]"'
        ) from error
