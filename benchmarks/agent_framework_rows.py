"""Agent Framework: workflow checkpoints, against its own FileCheckpointStorage.

Each side runs with its defaults: BotWire syncs what it reports as saved, while the files are only
handed to the operating system.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent_framework import FileCheckpointStorage, Message, WorkflowCheckpoint

from benchmarks.comparing import Compare
from botwire_agent_framework import BotWireCheckpointStorage

TURNS = 100  # each saves a checkpoint with all messages so far
ROUNDS = 20
TEXT = "word " * 40


def rows(compare: Compare) -> None:
    """Measures both sides on the same work.

    Args:
        compare: Prints a row.
    """
    with tempfile.TemporaryDirectory() as name, asyncio.Runner() as runner:
        folder = Path(name)
        ours = BotWireCheckpointStorage("bench", url=f"sqlite:///{folder / 'ours.db'}")
        theirs = FileCheckpointStorage(folder / "theirs")
        said: list[Message] = []
        saved: list[str] = []
        for i in range(TURNS):
            said += [Message("user", [f"{i} {TEXT}"]), Message("assistant", [f"{i} {TEXT}"])]
            checkpoint = _checkpoint(said)
            saved.append(checkpoint.checkpoint_id)
            for storage in (ours, theirs):
                runner.run(storage.save(checkpoint))
        mine, its = (
            sum(path.stat().st_size for path in where) / 1000
            for where in (folder.glob("ours.db*"), folder.glob("theirs/*.json"))
        )
        ratio = f"{mine / its:6.2f} (target 0.4)"
        print(f"{'agent-framework: bytes, 100 turns':34} {mine:9.0f} kB {its:9.0f} kB {ratio}")

        def save(storage: Any, messages: int) -> Callable[[], Any]:
            return lambda: runner.run(storage.save(_checkpoint(said[:messages])))

        def load(storage: Any, which: int) -> Callable[[], Any]:
            return lambda: runner.run(storage.load(saved[which]))

        def latest(storage: Any) -> Callable[[], Any]:
            return lambda: runner.run(storage.get_latest(workflow_name="bench"))

        compare("agent-framework: save, 4 messages", save(ours, 4), save(theirs, 4), 2)
        compare("agent-framework: save, 200 messages", save(ours, 200), save(theirs, 200), 2)
        compare("agent-framework: load, 200 messages", load(ours, -1), load(theirs, -1), 2)
        compare("agent-framework: latest of 100", latest(ours), latest(theirs), 0.1)


def _checkpoint(said: list[Message]) -> WorkflowCheckpoint:
    """Returns the checkpoint of a workflow with one agent: messages in its state and in flight."""
    state = {"_executor_state": {"agent": {"cache": [], "full_conversation": list(said)}}}
    return WorkflowCheckpoint("bench", "hash", state=state, metadata={"last": said[-1]})


if __name__ == "__main__":
    rows(Compare(ROUNDS))
