"""The envelope in which adapters store messages, so that every framework can read them.

An item has a portable part, which every framework can read, and under ``native`` the writing
framework's own serialization, verbatim::

    {
      "envelope": 1,
      "role": "assistant",              # system, user, assistant or tool
      "text": "It is 12 degrees.",
      "id": "msg-7",                    # optional, like everything below
      "name": "weather-bot",
      "tool_calls": [{"id": "call-1", "name": "weather", "arguments": {"city": "Oslo"}}],
      "tool_call_id": "call-1",         # on an answer: the call it answers
      "created_at": "2026-11-24T09:30:00.000000Z",
      "native": {"framework": "langchain", "format": 1, "data": …}
    }

The framework that wrote an item reads ``native`` back without loss; all others read the portable
part. An item that only one framework understands, such as a model's reasoning, consists of the
native part alone (`Native.to_value`); all others skip it. Nothing stored is ever executed on load.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import NoneType
from typing import Any, Literal, TypeVar, get_args

from botwire.errors import BotWireError
from botwire.exact import Json, decode
from botwire.garbage import collection_paused
from botwire.models import Item
from botwire.tagged import from_json, to_json

ENVELOPE = 1
"""The version of the envelope that this module writes."""

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[str, ...] = get_args(Role)

_BEGINNINGS = tuple(f'{{"envelope":{ENVELOPE},"role":"{role}","text":"' for role in ROLES)
_TEXTS = ("id", "name", "tool_call_id", "created_at")
_NATIVE_PARTS = {"framework", "format", "data"}

logger = logging.getLogger("botwire.messages")

M = TypeVar("M")


class UnreadableItemError(BotWireError, ValueError):
    """An item is not a message, or has an unknown format."""


def is_native_alone(value: Any) -> bool:
    """Returns whether a value was written by `Native.to_value`; other frameworks skip those."""
    return isinstance(value, dict) and value.keys() == _NATIVE_PARTS


def read_native(value: Any, *, framework: str, formats: Collection[int]) -> Any:
    """Returns the data in a value written by `Native.to_value`.

    Raises:
        UnreadableItemError: Another framework wrote the value, or its format is unknown.
    """
    if not is_native_alone(value):
        raise UnreadableItemError(f"it was not written by {framework}")
    if value["framework"] != framework or value["format"] not in formats:
        raise UnreadableItemError(
            f"it was written by {value['framework']!r:.80} in format {value['format']!r:.80}"
        )
    return value["data"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model's request to call a tool.

    Attributes:
        id: The id that the answer refers to.
        name: The tool's name.
        arguments: The arguments by name, with tags for types that JSON lacks (`botwire.tagged`); or
            the raw text, if it is not a JSON object.
    """

    id: str
    name: str
    arguments: Mapping[str, Any] | str

    @classmethod
    def of(cls, id: str, name: str, arguments: Mapping[str, Any] | str) -> ToolCall:
        """Converts a framework's tool call: arguments by name, or as JSON text.

        Raises:
            NotJSONError: An argument would not come back equal; the message says where.
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
        """The arguments by name, without tags; or the raw text."""
        if isinstance(self.arguments, str):
            return self.arguments
        values: dict[str, Any] = from_json(dict(self.arguments))
        return values

    @property
    def by_name(self) -> dict[str, Any]:
        """The arguments by name, without tags; raw text is the argument ``input``."""
        values = self.values
        return {"input": values} if isinstance(values, str) else values

    @property
    def as_text(self) -> str:
        """The arguments as JSON text, with tags only where JSON lacks a type; or the raw text."""
        values = self.values
        return values if isinstance(values, str) else json.dumps(values, default=to_json)


@dataclass(frozen=True, slots=True)
class Native:
    """A framework's own serialization of a message.

    Attributes:
        framework: The framework's name, for example ``langchain``.
        format: The version of the format of `data`.
        data: A JSON value (see `botwire.tagged` for types that JSON lacks).
    """

    framework: str
    format: int
    data: Any

    def to_value(self) -> dict[str, Any]:
        """Returns a JSON object to store under a key or in an item that is not a message."""
        return {"framework": self.framework, "format": self.format, "data": self.data}


@dataclass(frozen=True, slots=True)
class Message:
    """A message: the portable part that every framework understands, and the native part.

    Attributes:
        role: Who speaks.
        text: The text, without images, audio and files.
        id: The framework's id of the message.
        name: The name of the speaker or tool.
        tool_calls: The calls that the assistant makes.
        tool_call_id: On an answer, the id of the call that it answers.
        created_at: The message's time, in ISO 8601.
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
            item["native"] = self.native.to_value()
        return item

    @classmethod
    def from_item(cls, item: Any) -> Message:
        """Reads an envelope.

        Raises:
            UnreadableItemError: The item is not an envelope, is damaged, or has a newer version.
        """
        if not isinstance(item, dict) or "envelope" not in item:
            raise UnreadableItemError("it is not a message")
        if item["envelope"] != ENVELOPE:
            raise UnreadableItemError(
                f"its envelope has version {item['envelope']!r}; this release reads {ENVELOPE}"
            )
        if item.get("role") not in ROLES or not isinstance(item.get("text"), str):
            raise UnreadableItemError(f"its role is {item.get('role')!r}, not one of {ROLES}")
        native = item.get("native")
        try:
            return cls(
                role=item["role"],
                text=item["text"],
                **{name: _text_in(item, name) for name in _TEXTS},
                tool_calls=tuple(map(_call_in, item.get("tool_calls", ()))),
                native=None if native is None else _native_part(native),
            )
        except (KeyError, TypeError) as error:
            raise UnreadableItemError(f"its envelope is damaged: {error!r}") from error


def items_of(messages: Iterable[Message], native: Native) -> list[dict[str, Any]]:
    """Returns the envelopes of what a framework holds in one message.

    An envelope holds one tool's result, so a message with several results becomes several items.
    The framework's own serialization is in the last; the others have None as their native data.

    Args:
        messages: The portable parts, in order.
        native: The framework's own serialization of the whole message.
    """
    said = list(messages)
    part = Native(native.framework, native.format, None)
    natives = [*[part] * (len(said) - 1), native]
    return [replace(one, native=kept).to_item() for one, kept in zip(said, natives, strict=False)]


def _text_in(item: Any, name: str) -> str | None:
    text = item.get(name)
    if not isinstance(text, (str, NoneType)):
        raise TypeError(f"{name} is not a string")
    return text


def _call_in(value: Any) -> ToolCall:
    id, name, arguments = value["id"], value["name"], value["arguments"]
    if not isinstance(id, str) or not isinstance(name, str):
        raise TypeError("the id or the name of a tool call is not a string")
    if not isinstance(arguments, (str, dict)):
        raise TypeError("the arguments of a tool call are neither an object nor a string")
    return ToolCall(id, name, arguments)


def _native_part(value: Any) -> Native:
    return Native(value["framework"], value["format"], value["data"])


def native_in(item: Item, *, framework: str, formats: Collection[int]) -> Any:
    """Returns the data of the native part that a framework wrote into an item; None if it has none.

    Of an envelope that is held as text, only that part is decoded.

    Args:
        item: The item.
        framework: The framework.
        formats: The formats to look for.
    """
    text = _native_text(item, _openings(framework, tuple(formats)))
    if text is not None:
        with suppress(ValueError):  # it only looked like the native part
            return decode(text)
    found = _native_value(item.value, framework, formats)
    return None if found is None else found.data


def _native_text(item: Item, openings: Iterable[str]) -> str | None:
    """Returns the text of the native data at the end of an envelope, without decoding anything.

    `Message.to_item` puts the native part last. What looks like one inside another part is followed
    by more than the two brackets that end both, so what is returned for it is not JSON.
    """
    text = item.stored.value.held_text
    if text is not None and text.startswith(_BEGINNINGS):
        for opening in openings:
            if (at := text.find(opening)) >= 0:
                return text[at + len(opening) : -2]
    return None


@functools.cache
def _openings(framework: str, formats: tuple[int, ...]) -> list[str]:
    """Returns how the native part of an envelope begins, in each format."""
    return [
        f',"native":{{"framework":{json.dumps(framework)},"format":{number},"data":'
        for number in formats
    ]


def _native_value(value: Any, framework: str, formats: Collection[int]) -> Native | None:
    """Returns the framework's native part of an item's value."""
    if is_native_alone(value):
        native = value
    elif (
        isinstance(value, dict)
        and value.get("envelope") == ENVELOPE
        and value.get("role") in ROLES
        and isinstance(value.get("text"), str)
    ):
        native = value.get("native")
    else:
        return None
    if not isinstance(native, dict) or not native.keys() >= _NATIVE_PARTS:
        return None
    if native["framework"] != framework or native["format"] not in formats:
        return None
    return Native(framework, native["format"], native["data"])


def read_item(
    item: Item,
    *,
    framework: str,
    formats: Collection[int],
    from_native: Callable[[Json], M],
    from_portable: Callable[[Message], M],
) -> M:
    """Returns an item as a framework's message.

    Args:
        item: The item; only its native part is decoded, if the framework wrote it.
        framework: The framework whose native part `from_native` reads.
        formats: The formats that `from_native` reads.
        from_native: Converts the JSON of `Native.data` to a message; raises if it cannot. If it
            cannot convert text, it is called again with the decoded value.
        from_portable: Converts the portable part to a message.

    Raises:
        UnreadableItemError: The item is not a message, or `from_portable` refused it.
    """
    text = _native_text(item, _openings(framework, tuple(formats)))
    if text is not None:
        with suppress(Exception):  # what follows tries again, and reports it
            return from_native(Json.from_text(text))
    return _read_decoded(item, framework, formats, from_native, from_portable)


def _read_decoded(
    item: Item,
    framework: str,
    formats: Collection[int],
    from_native: Callable[[Json], M],
    from_portable: Callable[[Message], M],
) -> M:
    why = None
    own = _native_value(item.value, framework, formats)
    if own is not None:
        try:
            return from_native(Json.from_decoded(own.data))
        except Exception as error:
            why = f"{type(error).__name__}: {error}"[:500]
            if is_native_alone(item.value):
                raise UnreadableItemError(why) from error
    elif is_native_alone(item.value):
        read_native(item.value, framework=framework, formats=formats)  # says why it cannot be read
    message = Message.from_item(item.value)
    native = message.native
    if native is not None and native.framework == framework:
        why = why or f"its format {native.format!r:.80} is newer than this adapter"
        logger.warning("only the text of a %s message can be read: %s", framework, why)
    try:
        return from_portable(message)
    except Exception as error:
        raise UnreadableItemError(f"{type(error).__name__}: {error}"[:500]) from error


@collection_paused
def read_items(
    items: Iterable[Item],
    *,
    framework: str,
    formats: Collection[int],
    from_native: Callable[[Json], M],
    from_portable: Callable[[Message], M],
) -> list[tuple[int, M]]:
    """Returns items as a framework's messages; see `read_item`.

    An unreadable item is skipped and logged with its sequence number. A native part of another
    framework, stored alone, is skipped too.

    Args:
        items: The items.
        framework: See `read_item`, as for what follows.
        formats: The formats that `from_native` reads.
        from_native: Converts the JSON of `Native.data` to a message.
        from_portable: Converts the portable part to a message.

    Returns:
        The sequence number and the message of each readable item.
    """
    openings = _openings(framework, tuple(formats))
    messages = []
    for item in items:
        text = _native_text(item, openings)
        if text is not None:
            try:
                messages.append((item.seq, from_native(Json.from_text(text))))
                continue
            except Exception:  # noqa: BLE001, S110 - as in `read_item`; `suppress` takes longer
                pass
        try:
            message = _read_decoded(item, framework, formats, from_native, from_portable)
        except UnreadableItemError as error:
            if not is_native_alone(item.value) or item.value["framework"] == framework:
                logger.warning("skipped item %d of a conversation: %s", item.seq, error)
        else:
            messages.append((item.seq, message))
    return messages
