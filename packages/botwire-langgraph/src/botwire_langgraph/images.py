"""Images of messages in memory, which make unchanged messages cost next to nothing.

LangGraph puts a conversation several times per turn and reads it once, and it grows each time.
Serializing or deserializing a message takes many times as long as copying its fields. So the saver
keeps the fields of a conversation's messages as bytes. It compares a put with these bytes, and
rebuilds messages read before from them. The bytes are a copy, so they reveal a message that a node
changed in place.

Only langchain-core messages that consist of plain values have images.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

_VERSION = 2  # of the format; in later versions, equal values may have different bytes
_HEAD = 5  # bytes before the items of a list: a type letter and the item count
_LONGEST = 16_000_000
_MODULE = "langchain_core.messages."
_Value = TypeVar("_Value")


class Image(NamedTuple):
    """Messages as bytes.

    Attributes:
        types: The class of each message.
        names: The field names of each message.
        fields: The fields of each message that were set when it was revived; empty for messages
            that were put.
        body: The field values of all messages in sequence, without names. Decoding the names of
            every message would take longer than everything else.
    """

    types: Sequence[Any]
    names: Sequence[tuple[str, ...]]
    fields: Sequence[frozenset[str]]
    body: bytes

    @classmethod
    def of(cls, items: Sequence[Any], *, revived: bool = False) -> Image | None:
        """Returns the image of messages; None if one of them cannot have an image."""
        types = [type(item) for item in items]
        if not all(kind.__module__.startswith(_MODULE) for kind in set(types)):
            return None
        states = [item.__dict__ for item in items]
        values = [
            (*state.values(), item.__pydantic_extra__)
            for state, item in zip(states, items, strict=True)
        ]
        try:
            body = marshal.dumps(values, _VERSION)[_HEAD:]
        except ValueError:  # not only plain values
            return None
        if len(body) > _LONGEST:
            return None
        names = _shared(map(tuple, states))
        if not revived:
            return cls(types, names, (), body)
        sets = (frozenset(item.__pydantic_fields_set__) for item in items)
        return cls(types, names, _shared(sets), body)

    def begins_with(self, other: Image) -> bool:
        """Returns whether these messages start with those of another image, unchanged."""
        count = len(other.types)
        return (
            self.types[:count] == other.types
            and self.names[:count] == other.names
            and self.body.startswith(other.body)
        )

    def join(self, other: Image) -> Image:
        """Returns the image of these messages and those of another."""
        return Image(
            [*self.types, *other.types],
            [*self.names, *other.names],
            [*self.fields, *other.fields],
            self.body + other.body,
        )

    def revive(self) -> list[Any]:
        """Returns the messages, each a new object."""
        head = b"[" + len(self.types).to_bytes(4, "little")
        found = []
        for kind, names, fields, values in zip(
            self.types,
            self.names,
            self.fields,
            marshal.loads(head + self.body),  # noqa: S302 - bytes of this process's own
            strict=True,
        ):
            item = kind.__new__(kind)
            item.__setstate__(
                {
                    "__dict__": dict(zip(names, values, strict=False)),  # the last is the extra
                    "__pydantic_extra__": values[-1],
                    "__pydantic_fields_set__": set(fields),
                    "__pydantic_private__": None,
                }
            )
            found.append(item)
        return found


def _shared(values: Iterable[_Value]) -> list[_Value]:
    """Returns values, with equal ones sharing one object."""
    known: dict[_Value, _Value] = {}
    return [known.setdefault(value, value) for value in values]
