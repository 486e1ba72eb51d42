"""The names of the tools. The tools themselves need the MCP SDK, which is slow to import."""

from __future__ import annotations

from collections.abc import Collection

from botwire.errors import ConfigurationError

NAMES = ("remember", "recall", "update", "forget", "list", "get", "set", "memory", "history")
"""The names of all tools."""


def check(names: Collection[str] | None) -> None:
    """Refuses the name of a tool that does not exist.

    Raises:
        ConfigurationError: There is no such tool.
    """
    for name in names or ():
        if name not in NAMES:
            raise ConfigurationError(f"there is no tool {name!r}: choose from {', '.join(NAMES)}")
