"""The bytes that a row counts towards quotas, computed alike in Python and in SQL.

Names, ids, values and authors count with their stored length. Each row counts `ROW` bytes more, so
that even a million empty items count. JSON is stored in ASCII, for which ``length`` counts bytes on
both SQLite and PostgreSQL. The index of words and the kept changes do not count.
"""

from __future__ import annotations

from botwire import operations as ops
from botwire.exact import Json

ROW = 32
"""The bytes that a key, an item or a record counts besides its content."""


def _sql(table: str, columns: str, optional: str) -> str:
    parts = [f"length({table}{column})" for column in columns.split()]
    parts += [f"COALESCE(length({table}{column}), 0)" for column in optional.split()]
    return f"({ROW} + {' + '.join(parts)})"


KEY = _sql("", "key", "value_json value_bytes author")
STORED_KEY = _sql("botwire_keys.", "key", "value_json value_bytes author")
"""The stored key's size in a statement that has two rows, the stored and the excluded one."""
ITEM = _sql("", "value_json", "id author")
RECORD = _sql("", "id text metadata tags scope", "embedding author")
BARE_RECORD = _sql("", "id text metadata tags scope", "author")
"""The size of a record without its embedding."""


def key(name: bytes, value: ops.Value, author: str | None) -> int:
    """Returns the size of a key."""
    size = ROW + len(name) + len(value.text if isinstance(value, Json) else value)
    return size if author is None else size + len(author)


def item(id: bytes | None, value: Json, author: str | None) -> int:
    """Returns the size of an item of a history."""
    size = ROW + len(id or b"") + len(value.text)
    return size if author is None else size + len(author)


def record(*parts: bytes | str | None) -> int:
    """Returns the size of a record, given all of its content."""
    return ROW + sum(len(part) for part in parts if part is not None)
