"""Converts a caller's arguments to values of operations; refuses invalid ones before any I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from botwire import operations as ops
from botwire import scopes
from botwire.arguments import check_type
from botwire.clock import from_datetime
from botwire.errors import ConfigurationError, NotJSONError
from botwire.exact import Json
from botwire.filters import without_infinities
from botwire.models import HistoryInfo, Record
from botwire.names import shown
from botwire.operations import Value
from botwire.vectors import Vector

T = TypeVar("T")


def encode_value(value: Any, path: str = "value") -> Value:
    """Returns the stored form of a key's value: bytes as they are, anything else as JSON.

    Args:
        value: A JSON value, or bytes.
        path: The name of the value in errors.

    Raises:
        NotJSONError: JSON cannot hold the value.
    """
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    return Json.of(value, path)


def encode_puts(values: Mapping[str, Any], ttl: float | None) -> list[ops.PutKey]:
    """Returns the operations that set several keys.

    Raises:
        ConfigurationError: `values` is not a mapping, or a key or `ttl` is not valid.
        NotJSONError: JSON cannot hold one of them; the message says which.
    """
    if not isinstance(values, Mapping):
        raise ConfigurationError(
            f"values must be a mapping of keys to values, not {type(values).__name__}"
        )
    return [
        ops.PutKey(key, encode_value(value, f"values[{key!r:.60}]"), ttl)
        for key, value in values.items()
    ]


def encode_items(values: Iterable[Any]) -> tuple[Json, ...]:
    """Returns the values of history items as JSON.

    Raises:
        NotJSONError: JSON cannot hold one of them; the message says which.
    """
    if isinstance(values, (str, bytes, dict)) or not isinstance(values, Iterable):
        raise ConfigurationError(
            f"values must be a list of JSON values, not {type(values).__name__}"
        )
    return tuple([Json.of(value, f"values[{i}]") for i, value in enumerate(values)])


def encode_ids(ids: Iterable[str | None] | None) -> tuple[str | None, ...] | None:
    """Returns the ids of items as a tuple, or None."""
    return None if ids is None else encode_list(ids, "ids")


def encode_item_name(seq_or_id: int | str) -> tuple[int | None, str | None]:
    """Returns the sequence number and the id of an item, one of which is None."""
    return (None, seq_or_id) if isinstance(seq_or_id, str) else (seq_or_id, None)


def encode_records(
    given: Iterable[Record],
    versions: Iterable[int | None] | None = None,
    ttl: float | None = None,
) -> tuple[ops.NewRecord, ...]:
    """Returns records in the form that `PutRecords` takes.

    Args:
        given: The records.
        versions: The version that each stored record must have, or None.
        ttl: Seconds until they expire; None if never.

    Raises:
        ConfigurationError: A field has the wrong type; the message says which.
        NotJSONError: JSON cannot hold a record's metadata; the message says where.
    """
    if isinstance(given, (Record, str, Mapping)) or not isinstance(given, Iterable):
        raise ConfigurationError(f"records must be a list of Record, not {type(given).__name__}")
    listed = list(given)
    expected: Sequence[int | None] = [None] * len(listed)
    if versions is not None:
        expected = encode_list(versions, "if_versions", "versions")
    if len(expected) != len(listed):
        raise ConfigurationError(
            f"{len(listed)} records were given with {len(expected)} versions: give one per record"
        )
    pairs = enumerate(zip(listed, expected, strict=True))
    return tuple([_encode_record(record, i, version, ttl) for i, (record, version) in pairs])


def _encode_record(record: Record, i: int, version: int | None, ttl: float | None) -> ops.NewRecord:
    where = f"records[{i}]"
    if not isinstance(record, Record):
        raise ConfigurationError(f"{where} must be a Record, not {type(record).__name__}")
    if not isinstance(record.text, str):
        raise ConfigurationError(f"{where}.text must be a string, not {type(record.text).__name__}")
    Json.of(record.text, f"{where}.text")  # rejects text that would not come back equal
    embedding = record.embedding
    return ops.NewRecord(
        record.id,
        record.text,
        encode_object(record.metadata, f"{where}.metadata"),
        encode_list(record.tags, f"{where}.tags"),
        scopes.normalise(record.scope),
        None if embedding is None else Vector.of(embedding, f"{where}.embedding"),
        None if record.created_at is None else from_datetime(record.created_at),
        version,
        ttl,
    )


def encode_selection(
    ids: Iterable[str] | None = None,
    scope: str | None = None,
    tags: Iterable[str] | None = None,
    filter: Mapping[str, Any] | None = None,  # noqa: A002 - the field's own name
    created_after: datetime | None = None,
    created_before: datetime | None = None,
) -> ops.Selection:
    """Returns the selection of records that pass all the given filters.

    Raises:
        ConfigurationError: A filter is not valid; the message says which and why.
    """
    return ops.Selection(
        None if ids is None else encode_list(ids, "ids"),
        scopes.normalise(scope),
        None if tags is None else encode_list(tags, "tags"),
        None if filter is None else encode_filter(filter),
        None if created_after is None else from_datetime(created_after),
        None if created_before is None else from_datetime(created_before),
    )


def encode_cursor(after: HistoryInfo | str | None, order: str) -> tuple[str | None, int | None]:
    """Returns the name and the time after which a list of histories continues.

    Raises:
        ConfigurationError: This order requires a history, not only its name.
    """
    if after is None or (isinstance(after, str) and order != "updated"):
        return after, None
    if not isinstance(after, HistoryInfo):
        raise ConfigurationError(
            'after must be a HistoryInfo from such a list (or, unless order="updated", a name), '
            f"not {after!r:.80}"
        )
    if order != "updated":
        return after.name, None
    if after.updated_at is None:
        raise ConfigurationError(
            f"history {after.name!r:.80} never changed, so no list returned it"
        )
    return after.name, from_datetime(after.updated_at)


def encode_filter(condition: Mapping[str, Any]) -> Json:
    """Returns a filter as JSON. JSON has no infinity, so infinite bounds are rewritten.

    Raises:
        ConfigurationError: The filter is not an object.
        NotJSONError: JSON cannot hold the filter; the message says where.
    """
    try:
        return encode_object(condition, "filter")
    except NotJSONError as error:
        try:
            return encode_object(without_infinities(condition), "filter")
        except RecursionError:
            raise error from None


def encode_object(value: Mapping[str, Any], path: str) -> Json:
    """Returns a mapping as a JSON object.

    Raises:
        ConfigurationError: The value is not a mapping.
        NotJSONError: JSON cannot hold the value; the message says where.
    """
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{path} must be an object, not {type(value).__name__}")
    return Json.of(dict(value), path)


def check_change(fn: object) -> None:
    """Raises `ConfigurationError` unless an argument is a function that changes a value."""
    if not callable(fn):
        raise ConfigurationError(
            "fn must be a function that takes the value and returns the new one, not "
            f"{type(fn).__name__}"
        )


def without_star(prefix: str) -> str:
    """Returns a prefix without one trailing ``*``."""
    return prefix[:-1] if isinstance(prefix, str) and prefix.endswith("*") else prefix


def encode_list(values: Iterable[T], what: str, of: str = "strings") -> tuple[T, ...]:
    """Returns the elements of an iterable argument; a single string is refused.

    Args:
        values: The argument.
        what: Its name in errors.
        of: What its elements are, in errors.

    Raises:
        ConfigurationError: It is a string or not iterable.
    """
    if isinstance(values, (str, bytes)):
        raise ConfigurationError(f"{what} must be a list of {of}, not a single string")
    if not isinstance(values, Iterable):
        raise ConfigurationError(f"{what} must be a list of {of}, not {type(values).__name__}")
    return tuple(values)


def encode_each(
    values: Iterable[Any],
    kind: type[T] | tuple[type[T], ...],
    what: str,
    of: str = "strings",
    *,
    wanted: str = "",
) -> tuple[T, ...]:
    """Returns the elements of an iterable argument, all of one class.

    Args:
        values: The argument.
        kind: The class, or several.
        what: Its name in errors.
        of: What its elements are, in errors.
        wanted: What an element must be; see `check_type`.

    Raises:
        ConfigurationError: It is not a list of such elements.
    """
    given = encode_list(values, what, of)
    return tuple(check_type(one, kind, f"{what}[{i}]", wanted) for i, one in enumerate(given))


def encode_pairs(values: Iterable[Any], what: str, of: str) -> tuple[tuple[Any, Any], ...]:
    """Returns the pairs of an iterable argument.

    Args:
        values: The argument.
        what: Its name in errors.
        of: What a pair consists of, in errors, for example ``a key and bytes``.

    Raises:
        ConfigurationError: It is not a list of pairs.
    """
    pairs = encode_list(values, what, f"pairs of {of}")
    for i, pair in enumerate(pairs):
        if not (isinstance(pair, (tuple, list)) and len(pair) == 2):
            raise ConfigurationError(f"{what}[{i}] must be a pair of {of}, not {shown(pair)}")
    return tuple((one, other) for one, other in pairs)
