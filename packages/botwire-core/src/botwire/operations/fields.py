"""The types of the fields of operations: each says how a value is checked, sent and described."""

from collections.abc import Callable, Collection, Sequence
from typing import Annotated, Any

from botwire import filters, names, scopes
from botwire.arguments import check_seconds
from botwire.clock import MAX_TIME, MIN_TIME
from botwire.errors import ConfigurationError, TooComplexError
from botwire.exact import Json
from botwire.operations.annotations import Check, Rule
from botwire.operations.codecs import NUMBER, TIME, VALUE

MAX_PAGE = 1000
"""Most names, items or records in one page."""
MAX_PAGE_BYTES = 8 * 1024 * 1024
"""The approximate size of a page in bytes. A page that reaches it has fewer elements than asked for
and says that there are more. A single larger element is a page of its own."""
PART = MAX_PAGE
"""Keys or items that a clear deletes per transaction: other writers wait about 10 ms."""
RECORDS_PART = 200
"""Records that a clear deletes per transaction, with the words of their texts."""
MAX_INTEGER = 2**63 - 1
"""The greatest version, sequence number or count."""
MAX_TTL = 100 * 365 * 86_400.0
"""Longest time to live: a hundred years, in seconds."""
MAX_METADATA = 100_000
"""Most values, at all levels together, in the metadata of a record."""
MAX_HISTORY_METADATA = 16_384
"""Most bytes of JSON in the metadata of a history, which listings return."""
HISTORY_ORDERS = ("name", "updated")
"""The orders of a list of histories; see `ListHistories`."""
METRICS = ("cosine", "l2")
"""The ways to compare vectors; see `SearchRecords`."""


# --- checks ---------------------------------------------------------------------------------


def check_count(value: object, what: str, *, least: int = 0) -> None:
    """Raises `ConfigurationError` unless `value` is an int of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigurationError(
            f"{what} must be an int, not {type(value).__name__}: {value!r:.80}"
        )
    if not least <= value <= MAX_INTEGER:
        raise ConfigurationError(f"{what} must be at least {least} and below 2**63, not {value}")


def check_page(limit: object, what: str = "limit") -> None:
    """Raises `ConfigurationError` unless `limit` is 1 to `MAX_PAGE`."""
    check_count(limit, what, least=1)
    if isinstance(limit, int) and limit > MAX_PAGE:
        raise ConfigurationError(f"{what} must be at most {MAX_PAGE}, not {limit}")


def check_ttl(ttl: object, what: str = "ttl") -> None:
    """Raises `ConfigurationError` unless `ttl` is a number of seconds above 0."""
    # The bound keeps microseconds since 1970 inside 63 bits and dates inside the calendar.
    if check_seconds(ttl, what) > MAX_TTL:
        raise ConfigurationError(f"{what} must be at most {MAX_TTL:.0f} seconds, not {ttl!r}")


def read_ttl(ttl: float | None) -> float | None:
    """Returns the `ttl` passed to a constructor: seconds, or None for no expiry.

    Raises:
        ConfigurationError: It is neither.
    """
    if ttl is not None:
        check_ttl(ttl)
    return ttl


def check_choice(value: object, known: Collection[object], what: str) -> None:
    """Raises `ConfigurationError` unless `value` is one of the `known` ones."""
    if value not in known:
        raise ConfigurationError(
            f"{what} must be one of {', '.join(map(str, known))}, not {value!r:.40}"
        )


def check_time(time: object, what: str) -> None:
    """Raises `ConfigurationError` unless `time` is microseconds within the calendar."""
    if isinstance(time, bool) or not isinstance(time, int) or not MIN_TIME <= time <= MAX_TIME:
        raise ConfigurationError(f"{what} must be a time between the years 1 and 9999")


def check_scope(scope: str, what: str = "scope path") -> None:
    """Raises `ConfigurationError` unless it is a normal path; see `botwire.scopes`."""
    if scopes.normalise(scope) != scope:
        raise ConfigurationError(f"the {what} {scope!r:.80} is {scopes.normalise(scope)!r:.80}")


def check_metadata(metadata: Json, what: str = "metadata") -> None:
    """Raises an error unless metadata is an object small enough to filter.

    Raises:
        ConfigurationError: It is not an object.
        TooComplexError: It holds more than `MAX_METADATA` values.
    """
    if not metadata.is_object:
        raise ConfigurationError(f"{what} must be an object")
    text = metadata.text
    most = text.count(",") + text.count("[") + text.count("{")  # strings may contain these too
    if most > MAX_METADATA and _count(metadata.value) > MAX_METADATA:
        raise TooComplexError(
            f"{what} may have at most {MAX_METADATA:,} values: keep large data in a key or the text"
        )


def check_history_metadata(metadata: Json, what: str = "metadata") -> None:
    """Raises `ConfigurationError` unless metadata is an object of `MAX_HISTORY_METADATA` bytes."""
    if not metadata.is_object:
        raise ConfigurationError(f"{what} must be an object")
    if len(metadata.text) > MAX_HISTORY_METADATA:
        raise ConfigurationError(
            f"the {what} of a history may have at most {MAX_HISTORY_METADATA:,} bytes of JSON, not "
            f"{len(metadata.text):,}: keep large data in a key"
        )


def _count(value: Any) -> int:
    total = 0
    left = [value]
    while left:
        part = left.pop()
        total += 1
        if isinstance(part, (dict, list)):
            left.extend(part.values() if isinstance(part, dict) else part)
    return total


def _check_increment(by: object, what: str) -> None:
    if isinstance(by, bool) or not isinstance(by, int):
        raise ConfigurationError(f"increment takes an int, not {type(by).__name__}")


def check_score(score: object, what: str) -> None:
    """Raises `ConfigurationError` unless `score` is a number."""
    if isinstance(score, bool) or not isinstance(score, (int, float)):
        raise ConfigurationError(f"{what} must be a number, not {score!r:.80}")


def _check_filter(document: Json, what: str) -> None:
    filters.read_filter(document)


def named(check: Callable[[object], object]) -> Check:
    """Returns a check whose error names the value itself, not its field."""
    return lambda value, what: check(value)


def one_of(known: Sequence[str]) -> Rule:
    """Returns the rule that a string is one of the `known` ones."""
    return Rule(lambda value, what: check_choice(value, known, what), {"enum": list(known)})


def _string(most: int, least: int = 1) -> dict[str, Any]:
    return {"minLength": least, "maxLength": most} if least else {"maxLength": most}


_COUNT = {"minimum": 0, "maximum": MAX_INTEGER}

# --- types ----------------------------------------------------------------------------------

Namespace = Annotated[
    str,
    Rule(
        named(names.check_namespace),
        {**_string(names.MAX_NAMESPACE_BYTES), "examples": ["user-123"]},
    ),
]
"""A namespace that clients may use."""
AnyNamespace = Annotated[
    str, Rule(named(names.check_any_namespace), _string(names.MAX_NAMESPACE_BYTES))
]
"""A namespace, possibly a reserved one."""
Key = Annotated[str, Rule(named(names.check_key), _string(names.MAX_NAME_BYTES))]
HistoryName = Annotated[str, Rule(named(names.check_history), _string(names.MAX_NAME_BYTES))]
CollectionName = Annotated[str, Rule(named(names.check_collection), _string(names.MAX_NAME_BYTES))]
Prefix = Annotated[str, Rule(named(names.check_prefix), _string(names.MAX_NAME_BYTES, 0))]
"""The beginning of names; empty matches all names."""
Id = Annotated[str, Rule(named(names.check_id), _string(names.MAX_ID_BYTES))]
"""The id of an item or a record."""
Tag = Annotated[str, Rule(named(names.check_tag), _string(names.MAX_ID_BYTES))]
Scope = Annotated[
    str,
    Rule(
        check_scope,
        {
            "pattern": "^(/|(/[^/]+)+)$",
            "maxLength": names.MAX_NAME_BYTES,
            "examples": ["/crew/alice"],
        },
    ),
]
"""A normal scope path; see `botwire.scopes`."""

Count = Annotated[int, Rule(check_count, _COUNT)]
"""An int from 0 to `MAX_INTEGER`."""
Integer = Annotated[int, Rule(_check_increment)]
"""Any int."""
Limit = Annotated[int, Rule(check_page, {"minimum": 1, "maximum": MAX_PAGE})]
"""The most elements to return: 1 to `MAX_PAGE`."""
Seconds = Annotated[float, Rule(check_ttl, {"exclusiveMinimum": 0, "maximum": MAX_TTL}, NUMBER)]
"""A time to live, in seconds."""
Score = Annotated[float, Rule(check_score, {}, NUMBER)]
Metric = Annotated[str, one_of(METRICS)]
Time = Annotated[int, Rule(check_time, {}, TIME)]
"""Microseconds since 1970 (UTC); ISO 8601 in JSON."""

Value = Annotated[Json | bytes, Rule(None, {}, VALUE)]
"""The value of a key: JSON, or bytes."""
Metadata = Annotated[Json, Rule(check_metadata, {"type": "object"})]
"""A JSON object."""
HistoryMetadata = Annotated[
    Json,
    Rule(
        check_history_metadata,
        {"type": "object", "examples": [{"title": "Travel plans", "user": "u-7"}]},
    ),
]
"""A small JSON object."""
HistoryOrder = Annotated[str, one_of(HISTORY_ORDERS)]
Filter = Annotated[
    Json,
    Rule(
        _check_filter,
        {"type": "object", "examples": [{"topic": "tea", "year": {"$gte": 2020}}]},
    ),
]
"""A filter on metadata; see `botwire.filters`."""
