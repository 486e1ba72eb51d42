"""LangGraph on BotWire: a checkpointer and a store that outlive the process.

`BotWireBackend` needs deepagents, so it is imported when it is first used.
"""

from typing import TYPE_CHECKING, Any

from botwire import ConfigurationError
from botwire_langgraph.errors import ConcurrentRunError, ThreadDeletedError
from botwire_langgraph.pruning import ThreadInfo
from botwire_langgraph.saver import BotWireSaver
from botwire_langgraph.store import BotWireStore

if TYPE_CHECKING:
    from botwire_langgraph.backend import BotWireBackend

__all__ = [
    "BotWireBackend",
    "BotWireSaver",
    "BotWireStore",
    "ConcurrentRunError",
    "ThreadDeletedError",
    "ThreadInfo",
]


def __getattr__(name: str) -> Any:
    """Imports `BotWireBackend`.

    Raises:
        ConfigurationError: deepagents is not installed.
    """
    if name != "BotWireBackend":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from botwire_langgraph.backend import BotWireBackend  # noqa: PLC0415 - an extra needs it
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{name} needs {error.name}, which is not installed: "
            'pip install "botwire-langgraph[deepagents]"'
        ) from error
    return BotWireBackend
