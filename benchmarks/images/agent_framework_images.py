"""Agent Framework: a history and a workflow's checkpoint."""

from __future__ import annotations

from agent_framework import Content, Message, WorkflowCheckpoint

from benchmarks.images.frame import IMAGE, MIME, Works, main
from botwire_agent_framework import BotWireCheckpointStorage, BotWireHistoryProvider


async def works(url: str) -> Works:
    """Returns what is measured."""
    message = Message("user", [Content.from_data(data=IMAGE, media_type=MIME)])
    provider = BotWireHistoryProvider("images", url=url)
    storage = BotWireCheckpointStorage("images", url=url)
    checkpoint = WorkflowCheckpoint("w", "hash", state={"said": [message]})
    return {
        "`BotWireHistoryProvider.save_messages`": lambda: provider.save_messages("s", [message]),
        "`get_messages`": lambda: provider.get_messages("s"),
        "`BotWireCheckpointStorage.save`": lambda: storage.save(checkpoint),
        "`load`": lambda: storage.load(checkpoint.checkpoint_id),
    }


if __name__ == "__main__":
    main("Agent Framework", works)
