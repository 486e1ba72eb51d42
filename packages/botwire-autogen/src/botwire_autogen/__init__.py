"""AutoGen on BotWire: memory, conversations and teams that outlive the process."""

from botwire_autogen.cache import BotWireCacheStore, BotWireCacheStoreConfig
from botwire_autogen.checkpointed import CheckpointedTeam, CheckpointedTeamConfig
from botwire_autogen.context import (
    BotWireChatCompletionContext,
    BotWireChatCompletionContextConfig,
)
from botwire_autogen.memory import BotWireMemory, BotWireMemoryConfig
from botwire_autogen.teams import BotWireStateStore, resume_team, save_team

__all__ = [
    "BotWireCacheStore",
    "BotWireCacheStoreConfig",
    "BotWireChatCompletionContext",
    "BotWireChatCompletionContextConfig",
    "BotWireMemory",
    "BotWireMemoryConfig",
    "BotWireStateStore",
    "CheckpointedTeam",
    "CheckpointedTeamConfig",
    "resume_team",
    "save_team",
]
