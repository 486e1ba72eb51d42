"""LangGraph on BotWire: a checkpointer, a store and a cache that outlive the process.

`BotWireBackend` needs deepagents, so it is imported when it is first used.
"""

from typing import TYPE_CHECKING

from botwire.lazy import lazy_names
from botwire_langgraph.cache import BotWireCache
from botwire_langgraph.errors import ConcurrentRunError, ThreadDeletedError
from botwire_langgraph.pruning import ThreadInfo
from botwire_langgraph.saver import BotWireSaver
from botwire_langgraph.store import BotWireStore

if TYPE_CHECKING:
    from botwire_langgraph.backend import BotWireBackend

__all__ = [
    "BotWireBackend",
    "BotWireCache",
    "BotWireSaver",
    "BotWireStore",
    "ConcurrentRunError",
    "ThreadDeletedError",
    "ThreadInfo",
]

__getattr__ = lazy_names(__name__, {"BotWireBackend": ("botwire_langgraph.backend", "deepagents")})
