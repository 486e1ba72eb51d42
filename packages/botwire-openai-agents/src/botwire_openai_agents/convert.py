"""Items of the Responses API to items of a history and back.

Messages, tool calls and tool outputs become envelopes, which other frameworks read. Items that
other frameworks do not know, such as reasoning, are stored natively only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from agents.items import TResponseInputItem

from botwire import Item, NotJSONError
from botwire.exact import Json
from botwire.messages import Message, Native, Role, ToolCall, read_items
from botwire.tagged import from_stored, to_json

FRAMEWORK = "openai-agents"
FORMAT = 1
"""The item as the SDK passes it to a session, with what JSON lacks tagged by `botwire.tagged`."""

_ROLES: Mapping[str, Role] = {
    "user": "user",
    "system": "system",
    "developer": "system",
    "assistant": "assistant",
}
_NO_ID = "__fake_id__"
"""The id that the SDK gives to items of providers without ids."""


def to_items(items: Sequence[TResponseInputItem]) -> list[dict[str, Any]]:
    """Returns the values to store.

    Raises:
        NotJSONError: An item could not be read back; the error says which one and where.
    """
    return [_to_item(item, f"items[{i}]") for i, item in enumerate(items)]


def from_items(items: Iterable[Item]) -> list[tuple[int, list[TResponseInputItem]]]:
    """Returns the number of each stored item, and the SDK's items that it holds.

    A message of another framework may hold several: a text and calls of tools.
    """
    return read_items(
        items,
        framework=FRAMEWORK,
        formats=(FORMAT,),
        from_native=_from_native,
        from_portable=_from_portable,
    )


def is_question(value: Any) -> bool:
    """Returns whether a stored value is input, as opposed to output of a model or a tool."""
    return isinstance(value, dict) and value.get("role") in ("user", "system")


def waits(values: Sequence[dict[str, Any]]) -> bool:
    """Returns whether a tool call has no answer among the stored values."""
    calls = {call["id"] for value in values for call in value.get("tool_calls", ())}
    return bool(calls - {value.get("tool_call_id") for value in values})


def has_own_id(item: TResponseInputItem) -> bool:
    """Returns whether the item has a unique id, given by a provider."""
    given = item.get("id")
    return isinstance(given, str) and given != _NO_ID


def _to_item(item: Any, path: str) -> dict[str, Any]:
    if hasattr(item, "model_dump"):
        item = item.model_dump(exclude_unset=True)
    if not isinstance(item, dict):
        raise NotJSONError(f"{path} is a {type(item).__name__}, not an item of the SDK", path)
    if not item:
        raise NotJSONError(f"{path} is empty: an item of the SDK has a role or a type", path)
    native = Native(FRAMEWORK, FORMAT, to_json(item, path))
    message = _message(item, native)
    return native.to_value() if message is None else message.to_item()


def _message(item: dict[str, Any], native: Native) -> Message | None:
    """Returns the envelope of an item; None if other frameworks do not know such items."""
    kind, call, role = item.get("type"), item.get("call_id"), item.get("role")
    given = item["id"] if has_own_id(cast(TResponseInputItem, item)) else None
    if kind in (None, "message") and isinstance(role, str) and role in _ROLES:
        return Message(_ROLES[role], _text(item.get("content")), id=given, native=native)
    if not isinstance(kind, str) or not isinstance(call, str):
        return None
    if kind.endswith("_output"):
        output = item.get("output")
        text = json.dumps(output) if kind == "shell_call_output" else _text(output)
        return Message("tool", text, id=given, tool_call_id=call, native=native)
    if kind.endswith("_call"):
        name = item.get("name") or kind.removesuffix("_call")
        calls = (ToolCall.of(call, name, _arguments(item)),)
        return Message("assistant", "", id=given, tool_calls=calls, native=native)
    return None


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else ()
    texts = [part.get("text") or part.get("refusal") for part in parts if isinstance(part, dict)]
    return "".join(text for text in texts if isinstance(text, str))


def _arguments(item: dict[str, Any]) -> Mapping[str, Any] | str:
    for name in ("arguments", "input", "action", "operation"):
        if isinstance(item.get(name), (dict, str)):
            arguments: Mapping[str, Any] | str = item[name]
            return arguments
    return {}


def _from_native(data: Json) -> list[TResponseInputItem]:
    return [from_stored(data)]


def _from_portable(message: Message) -> list[TResponseInputItem]:
    """Returns the items for another framework's message."""
    if message.role == "tool":
        call = message.tool_call_id or ""
        output = {"type": "function_call_output", "call_id": call, "output": message.text}
        return [cast(TResponseInputItem, output)]
    made: list[dict[str, Any]] = [
        {
            "type": "function_call",
            "call_id": call.id,
            "name": call.name,
            "arguments": call.as_text,
        }
        for call in message.tool_calls
    ]
    if message.text or not made:
        made.insert(0, {"role": message.role, "content": message.text})
    return cast(list[TResponseInputItem], made)
