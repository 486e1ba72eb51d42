"""What messages look like in memory, so that those that did not change cost next to nothing.

A conversation is put several times a turn and read once, longer each time. Serializing a message,
and reviving one, takes many times as long as copying what it holds. So the state of a
conversation's messages is kept as bytes: what is put is compared with them, and what was read
before is read from them. They are copies: a message that a node changes in place is found out.

Only messages of langchain-core are kept so, and only what is made of plain values.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

_VERSION = 2  # of the format: in later ones equal values may have different bytes
_HEAD = 5  # bytes before the items of a list: a letter, and their number
_LONGEST = 16_000_000
_MODULE = "langchain_core.messages."
_Value = TypeVar("_Value")


class Image(NamedTuple):
    """Messages as bytes.

    Attributes:
        types: Their classes.
        names: Of what each holds.
        fields: Which fields of each were set when it was revived; nothing of what was put.
        body: What they hold, one after the other, without the names: reading each name again for
            each message would take longer than all the rest.
    """

    types: Sequence[Any]
    names: Sequence[tuple[str, ...]]
    fields: Sequence[frozenset[str]]
    body: bytes

    @classmethod
    def of(cls, items: Sequence[Any], *, revived: bool = False) -> Image | None:
        """Returns the image of messages; None if there is one that cannot be kept so."""
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
        except ValueError:  # something else than plain values
            return None
        if len(body) > _LONGEST:
            return None
        names = _shared(map(tuple, states))
        if not revived:
            return cls(types, names, (), body)
        sets = (frozenset(item.__pydantic_fields_set__) for item in items)
        return cls(types, names, _shared(sets), body)

    def begins_with(self, other: Image) -> bool:
        """Says whether the first of these messages are those of another image, unchanged."""
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
    """Returns values, with one object for all that are equal."""
    known: dict[_Value, _Value] = {}
    return [known.setdefault(value, value) for value in values]
