"""The tool that reads conversations, whichever framework wrote them."""

from __future__ import annotations

from typing import Any, ClassVar

from botwire import AsyncMemory
from botwire.messages import Message, UnreadableItemError
from botwire.models import Item
from botwire_mcp import bounds
from botwire_mcp.tool import Answer, MemoryTool

_DEFAULT = 20
_MOST = 200  # messages in an answer


class History(MemoryTool):
    """Read a conversation of any agent or framework, its newest messages."""

    name: ClassVar[str] = "history"
    reads: ClassVar[bool] = True
    answers: ClassVar[dict[str, str]] = {
        "messages": "array",
        "more": "string",
        "searched": "string",
    }

    history: str
    last: int = _DEFAULT
    before: int | None = None
    max_chars: int = bounds.DEFAULT_CHARS

    async def run(self, memory: AsyncMemory) -> Answer:
        """Reads the messages, oldest first."""
        before = self.before or None
        most = bounds.count_of(self.last, _DEFAULT, _MOST)
        left = bounds.limit_of(self.max_chars)
        rows: list[dict[str, Any]] = []
        is_all = True
        history = memory.history(self.history)
        async for item in history.newest_first(before, page_size=min(most + 1, 20)):
            row = to_row(item, left)
            size = len(bounds.to_text(row))
            if len(rows) == most or (rows and size > left):
                is_all = False
                break
            rows.insert(0, row)
            left -= size
        answer: Answer = {"messages": rows}
        if not rows:
            earlier = f" before {before}" if before else ""
            answer["searched"] = (
                f"history {self.history!r:.200}{earlier} in namespace {memory.namespace!r}: no "
                "messages; the tool list names the histories (kind=histories)"
            )
        elif not is_all:
            answer["more"] = f"there are older messages: before={rows[0]['seq']}"
        return answer


def to_row(item: Item, most: int) -> dict[str, Any]:
    """Returns a message as a short JSON object.

    Args:
        item: The item; one that is not a message is shown as JSON text.
        most: How many characters its text may have.
    """
    row: dict[str, Any] = {"seq": item.seq}
    try:
        message = Message.from_item(item.value)
    except UnreadableItemError:
        return {**row, "text": bounds.cut(bounds.to_text(bounds.portable(item.value)), most)}
    row["role"] = message.role
    if message.name is not None:
        row["name"] = message.name
    row["text"] = bounds.cut(message.text, most)
    if message.tool_calls:
        row["tool_calls"] = [
            f"{call.name}({bounds.cut(bounds.to_text(bounds.portable(call.arguments)), 500)})"
            for call in message.tool_calls[:20]
        ]
    row["time"] = item.created_at.strftime("%Y-%m-%d %H:%M")
    return row
