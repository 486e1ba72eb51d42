"""Pydantic AI: a conversation store, against a JSON file per conversation that is written whole.

That is what its users do today: `ConversationTypeAdapter` and a file, which keeps no branches and
refuses no second writer. The file is only handed to the operating system; BotWire syncs.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from pydantic_ai.conversation import Conversation, ConversationTypeAdapter
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    UserPromptPart,
)

from benchmarks.comparing import Compare
from botwire_pydantic_ai import BotWireConversationStore

LONG = 1_000
ROUNDS = 30
TEXT = "word " * 40


def rows(compare: Compare) -> None:
    """Measures both sides on the same work.

    Args:
        compare: Prints a row.
    """
    with tempfile.TemporaryDirectory() as name, asyncio.Runner() as runner:
        store = BotWireConversationStore("bench", url=f"sqlite:///{name}/ours.db")
        file = Path(name) / "chat.json"
        started = Conversation(conversation_id="chat", messages=_turn() * (LONG // 2))
        file.write_bytes(ConversationTypeAdapter.dump_json(started))
        runner.run(store.save(started))

        async def our_turn() -> None:
            conversation = await store.load("chat", limit=20)
            assert conversation is not None
            conversation.messages += _turn()
            await store.save(conversation)

        def their_turn() -> None:
            conversation = ConversationTypeAdapter.validate_json(file.read_bytes())
            conversation.messages += _turn()
            file.write_bytes(ConversationTypeAdapter.dump_json(conversation))

        compare(
            f"pydantic-ai: a turn after {LONG} messages",
            lambda: runner.run(our_turn()),
            their_turn,
            1,
        )
        compare(
            f"pydantic-ai: last 20 of {LONG}",
            lambda: runner.run(store.load("chat", limit=20)),
            lambda: ConversationTypeAdapter.validate_json(file.read_bytes()).messages[-20:],
            0.5,
        )


def _turn() -> list[ModelMessage]:
    return [ModelRequest([UserPromptPart(TEXT)]), ModelResponse([TextPart(TEXT)])]


if __name__ == "__main__":
    rows(Compare(ROUNDS))
