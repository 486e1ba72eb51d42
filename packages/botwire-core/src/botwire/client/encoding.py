"""From what callers give to what operations hold; a bad value is refused here, before any I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from botwire import operations as ops
from botwire import scopes
from botwire.clock import from_datetime
from botwire.errors import ConfigurationError, NotJSONError
from botwire.exact import Json
from botwire.filters import without_infinities
from botwire.models import Record
from botwire.operations import Value
from botwire.vectors import Vector


def encode_value(value: Any, path: str = "value") -> Value:
    """Returns what a key holds for `value`: bytes as they are, everything else as JSON.

    Args:
        value: A JSON value, or bytes.
        path: What to call it in an error.

    Raises:
        NotJSONError: JSON cannot hold it.
    """
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    return Json.of(value, path)


def encode_items(values: Iterable[Any]) -> tuple[Json, ...]:
    """Returns the items of a history.

    Raises:
        NotJSONError: JSON cannot hold one; the message says which.
    """
    if isinstance(values, (str, bytes, dict)):
        raise ConfigurationError(f"values are a list of JSON values, not a {type(values).__name__}")
    return tuple([Json.of(value, f"values[{i}]") for i, value in enumerate(values)])


def encode_ids(ids: Iterable[str | None] | None) -> tuple[str | None, ...] | None:
    """Returns the ids of items."""
    return None if ids is None else tuple(ids)


def encode_records(
    given: Iterable[Record], versions: Iterable[int | None] | None = None
) -> tuple[ops.NewRecord, ...]:
    """Returns records to be put.

    Args:
        given: The records.
        versions: For each, the version it must have.

    Raises:
        ConfigurationError: A part of one is not what it should be; the message says which.
        NotJSONError: JSON cannot hold the metadata of one; it says where.
    """
    if isinstance(given, (Record, str, Mapping)):
        raise ConfigurationError(f"records are a list of Record, not a {type(given).__name__}")
    listed = list(given)
    expected = [None] * len(listed) if versions is None else list(versions)
    if len(expected) != len(listed):
        raise ConfigurationError(f"{len(listed)} records need {len(listed)} versions")
    pairs = enumerate(zip(listed, expected, strict=True))
    return tuple([_encode_record(record, i, version) for i, (record, version) in pairs])


def _encode_record(record: Record, i: int, version: int | None) -> ops.NewRecord:
    where = f"records[{i}]"
    if not isinstance(record, Record):
        raise ConfigurationError(f"{where} is a {type(record).__name__}, not a Record")
    if not isinstance(record.text, str):
        raise ConfigurationError(f"{where}.text is a string, not {type(record.text).__name__}")
    Json.of(record.text, f"{where}.text")  # refuses what would not come back equal
    embedding = record.embedding
    return ops.NewRecord(
        record.id,
        record.text,
        encode_object(record.metadata, f"{where}.metadata"),
        _strings(record.tags, f"{where}.tags"),
        scopes.normalise(record.scope),
        None if embedding is None else Vector.of(embedding, f"{where}.embedding"),
        None if record.created_at is None else from_datetime(record.created_at),
        version,
    )


def encode_selection(
    ids: Iterable[str] | None = None,
    scope: str | None = None,
    tags: Iterable[str] | None = None,
    filter: Mapping[str, Any] | None = None,  # noqa: A002 - the field's own name
    created_after: datetime | None = None,
    created_before: datetime | None = None,
) -> ops.Selection:
    """Returns the selection that filters describe, None for one that is not given.

    Raises:
        ConfigurationError: One is not valid; the message says which and why.
    """
    return ops.Selection(
        None if ids is None else _strings(ids, "ids"),
        scopes.normalise(scope),
        None if tags is None else _strings(tags, "tags"),
        None if filter is None else encode_filter(filter),
        None if created_after is None else from_datetime(created_after),
        None if created_before is None else from_datetime(created_before),
    )


def encode_filter(condition: Mapping[str, Any]) -> Json:
    """Returns a filter as JSON, which has no infinity: one stands for a bound that all meet.

    Raises:
        ConfigurationError: It is no object.
        NotJSONError: JSON cannot hold it; it says where.
    """
    try:
        return encode_object(condition, "filter")
    except NotJSONError as error:
        try:
            return encode_object(without_infinities(condition), "filter")
        except RecursionError:
            raise error from None


def encode_object(value: Mapping[str, Any], path: str) -> Json:
    """Returns a JSON object.

    Raises:
        ConfigurationError: It is something else.
        NotJSONError: JSON cannot hold it; it says where.
    """
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{path} is an object, not {type(value).__name__}")
    return Json.of(dict(value), path)


def _strings(values: Iterable[str], what: str) -> tuple[str, ...]:
    if isinstance(values, (str, bytes)):
        raise ConfigurationError(f"{what} is a list of strings, not one")
    return tuple(values)
