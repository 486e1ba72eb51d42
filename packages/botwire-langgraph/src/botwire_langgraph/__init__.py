"""LangGraph on BotWire: a checkpointer and a store that outlive the process."""

from botwire_langgraph.errors import ConcurrentRunError, ThreadDeletedError
from botwire_langgraph.pruning import ThreadInfo
from botwire_langgraph.saver import BotWireSaver
from botwire_langgraph.store import BotWireStore

__all__ = [
    "BotWireSaver",
    "BotWireStore",
    "ConcurrentRunError",
    "ThreadDeletedError",
    "ThreadInfo",
]
