"""Messages as the turns of a conversation, whichever framework wrote them.

An item that has an envelope (see `botwire.messages`) is read from its portable part; what that does
not have, images and a model's thinking, is looked for in the framework's own part. Messages that
programs stored in the common forms of the model providers are read too, and so are the messages in
LangGraph threads. All else is shown as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from botwire import operations as ops
from botwire.clock import to_datetime
from botwire.messages import ROLES, Message, UnreadableItemError, is_native_alone
from botwire.operations import Author
from botwire_console.editing import pretty
from botwire_console.inside import MOST_TEXT, THINKING, Inside

_ROLES = {"ai": "assistant", "developer": "system", "human": "user", "model": "assistant"}
_TYPES = {  # of LangChain's messages
    "ai": "assistant",
    "AIMessageChunk": "assistant",
    "human": "user",
    "HumanMessageChunk": "user",
    "system": "system",
    "SystemMessageChunk": "system",
    "tool": "tool",
    "ToolMessageChunk": "tool",
}


@dataclass(frozen=True)
class Call:
    """A tool call, with its answer if that is near.

    Attributes:
        id: What the answer refers to.
        name: The tool.
        arguments: The arguments, as text.
        answer: The turn with the answer.
    """

    id: str
    name: str
    arguments: str
    answer: ItemView | None = None


@dataclass(frozen=True)
class ItemView:
    """What a message says.

    Attributes:
        seq: The number of the item, or its place in a list.
        role: ``system``, ``user``, ``assistant``, ``tool``, or ``other`` for what is no message.
        text: What is said.
        name: The name of the speaker or the tool.
        thinking: The model's thinking.
        pictures: The number of images.
        calls: The tool calls it makes.
        answers: The id of the call it answers.
        framework: The framework that wrote it.
        said_at: When it was said.
        why: Why it is shown as JSON.
        author: Who wrote the item.
    """

    seq: int
    role: str
    text: str = ""
    name: str | None = None
    thinking: Sequence[str] = ()
    pictures: int = 0
    calls: Sequence[Call] = ()
    answers: str | None = None
    framework: str | None = None
    said_at: datetime | None = None
    why: str = ""
    author: Author | None = None

    @property
    def shown_text(self) -> str:
        """The text, or its beginning."""
        return self.text[:MOST_TEXT]

    @property
    def is_cut(self) -> bool:
        """Whether the text is longer than the part shown."""
        return len(self.text) > MOST_TEXT


def turns(items: Iterable[ops.HistoryItem]) -> list[ItemView]:
    """Returns the turns of items in order; answers of tools are with their calls."""
    return _fold([turn_of(item) for item in items])


def turns_of_list(value: Any) -> list[ItemView] | None:
    """Returns the turns of a list of messages; None if the value is not such a list.

    Args:
        value: A value as data, such as that of a channel of a thread.
    """
    if not isinstance(value, list) or not value:
        return None
    found = []
    for seq, one in enumerate(value, 1):
        turn = _message(seq, one) if isinstance(one, dict) else None
        if turn is None:
            return None
        seen = Inside.within(one)
        found.append(replace(turn, thinking=tuple(seen.thinking), pictures=seen.pictures))
    return _fold(found)


def _fold(found: Sequence[ItemView]) -> list[ItemView]:
    answers: dict[str, ItemView] = {}
    for turn in found:
        if turn.role == "tool" and turn.answers:
            answers.setdefault(turn.answers, turn)
    folded: set[int] = set()
    joined = []
    for turn in found:
        calls = []
        for call in turn.calls:
            answer = answers.get(call.id)
            if answer is not None and answer.seq > turn.seq:
                folded.add(answer.seq)
                call = replace(call, answer=answer)  # noqa: PLW2901 - the same call, answered
            calls.append(call)
        joined.append(replace(turn, calls=tuple(calls)))
    return [turn for turn in joined if turn.seq not in folded]


def turn_of(item: ops.HistoryItem) -> ItemView:
    """Returns an item as a page shows it."""
    value = item.value.value
    at = to_datetime(item.created_at)
    try:
        message = Message.from_item(value)
    except UnreadableItemError as error:
        return _other(item, value, at, str(error))
    native = None if message.native is None else message.native.data
    seen = Inside.within(native)
    return ItemView(
        item.seq,
        message.role,
        message.text,
        _text(message.name) or None,
        tuple(seen.thinking),
        seen.pictures,
        tuple([Call(_text(one.id), _text(one.name), _compact(one.arguments))
               for one in message.tool_calls]),
        _text(message.tool_call_id) or None,
        None if message.native is None else _text(message.native.framework),
        _said_at(message.created_at) or at,
        author=item.author,
    )  # fmt: skip


# --- items without an envelope --------------------------------------------------------------


def _other(item: ops.HistoryItem, value: Any, at: datetime, why: str) -> ItemView:
    framework = None
    if is_native_alone(value):
        framework, value = _text(value["framework"]), value["data"]
    seen = Inside.within(value)
    turn = _message(item.seq, value) if isinstance(value, dict) else None
    if turn is None and seen.thinking:
        turn = ItemView(item.seq, "assistant")
    if turn is None:
        text = value if isinstance(value, str) else pretty(value)
        why = f"for {framework} only" if framework else why
        turn = ItemView(item.seq, "other", text, why=why)
    return replace(
        turn,
        thinking=tuple(seen.thinking),
        pictures=seen.pictures,
        framework=framework,
        said_at=at,
        author=item.author,
    )


def _message(seq: int, value: Mapping[str, Any]) -> ItemView | None:
    """Returns a message in one of the common forms; None if the value is in none of them."""
    kind = value.get("type")
    if kind == "function_call":
        call = Call(_text(value.get("call_id")), _text(value.get("name")),
                    _compact(value.get("arguments")))  # fmt: skip
        return ItemView(seq, "assistant", calls=(call,))
    if kind == "function_call_output":
        said = value.get("output")
        text = said if isinstance(said, str) else pretty(said)
        return ItemView(seq, "tool", text, answers=_text(value.get("call_id")))
    given = value.get("role")
    if given is None and isinstance(kind, str) and "content" in value:
        given = _TYPES.get(kind)
    role = _ROLES.get(given, given) if isinstance(given, str) else None
    if role not in ROLES:
        return None
    content = value.get("content", value.get("text"))
    calls = [*_calls(value.get("tool_calls"))]
    text, answers = "", _text(value.get("tool_call_id")) or None
    if isinstance(content, str):
        text = content
    elif isinstance(content, list):
        said = []
        for block in content:
            if isinstance(block, str):
                said.append(block)
            elif isinstance(block, dict):
                if isinstance(block.get("text"), str) and block.get("type") not in THINKING:
                    said.append(block["text"])
                elif block.get("type") == "tool_use":
                    calls.append(Call(_text(block.get("id")), _text(block.get("name")),
                                      _compact(block.get("input"))))  # fmt: skip
                elif block.get("type") == "tool_result":
                    role, answers = "tool", _text(block.get("tool_use_id"))
                    result = block.get("content")
                    said.append(result if isinstance(result, str) else pretty(result))
        text = "\n\n".join(said)
    elif content is not None:
        return None
    calls = list({(one.id or number, one.name): one for number, one in enumerate(calls)}.values())
    return ItemView(seq, role, text, _text(value.get("name")) or None, calls=tuple(calls),
                answers=answers)  # fmt: skip


def _calls(given: Any) -> Iterator[Call]:
    for call in given if isinstance(given, list) else ():
        if isinstance(call, dict):
            function = call.get("function")
            of = function if isinstance(function, dict) else call
            arguments = of.get("arguments", of.get("args"))
            yield Call(_text(call.get("id")), _text(of.get("name")), _compact(arguments))


def _said_at(text: Any) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return at if at.tzinfo is not None else None


def _compact(arguments: Any) -> str:
    if isinstance(arguments, str):
        try:
            return pretty(json.loads(arguments))[:MOST_TEXT]
        except (ValueError, RecursionError):
            return arguments[:MOST_TEXT]
    return pretty(arguments)[:MOST_TEXT]


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else str(value)[:200]
