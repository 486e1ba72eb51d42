"""What messages look like in memory, so that those that did not change cost next to nothing.

A conversation is put several times a turn and read once, longer each time. Serializing a message,
and reviving one, takes many times as long as copying what it holds. So the state of a
conversation's messages is kept as bytes: what is put is compared with them, and what was read
before is read from them. They are copies: a message that a node changes in place is found out.

Only messages of langchain-core are kept so, and only what is made of plain values.
"""

from __future__ import annotations

import marshal
from collections.abc import Sequence
from typing import Any, NamedTuple

_VERSION = 2  # of the format: in later ones equal values may have different bytes
_HEAD = 5  # bytes before the items of a list: a letter, and their number
_LONGEST = 16_000_000
_MODULE = "langchain_core.messages."


class Image(NamedTuple):
    """Messages as bytes.

    Attributes:
        types: Their classes.
        fields: Which fields of each were set when it was revived; nothing of what was put.
        body: What they hold, one after the other.
    """

    types: Sequence[Any]
    fields: Sequence[frozenset[str]]
    body: bytes

    @classmethod
    def of(cls, items: Sequence[Any], *, revived: bool = False) -> Image | None:
        """Returns the image of messages; None if there is one that cannot be kept so."""
        types = [type(item) for item in items]
        if not all(kind.__module__.startswith(_MODULE) for kind in set(types)):
            return None
        states = [(item.__dict__, item.__pydantic_extra__) for item in items]
        try:
            body = marshal.dumps(states, _VERSION)[_HEAD:]
        except ValueError:  # something else than plain values
            return None
        if len(body) > _LONGEST:
            return None
        if not revived:
            return cls(types, (), body)
        known: dict[frozenset[str], frozenset[str]] = {}
        sets = (frozenset(item.__pydantic_fields_set__) for item in items)
        return cls(types, [known.setdefault(names, names) for names in sets], body)

    def begins_with(self, other: Image) -> bool:
        """Says whether the first of these messages are those of another image, unchanged."""
        count = len(other.types)
        return self.types[:count] == other.types and self.body.startswith(other.body)

    def join(self, other: Image) -> Image:
        """Returns the image of these messages and those of another."""
        return Image(
            [*self.types, *other.types], [*self.fields, *other.fields], self.body + other.body
        )

    def revive(self) -> list[Any]:
        """Returns the messages, each a new object."""
        head = b"[" + len(self.types).to_bytes(4, "little")
        found = []
        for kind, names, (state, extra) in zip(
            self.types,
            self.fields,
            marshal.loads(head + self.body),  # noqa: S302 - bytes of this process's own
            strict=True,
        ):
            item = kind.__new__(kind)
            item.__setstate__(
                {
                    "__dict__": state,
                    "__pydantic_extra__": extra,
                    "__pydantic_fields_set__": set(names),
                    "__pydantic_private__": None,
                }
            )
            found.append(item)
        return found
