"""Images of messages in memory, which make unchanged messages cost next to nothing.

LangGraph puts a conversation several times per turn and reads it once, and it grows each time.
Serializing or deserializing a message takes many times as long as copying its fields. So the saver
keeps the fields of a conversation's messages as MessagePack. It compares a put with these bytes,
and rebuilds messages read before from them. The bytes are a copy, so they reveal a message that a
node changed in place.

Only langchain-core messages that consist of plain values have images.
"""

from __future__ import annotations

import marshal
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from inspect import getattr_static
from itertools import chain, repeat
from operator import attrgetter
from typing import Any, NamedTuple

import ormsgpack
from langchain_core.messages import BaseMessage

_LONGEST = 16_000_000
_MODULE = "langchain_core.messages."
_values = attrgetter("__dict__", "__pydantic_extra__")
# The setters of pydantic's slots; `object.__setattr__` would look them up for each message.
_set_state, _set_extra, _set_fields, _set_private = (
    getattr_static(BaseMessage, f"__{slot}__").__set__
    for slot in ("dict", "pydantic_extra", "pydantic_fields_set", "pydantic_private")
)
# Values that MessagePack would turn into another type go to `_odd`. The exceptions are keys such as
# a UUID: LangGraph's serializer stores them as text, too.
_OPTION = (
    ormsgpack.OPT_NON_STR_KEYS
    | ormsgpack.OPT_PASSTHROUGH_DATACLASS
    | ormsgpack.OPT_PASSTHROUGH_DATETIME
    | ormsgpack.OPT_PASSTHROUGH_ENUM
    | ormsgpack.OPT_PASSTHROUGH_SUBCLASS
    | ormsgpack.OPT_PASSTHROUGH_TUPLE
    | ormsgpack.OPT_PASSTHROUGH_UUID
)
_FORMAT = 2  # of marshal; in later ones, equal values may have different bytes


class Image(NamedTuple):
    """Messages as bytes.

    Attributes:
        types: The class of each message.
        fields: The fields of each message that were set when it was revived; empty for messages
            that were put.
        body: The values of all messages in sequence.
    """

    types: Sequence[Any]
    fields: Sequence[frozenset[str]]
    body: bytes

    @classmethod
    def of(cls, items: Sequence[Any], *, revived: bool = False) -> Image | None:
        """Returns the image of messages; None if one of them cannot have an image."""
        types = [type(item) for item in items]
        if not all(kind.__module__.startswith(_MODULE) for kind in set(types)):
            return None
        # A list for each message would be one more object for the garbage collector.
        values = [*chain.from_iterable(map(_values, items))]
        try:
            packed = ormsgpack.packb(values, _odd, _OPTION)
        except TypeError:  # not only plain values
            return None
        body = packed[len(_head(2 * len(items))) :]
        if len(body) > _LONGEST:
            return None
        if not revived:
            return cls(types, (), body)
        known: dict[frozenset[str], frozenset[str]] = {}
        sets = (frozenset(item.__pydantic_fields_set__) for item in items)
        return cls(types, [known.setdefault(fields, fields) for fields in sets], body)

    def begins_with(self, other: Image) -> bool:
        """Returns whether these messages start with those of another image, unchanged."""
        return self.types[: len(other.types)] == other.types and self.body.startswith(other.body)

    def join(self, other: Image) -> Image:
        """Returns the image of these messages and those of another."""
        return Image(
            [*self.types, *other.types], [*self.fields, *other.fields], self.body + other.body
        )

    def revive(self) -> list[Any]:
        """Returns the messages, each a new object."""
        packed = _head(2 * len(self.types)) + self.body
        values = ormsgpack.unpackb(packed, ext_hook=_revive_odd, option=ormsgpack.OPT_NON_STR_KEYS)
        items = [*map(object.__new__, self.types)]
        # As pydantic's `__setstate__` does, without a call in Python for each message.
        _each(_set_state, items, values[::2])
        _each(_set_extra, items, values[1::2])
        _each(_set_fields, items, map(set, self.fields))
        _each(_set_private, items, repeat(None))
        return items


def _odd(value: Any) -> ormsgpack.Ext:
    """Packs a tuple or a set; raises `ValueError` if it contains other than plain values."""
    return ormsgpack.Ext(0, marshal.dumps(value, _FORMAT))


def _revive_odd(_: int, data: bytes) -> Any:
    return marshal.loads(data)  # noqa: S302 - bytes of this process's own


def _head(count: int) -> bytes:
    """Returns the bytes before the items of a MessagePack array."""
    if count < 16:
        return bytes([0x90 | count])
    return b"\xdc" + count.to_bytes(2) if count < 65_536 else b"\xdd" + count.to_bytes(4)


def _each(function: Callable[..., None], *arguments: Iterable[Any]) -> None:
    deque(map(function, *arguments), maxlen=0)
