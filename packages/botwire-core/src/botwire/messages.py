"""One conversation, every framework: the envelope in which adapters keep messages.

An item is an object with a portable part, which anyone can read, and under ``native`` the
framework's own serialization, kept as it is::

    {
      "envelope": 1,
      "role": "assistant",              # system, user, assistant or tool
      "text": "It is 12 degrees.",
      "id": "msg-7",                    # the rest only where there is one
      "name": "weather-bot",
      "tool_calls": [{"id": "call-1", "name": "weather", "arguments": {"city": "Oslo"}}],
      "tool_call_id": "call-1",         # on a tool's answer: the call it answers
      "created_at": "2026-11-24T09:30:00.000000Z",
      "native": {"framework": "langchain", "format": 1, "data": …}
    }

The framework that wrote it reads ``native`` back without loss, every other one the portable part.
Nothing stored is ever executed on load.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_args

from botwire.models import Item
from botwire.tagged import from_json, to_json

ENVELOPE = 1
"""The version of the envelope that this module writes."""

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[str, ...] = get_args(Role)

logger = logging.getLogger("botwire.messages")

M = TypeVar("M")


class UnreadableItemError(ValueError):
    """An item is not a message of a format that is known here."""


def read_native(value: Any, *, framework: str, formats: Collection[int]) -> Any:
    """Returns the data of what `Native.to_value` returned.

    Raises:
        UnreadableItemError: It is of another framework, or of a format that is not known.
    """
    if not isinstance(value, dict) or value.keys() != {"framework", "format", "data"}:
        raise UnreadableItemError(f"it was not written by {framework}")
    if value["framework"] != framework or value["format"] not in formats:
        raise UnreadableItemError(
            f"it was written by {value['framework']!r:.80} as format {value['format']!r:.80}"
        )
    return value["data"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool that a model asked for.

    Attributes:
        id: What the answer refers to.
        name: The tool's name.
        arguments: By name, with what JSON lacks tagged (`botwire.tagged`); or the text of the
            arguments where it is not an object in JSON.
    """

    id: str
    name: str
    arguments: Mapping[str, Any] | str

    @classmethod
    def of(cls, id: str, name: str, arguments: Mapping[str, Any] | str) -> ToolCall:
        """Makes one of what a framework has: arguments by name, or their text in JSON.

        Raises:
            NotJSONError: The arguments hold what would not come back; it says where.
        """
        given: Any = arguments
        if isinstance(arguments, str):
            try:
                given = json.loads(arguments)
            except (ValueError, RecursionError):
                given = None
        if not isinstance(given, Mapping):
            return cls(id, name, str(arguments))
        return cls(id, name, to_json(dict(given), "arguments"))

    @property
    def values(self) -> dict[str, Any] | str:
        """The arguments by name as they were before they were tagged, or their text."""
        if isinstance(self.arguments, str):
            return self.arguments
        values: dict[str, Any] = from_json(dict(self.arguments))
        return values


@dataclass(frozen=True, slots=True)
class Native:
    """A framework's own serialization of a message.

    Attributes:
        framework: For example ``langchain``.
        format: The version of what `data` holds; goes up when it changes.
        data: A JSON value (see `botwire.tagged` for what JSON lacks).
    """

    framework: str
    format: int
    data: Any

    def to_value(self) -> dict[str, Any]:
        """Returns the JSON object that a key or item holds which is no message."""
        return {"framework": self.framework, "format": self.format, "data": self.data}


@dataclass(frozen=True, slots=True)
class Message:
    """A message as every framework can understand it, and as one wrote it.

    Attributes:
        role: Who speaks.
        text: What is said, without images, sounds and files.
        id: The framework's id of the message.
        name: The speaker's or tool's name.
        tool_calls: What the assistant asked for.
        tool_call_id: On a tool's answer, the call that it answers.
        created_at: When it was said, in ISO 8601.
        native: The framework's own serialization.
    """

    role: Role
    text: str
    id: str | None = None
    name: str | None = None
    tool_calls: Sequence[ToolCall] = field(default=())
    tool_call_id: str | None = None
    created_at: str | None = None
    native: Native | None = None

    def to_item(self) -> dict[str, Any]:
        """Returns the envelope, a JSON value for `History.append`."""
        item: dict[str, Any] = {"envelope": ENVELOPE, "role": self.role, "text": self.text}
        for name in ("id", "name", "tool_call_id", "created_at"):
            if (part := getattr(self, name)) is not None:
                item[name] = part
        if self.tool_calls:
            item["tool_calls"] = [
                {"id": call.id, "name": call.name, "arguments": call.arguments}
                for call in self.tool_calls
            ]
        if self.native is not None:
            item["native"] = {
                "framework": self.native.framework,
                "format": self.native.format,
                "data": self.native.data,
            }
        return item

    @classmethod
    def from_item(cls, item: Any) -> Message:
        """Reads an envelope.

        Raises:
            UnreadableItemError: It is none, or of a newer version.
        """
        if not isinstance(item, dict) or "envelope" not in item:
            raise UnreadableItemError("it is not a message")
        if item["envelope"] != ENVELOPE:
            raise UnreadableItemError(
                f"its envelope is of version {item['envelope']!r}; this version reads {ENVELOPE}"
            )
        if item.get("role") not in ROLES or not isinstance(item.get("text"), str):
            raise UnreadableItemError(f"its role is {item.get('role')!r}, not one of {ROLES}")
        native = item.get("native")
        try:
            return cls(
                role=item["role"],
                text=item["text"],
                id=item.get("id"),
                name=item.get("name"),
                tool_calls=tuple(
                    ToolCall(call["id"], call["name"], call["arguments"])
                    for call in item.get("tool_calls", ())
                ),
                tool_call_id=item.get("tool_call_id"),
                created_at=item.get("created_at"),
                native=native and Native(native["framework"], native["format"], native["data"]),
            )
        except (KeyError, TypeError) as error:
            raise UnreadableItemError(f"its envelope is damaged: {error!r}") from error


def read_item(
    item: Any,
    *,
    framework: str,
    formats: Iterable[int],
    from_native: Callable[[Any], M],
    from_portable: Callable[[Message], M],
) -> M:
    """Turns one stored item into a framework's message.

    Args:
        item: The value of an item.
        framework: Whose native part `from_native` understands.
        formats: Which versions of it.
        from_native: Makes a message of `Native.data`. It raises when it cannot.
        from_portable: Makes a message of the portable part.

    Raises:
        UnreadableItemError: It is not a message.
    """
    message = Message.from_item(item)
    native = message.native
    if native is not None and native.framework == framework:
        if native.format in formats:
            try:
                return from_native(native.data)
            except Exception as error:  # noqa: BLE001 - whatever a framework raises on odd data
                why = f"{type(error).__name__}: {error}"
        else:
            why = f"its format {native.format!r} is newer than this adapter"
        logger.warning("a %s message can only be read in part (its text): %s", framework, why[:500])
    return from_portable(message)


def read_items(
    items: Iterable[Item],
    *,
    framework: str,
    formats: Iterable[int],
    from_native: Callable[[Any], M],
    from_portable: Callable[[Message], M],
) -> list[tuple[int, M]]:
    """Turns stored items into a framework's messages; see `read_item`.

    An item that cannot be read is reported in the log with its sequence number and left out: it
    does not make the others unreadable.

    Returns:
        The sequence number and the message of each.
    """
    known = tuple(formats)
    messages = []
    for item in items:
        try:
            message = read_item(
                item.value,
                framework=framework,
                formats=known,
                from_native=from_native,
                from_portable=from_portable,
            )
        except UnreadableItemError as error:
            logger.warning("item %d of a conversation is left out: %s", item.seq, error)
        else:
            messages.append((item.seq, message))
    return messages
