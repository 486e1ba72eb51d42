"""Entries of a Claude transcript to items of a history and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

from claude_agent_sdk import SessionStoreEntry

from botwire import Item, NotJSONError
from botwire.arguments import check_mapping
from botwire.client.encoding import encode_list
from botwire.content_blocks import read_content
from botwire.exact import Json
from botwire.messages import Message, Native, items_of, read_items
from botwire.names import uuid_of

FRAMEWORK = "claude"
FORMAT = 1
"""The entry, as it is in the transcript.

Prompts, answers and tool results are messages, stored as envelopes. Other entries, such as titles,
are not part of a conversation: their items consist of the native part alone.

An entry with several tool results is stored as several items; see `botwire.messages.items_of`.
"""

_NOTICE = "informational"
"""The subtype of system entries that a transcript shows as text."""

_MAX_ID = 400


def to_items(
    entries: Sequence[SessionStoreEntry],
) -> tuple[list[dict[str, Any]], list[str | None]]:
    """Returns the items that hold entries, and an id for each item.

    Of several entries with the same uuid, only the first counts.

    Raises:
        NotJSONError: An entry is not a JSON object; the error says which and where.
    """
    items: list[dict[str, Any]] = []
    ids: list[str | None] = []
    seen: set[str | None] = set()
    for number, entry in enumerate(encode_list(entries, "entries", "entries")):
        path = f"entries[{number}]"
        if not isinstance(entry, dict):
            raise NotJSONError(f"{path} is not an object: {entry!r:.80}", path)
        uuid = entry.get("uuid")
        known = isinstance(uuid, str) and 0 < len(uuid) <= _MAX_ID
        if known:
            if uuid in seen:
                continue
            seen.add(uuid)
        made = _items_of(dict(entry))
        items += made
        # An entry without an id never equals another one.
        ids += [
            (f"{uuid}:{left}" if left else uuid) if known else None
            for left in reversed(range(len(made)))
        ]
    return items, ids


def from_items(items: Iterable[Item], session_id: str) -> list[SessionStoreEntry]:
    """Returns the entries that items hold, including those of other frameworks.

    A message of another framework continues the entry before it. An item that cannot be read is
    logged and left out.

    Args:
        items: The items, oldest first.
        session_id: The id of the session.
    """
    entries: list[SessionStoreEntry] = []
    leaf: str | None = None
    for item in items:
        found = read_items(
            [item],
            framework=FRAMEWORK,
            formats=(FORMAT,),
            from_native=_from_native,
            from_portable=partial(_from_portable, item=item, session_id=session_id, leaf=leaf),
        )
        for _, entry in found:
            if entry is not None:
                entries.append(entry)
                leaf = entry.get("uuid", leaf)
    return entries


# --- to items -----------------------------------------------------------------------------------


def _items_of(entry: dict[str, Any]) -> list[dict[str, Any]]:
    native = Native(FRAMEWORK, FORMAT, entry)
    said = _messages_of(entry)
    if not said:
        return [native.to_value()]
    about: dict[str, Any] = {
        name: value
        for name, key in (("id", "uuid"), ("created_at", "timestamp"))
        if isinstance(value := entry.get(key), str)
    }
    return items_of((replace(one, **about) for one in said), native)


def _messages_of(entry: Mapping[str, Any]) -> list[Message]:
    kind, message = entry.get("type"), entry.get("message")
    if kind == "system" and entry.get("subtype") == _NOTICE:
        return [Message("system", str(entry.get("content", "")))]
    if kind not in ("user", "assistant") or not isinstance(message, dict):
        return []
    return read_content("user" if kind == "user" else "assistant", message.get("content"))


# --- from items ---------------------------------------------------------------------------------


def _from_native(data: Json) -> SessionStoreEntry | None:
    entry = data.value
    if entry is not None:
        check_mapping(entry, "entry")
    return cast("SessionStoreEntry | None", entry)


def _from_portable(
    message: Message, item: Item, session_id: str, leaf: str | None
) -> SessionStoreEntry:
    """Makes an entry from another framework's message; repeated reads give the same entry."""
    made: dict[str, Any] = {
        "parentUuid": leaf,
        "isSidechain": False,
        "type": message.role,
        "uuid": str(uuid_of(f"botwire:{session_id}:{item.seq}")),
        "timestamp": item.created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "sessionId": session_id,
        "userType": "external",
    }
    if message.role == "system":
        return cast("SessionStoreEntry", made | {"subtype": _NOTICE, "content": message.text})
    content: list[dict[str, Any]] = [{"type": "text", "text": message.text}] * bool(message.text)
    if message.role == "tool":
        made["type"] = "user"
        answered = {"type": "tool_result", "tool_use_id": message.tool_call_id}
        content = [{**answered, "content": message.text}]
    elif message.role == "assistant":
        content += [
            {"type": "tool_use", "id": call.id, "name": call.name, "input": call.by_name}
            for call in message.tool_calls
        ]
    body: dict[str, Any] = {
        "role": made["type"],
        "content": message.text if message.role == "user" else content,
    }
    if message.role == "assistant":
        body |= {"id": f"msg_{made['uuid']}", "type": "message", "model": "<synthetic>"}
    return cast("SessionStoreEntry", made | {"message": body})
