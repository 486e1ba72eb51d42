"""Conversion of LlamaIndex nodes to records and back, and of its filters to ours."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from llama_index.core.schema import BaseNode, TextNode
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
)
from llama_index.core.vector_stores.utils import metadata_dict_to_node, node_to_metadata_dict

from botwire import ConfigurationError, NotJSONError, Record
from botwire.arguments import check_type
from botwire.filters import compile_filter
from botwire.tagged import with_floats

Predicate = Callable[[Mapping[str, Any]], bool]
"""Returns whether the metadata of a record matches."""

_CONTENT = "_node_content"
"""Where LlamaIndex keeps the node itself, as JSON text, in which NaN is allowed."""

_COMPARED: Mapping[FilterOperator, tuple[str, Callable[[Any, Any], bool]]] = {
    FilterOperator.GT: ("$gt", operator.gt),
    FilterOperator.GTE: ("$gte", operator.ge),
    FilterOperator.LT: ("$lt", operator.lt),
    FilterOperator.LTE: ("$lte", operator.le),
}


def to_record(node: BaseNode, path: str) -> Record:
    """Returns the record of a node.

    Raises:
        ConfigurationError: The node has no embedding.
        NotJSONError: LlamaIndex cannot serialize the node.
    """
    if node.embedding is None:
        raise ConfigurationError(f"{path} ({node.node_id!r:.60}) has no embedding")
    text = node.get_content()
    try:
        metadata = node_to_metadata_dict(node, remove_text=bool(text))
    except Exception as error:
        raise NotJSONError(
            f"{path} ({node.node_id!r:.60}) cannot be serialized: {error}", path
        ) from error
    written = {name: metadata.get(name) for name in map(str, node.metadata)}
    if with_floats(written, node.metadata) != written:
        # LlamaIndex wrote null for NaN, in the content too.
        content = json.loads(metadata[_CONTENT])
        content["metadata"] = with_floats(content["metadata"], node.metadata)
        metadata[_CONTENT] = json.dumps(content)
    return Record(text, node.node_id, metadata, embedding=node.embedding)


def from_record(record: Record) -> BaseNode:
    """Returns the node of a record; a record not written by this store becomes a `TextNode`."""
    metadata = dict(record.metadata)
    if _CONTENT in metadata:
        node = metadata_dict_to_node(metadata, text=record.text or None)
    else:
        node = TextNode(id_=record.id, text=record.text, metadata=metadata)
    node.embedding = None if record.embedding is None else list(record.embedding)
    return node


def to_filter(filters: MetadataFilters | None) -> tuple[dict[str, Any] | None, Predicate | None]:
    """Returns a BotWire filter and a further test that records must pass, each None if unneeded.

    Raises:
        ConfigurationError: It is no filter, or an operator is not known.
    """
    if filters is None or not check_type(filters, MetadataFilters, "filters").filters:
        return None, None
    if _is_plain(filters):
        return _group(filters), None
    plain = [part for part in filters.filters if _is_plain(part)]
    first = None
    if plain and filters.condition in (FilterCondition.AND, None):
        first = {"$and": [_translated(part) for part in plain]}
    return first, _predicate(filters)


def all_of(conditions: Iterable[dict[str, Any] | None]) -> dict[str, Any] | None:
    """Returns the filter that requires all of these conditions, None if there are none."""
    given = [condition for condition in conditions if condition is not None]
    return {"$and": given} if given else None


def _is_plain(part: MetadataFilter | MetadataFilters) -> bool:
    if isinstance(part, MetadataFilters):
        return all(_is_plain(one) for one in part.filters)
    return part.operator not in _SEARCHED_FOR


def _translated(part: MetadataFilter | MetadataFilters) -> dict[str, Any]:
    return _group(part) if isinstance(part, MetadataFilters) else _condition(part)


def _group(filters: MetadataFilters) -> dict[str, Any]:
    parts = [_translated(part) for part in filters.filters]
    if filters.condition is FilterCondition.OR:
        return {"$or": parts}
    if filters.condition is FilterCondition.NOT:
        return {"$not": {"$or": parts}}
    return {"$and": parts}


def _condition(part: MetadataFilter) -> dict[str, Any]:
    """Returns the filter that matches the same as in LlamaIndex's own store.

    There, a missing or null field differs from every value and equals none.
    """
    key, value, compared = part.key, part.value, part.operator
    if compared is FilterOperator.EQ:
        return {key: {"$in": _equal([value])}}
    if compared is FilterOperator.NE:
        return {"$not": {key: {"$in": _equal([value])}}}
    if compared in _COMPARED:
        name, compare = _COMPARED[compared]
        found = {key: {name: value}}
        if isinstance(value, str):
            return found
        if not isinstance(value, (int, float)):
            raise ConfigurationError(
                f"filter on {key!r}: {compared.value} compares numbers or texts, not a "
                f"{type(value).__name__}"
            )
        booleans = [one for one in (False, True) if compare(one, value)]  # as 0 and 1
        return {"$or": [found, {key: {"$in": booleans}}]} if booleans else found
    if compared is FilterOperator.IN:
        return {key: {"$in": _equal(_listed(value))}}
    if compared is FilterOperator.NIN:
        return {"$not": {key: {"$in": _equal(_listed(value))}}}
    if compared is FilterOperator.IS_EMPTY:
        return {"$or": [{"$not": {key: {"$exists": True}}}, {key: {"$in": [None, "", []]}}]}
    raise ConfigurationError(f"filter on {key!r}: unknown operator {compared!r}")


def _predicate(part: MetadataFilter | MetadataFilters) -> Predicate:
    if isinstance(part, MetadataFilters):
        return _group_predicate(part)
    if part.operator not in _SEARCHED_FOR:
        return compile_filter(_condition(part))
    test = _SEARCHED_FOR[part.operator]
    key, value = part.key, part.value
    return lambda metadata: test(value, metadata.get(key))


def _group_predicate(filters: MetadataFilters) -> Predicate:
    parts = [_predicate(part) for part in filters.filters]
    if filters.condition is FilterCondition.OR:
        return lambda metadata: any(part(metadata) for part in parts)
    if filters.condition is FilterCondition.NOT:
        return lambda metadata: not any(part(metadata) for part in parts)
    return lambda metadata: all(part(metadata) for part in parts)


def _holds(value: Any, found: Any) -> bool:
    return isinstance(found, str) and str(value) in found


def _holds_any_case(value: Any, found: Any) -> bool:
    return isinstance(found, str) and str(value).lower() in found.lower()


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _equal(values: list[Any]) -> list[Any]:
    """Returns what equals these values in LlamaIndex: no null, and a boolean if its number does.

    A filter of LlamaIndex refuses a boolean, so only 1 and 0 find one.
    """
    given = [value for value in values if value is not None]
    return given + [bool(value) for value in given if value in (0, 1)]


def _is_in(value: Any, found: Any) -> bool:
    if isinstance(found, str):
        return isinstance(value, str) and value in found
    if isinstance(found, dict):
        return isinstance(value, str) and value in found
    return isinstance(found, list) and value in found


def _has_any(value: Any, found: Any) -> bool:
    return any(_is_in(one, found) for one in _listed(value))


def _has_all(value: Any, found: Any) -> bool:
    return found is not None and all(_is_in(one, found) for one in _listed(value))


_SEARCHED_FOR: Mapping[FilterOperator, Callable[[Any, Any], bool]] = {
    FilterOperator.TEXT_MATCH: _holds,
    FilterOperator.TEXT_MATCH_INSENSITIVE: _holds_any_case,
    FilterOperator.CONTAINS: _is_in,
    FilterOperator.ANY: _has_any,
    FilterOperator.ALL: _has_all,
}
"""Operators that BotWire's filters lack, with tests to apply to the records that pass a filter."""
