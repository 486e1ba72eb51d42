"""How many bytes of memory a row counts as, in Python and, the same, in SQL.

Names, ids, values and authors count as long as they are stored, and each row `ROW` bytes more, so
that a million empty items are not nothing. JSON is stored in ASCII, where ``length`` counts bytes
on SQLite and on PostgreSQL alike. The index of words and what is kept of changes do not count.
"""

from __future__ import annotations

from botwire import operations as ops
from botwire.exact import Json

ROW = 32
"""What a key, an item or a record counts beside what it holds."""


def _sql(table: str, columns: str, optional: str) -> str:
    parts = [f"length({table}{column})" for column in columns.split()]
    parts += [f"COALESCE(length({table}{column}), 0)" for column in optional.split()]
    return f"({ROW} + {' + '.join(parts)})"


KEY = _sql("", "key", "value_json value_bytes author")
STORED_KEY = _sql("botwire_keys.", "key", "value_json value_bytes author")
"""The same where a statement has two rows of that name, the stored and the excluded one."""
ITEM = _sql("", "value_json", "id author")
RECORD = _sql("", "id text metadata tags scope", "embedding author")
BARE_RECORD = _sql("", "id text metadata tags scope", "author")
"""A record without its embedding."""


def key(name: bytes, value: ops.Value, author: str | None) -> int:
    """Returns the size of a key."""
    size = ROW + len(name) + len(value.text if isinstance(value, Json) else value)
    return size if author is None else size + len(author)


def item(id: bytes | None, value: Json, author: str | None) -> int:
    """Returns the size of an item of a history."""
    size = ROW + len(id or b"") + len(value.text)
    return size if author is None else size + len(author)


def record(*parts: bytes | str | None) -> int:
    """Returns the size of a record, given all that it holds."""
    return ROW + sum(len(part) for part in parts if part is not None)
