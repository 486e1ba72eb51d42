"""Microsoft Agent Framework on BotWire: state that outlives the process.

`BotWireSessionStore` is imported when it is first used, because ``SessionStore`` is experimental
and Agent Framework warns about it.
"""

from typing import TYPE_CHECKING

from botwire.lazy import lazy_names
from botwire_agent_framework.checkpoints import BotWireCheckpointStorage
from botwire_agent_framework.context import BotWireContextProvider
from botwire_agent_framework.history import BotWireHistoryProvider

if TYPE_CHECKING:
    from botwire_agent_framework.sessions import BotWireSessionStore

__all__ = [
    "BotWireCheckpointStorage",
    "BotWireContextProvider",
    "BotWireHistoryProvider",
    "BotWireSessionStore",
]

__getattr__ = lazy_names(
    __name__, {"BotWireSessionStore": ("botwire_agent_framework.sessions", None)}
)
