"""Maps an item of a LangGraph store to a record, plus one for each further embedding.

    id        a hash of namespace and key
    scope     /{label}/{label}: a namespace prefix selects by scope
    tags      "item" and "in:{scope}"; of a further embedding "part" and "of:{id}"
    metadata  {"namespace", "key", "value", "updated", "ttl", "parts"}
    text      the text that a text search matches

`updated` is microseconds since 1970, `ttl` is minutes or None. A further record holds the same
metadata, because the store applies filters to it before the limit. The records of an item expire
together, by the store's clock.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langgraph.store.base import Item, MatchCondition, SearchItem

from botwire import operations as ops
from botwire.clock import to_datetime
from botwire.exact import Json
from botwire.filters import equals_in_python
from botwire.names import shown
from botwire.vectors import Vector
from botwire_langgraph.errors import NamespaceError

ITEM = "item"
"""The tag of an item's own record."""
PART = "part"
"""The tag of a record for a further embedding of an item."""

_IN, _OF = "in:", "of:"
_MINUTE = 60.0


def check_namespace(labels: Iterable[str]) -> tuple[str, ...]:
    """Returns a namespace as a tuple.

    Args:
        labels: Its labels; some callers pass a list.

    Raises:
        NamespaceError: A label is empty, is not a string, or contains a period or a NUL.
    """
    if isinstance(labels, str) or not isinstance(labels, Iterable):
        raise NamespaceError(
            f"a namespace must be a tuple of labels, not {type(labels).__name__}: {shown(labels)}"
        )
    namespace = tuple(labels)
    for label in namespace:
        if not isinstance(label, str) or not label or "." in label or "\x00" in label:
            raise NamespaceError(
                f"a namespace label must be a non-empty string without '.' and NUL, not "
                f"{label!r:.80}"
            )
    return namespace


def scope_of(namespace: Sequence[str]) -> str:
    """Returns the scope path of a namespace."""
    return "/" + "/".join(label.replace("%", "%25").replace("/", "%2F") for label in namespace)


def id_of(namespace: Sequence[str], key: str) -> str:
    """Returns the id of an item's record."""
    # ASCII escapes keep a lone surrogate, and the brackets keep namespaces apart from keys.
    return hashlib.sha256(json.dumps([*namespace, key]).encode()).hexdigest()


def part_tags(ids: Iterable[str]) -> tuple[str, ...]:
    """Returns the tags that select the further records of items."""
    return tuple(_OF + id for id in ids)


def record_ids(metadata: Mapping[str, Any]) -> list[str]:
    """Returns the ids of all records of an item."""
    id = id_of(metadata["namespace"], metadata["key"])
    return [id, *(f"{id}.{number}" for number in range(1, metadata["parts"] + 1))]


def to_records(
    namespace: tuple[str, ...],
    key: str,
    value: Mapping[str, Any],
    *,
    ttl: float | None,
    now: int,
    text: str,
    embeddings: Sequence[Vector],
) -> list[ops.NewRecord]:
    """Returns the records that store an item.

    Args:
        namespace: The namespace of the item.
        key: The key of the item.
        value: A JSON object.
        ttl: Minutes to keep it after its last use; None keeps it for good.
        now: The present time in microseconds.
        text: The text that a text search matches.
        embeddings: Any number of vectors that a semantic search matches.
    """
    metadata = Json.of(
        {
            "namespace": list(namespace),
            "key": key,
            "value": dict(value),
            "updated": now,
            "ttl": ttl,
            "parts": max(len(embeddings) - 1, 0),
        }
    )
    seconds = None if ttl is None else to_seconds(ttl)
    id, scope = id_of(namespace, key), scope_of(namespace)
    first, rest = (embeddings[0], embeddings[1:]) if embeddings else (None, ())
    own = ops.NewRecord(id, text, metadata, (ITEM, _IN + scope), scope, first, ttl=seconds)
    parts = [
        ops.NewRecord(
            *(f"{id}.{number}", "", metadata, (PART, _OF + id), scope, embedding), ttl=seconds
        )
        for number, embedding in enumerate(rest, 1)
    ]
    return [own, *parts]


def to_item(entry: ops.RecordEntry) -> Item:
    """Reads an item from its record."""
    return Item(**_fields(entry))


def to_search_item(entry: ops.RecordEntry, score: float | None = None) -> SearchItem:
    """Reads an item from one of its records that a search found."""
    return SearchItem(**_fields(entry), score=score)


def to_seconds(ttl: float) -> float:
    """Returns the seconds of a ttl in minutes."""
    return ttl * _MINUTE


def value_filter(condition: Mapping[str, Any]) -> dict[str, Any]:
    """Converts a filter on values to a filter on the metadata of their records.

    An object matches one that has its fields and perhaps more, as in LangGraph's own stores.
    """
    found: list[dict[str, Any]] = []
    for name, part in condition.items():
        if name in ("$and", "$or") and isinstance(part, (list, tuple)):
            found.append({name: [value_filter(inner) for inner in part]})
        elif name == "$not" and isinstance(part, Mapping):
            found.append({name: value_filter(part)})
        else:
            found += _field_filters(f"value.{name}", part)
    names = {name for one in found for name in one}
    if len(names) < len(found):  # {"a": {"b": 1}, "a.b": 1}
        return {"$and": found}
    return {name: part for one in found for name, part in one.items()}


def _field_filters(path: str, part: Any) -> list[dict[str, Any]]:
    """Returns the conditions on a field: several if its value is an object without operators."""
    if not isinstance(part, Mapping):
        return [equals_in_python(path, _as_json(part))]
    if part.keys() == {"$eq"} and not isinstance(part["$eq"], Mapping):
        return [equals_in_python(path, _as_json(part["$eq"]))]
    if not part or not all(map(_is_field, part)):
        return [{path: _as_json(part)}]
    return [one for name in part for one in _field_filters(f"{path}.{name}", part[name])]


def _is_field(name: object) -> bool:
    return isinstance(name, str) and not name.startswith("$")


def namespaces(tags: Iterable[ops.TagCount]) -> list[tuple[str, ...]]:
    """Returns the namespaces that tags name."""
    return [
        tuple(
            label.replace("%2F", "/").replace("%25", "%")
            for label in tag.removeprefix(_IN + "/").split("/")
        )
        for tag, _ in tags
        if tag.startswith(_IN)
    ]


def common_scope(conditions: Iterable[MatchCondition]) -> str:
    """Returns a scope that contains every namespace that meets the conditions."""
    longest: tuple[str, ...] = ()
    for condition in conditions:
        path = tuple(condition.path)
        if condition.match_type == "prefix":
            literal = path[: path.index("*")] if "*" in path else path
            longest = max(longest, literal, key=len)
    return scope_of(longest)


def matches(condition: MatchCondition, namespace: tuple[str, ...]) -> bool:
    """Returns whether a namespace meets a condition; ``*`` matches any one label."""
    path = tuple(condition.path)
    if len(path) > len(namespace):
        return False
    part = namespace[: len(path)]
    if condition.match_type == "suffix":
        part = namespace[len(namespace) - len(path) :]
    return all(wanted in ("*", label) for wanted, label in zip(path, part, strict=True))


def _fields(entry: ops.RecordEntry) -> dict[str, Any]:
    kept = entry.metadata.value
    return {
        "namespace": tuple(kept["namespace"]),
        "key": kept["key"],
        "value": kept["value"],
        "created_at": to_datetime(entry.created_at),
        # The writer's clock may be behind the store's, which set the creation time.
        "updated_at": to_datetime(max(kept["updated"], entry.created_at)),
    }


def _as_json(part: Any) -> Any:
    if isinstance(part, Mapping):
        return {name: _as_json(inner) for name, inner in part.items()}
    return [_as_json(inner) for inner in part] if isinstance(part, (list, tuple)) else part
