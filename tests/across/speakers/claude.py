"""Claude speaks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any, cast

from claude_agent_sdk import SessionKey, SessionStoreEntry

from botwire import Item
from botwire_claude import BotWireSessionStore, convert
from tests.across.speakers.said import Said, Speaker, text

KEY: SessionKey = {"project_key": "project", "session_id": "session"}


class Claude(Speaker):
    """The entries of its transcripts."""

    def to_items(self, messages: Sequence[SessionStoreEntry]) -> list[Any]:
        return convert.to_items(messages)[0]

    def from_items(self, items: Sequence[Item]) -> list[SessionStoreEntry]:
        return convert.from_items(items, "session")

    def message(self, said: Said) -> SessionStoreEntry:
        if said.role == "system":
            return _entry(type="system", subtype="informational", content=said.text)
        blocks: list[Any] = [{"type": "text", "text": said.text}] if said.text else []
        blocks += [
            {"type": "tool_use", "id": i, "name": n, "input": json.loads(a)}
            for i, n, a in said.calls
        ]
        if said.role == "tool":
            result = {"type": "tool_result", "tool_use_id": said.answers}
            blocks = [{**result, "content": said.text}]
        role = "assistant" if said.role == "assistant" else "user"
        return _entry(type=role, message={"role": role, "content": blocks})

    def said(self, message: SessionStoreEntry) -> Said:
        entry: dict[str, Any] = dict(message)
        if entry["type"] == "system":
            return Said("system", entry["content"])
        content = entry["message"]["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        for block in blocks:
            if block["type"] == "tool_result":
                return Said("tool", block["content"], answers=block["tool_use_id"])
        return Said(
            entry["type"],
            "".join(block["text"] for block in blocks if block["type"] == "text"),
            tuple(
                (block["id"], block["name"], text(block["input"]))
                for block in blocks
                if block["type"] == "tool_use"
            ),
        )

    def session(self, namespace: str, url: str) -> BotWireSessionStore:
        return BotWireSessionStore(namespace, url=url)

    async def add(self, session: BotWireSessionStore, message: SessionStoreEntry) -> None:
        await session.append(KEY, [message])

    async def all(self, session: BotWireSessionStore) -> Sequence[SessionStoreEntry]:
        return await session.load(KEY) or []


def _entry(**parts: Any) -> SessionStoreEntry:
    return cast("SessionStoreEntry", parts)


if __name__ == "__main__":
    asyncio.run(Claude().serve())
