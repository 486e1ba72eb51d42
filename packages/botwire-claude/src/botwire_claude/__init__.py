"""Claude on BotWire: sessions of the Agent SDK, and the files of the memory tool.

The two need different distributions, so each name is imported when it is first used.
"""

from typing import TYPE_CHECKING

from botwire.lazy import lazy_names

if TYPE_CHECKING:
    from botwire_claude.sessions import BotWireSessionStore
    from botwire_claude.tool import BotWireAsyncMemoryTool, BotWireMemoryTool

__all__ = ["BotWireAsyncMemoryTool", "BotWireMemoryTool", "BotWireSessionStore"]

__getattr__ = lazy_names(
    __name__,
    {
        "BotWireAsyncMemoryTool": ("botwire_claude.tool", "tool"),
        "BotWireMemoryTool": ("botwire_claude.tool", "tool"),
        "BotWireSessionStore": ("botwire_claude.sessions", "sdk"),
    },
)
