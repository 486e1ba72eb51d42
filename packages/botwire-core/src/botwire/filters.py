"""Filters on metadata. A filter is itself JSON.

- ``{"topic": "tea"}``: the field equals a value. Of several fields, all must match.
- ``{"year": {"$gte": 2020, "$lt": 2030}}``: the operators are ``$eq $ne $gt $gte $lt $lte``,
  ``$in`` and ``$nin`` (a list of values), ``$exists`` (true or false) and ``$not`` (a condition).
- ``{"$or": [{…}, {…}]}``, ``{"$and": […]}``, ``{"$not": {…}}``.

A field is a key of the object. If there is no such key, dots lead into nested objects
(``"address.city"``). A field that is missing, or that cannot be compared with the value, never
matches: ``{"a": {"$ne": 1}}`` requires an ``a``, ``{"$not": {"a": 1}}`` does not. Numbers compare
with numbers, strings with strings by code point; true and false are not numbers.

Every engine limits the size of a filter in the same way: see `MAX_CONDITIONS` and the constants
after it.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from botwire import names, work
from botwire.errors import ConfigurationError, TooComplexError
from botwire.exact import Json, decode_stored

Predicate = Callable[[Any], bool]
"""Returns whether a value matches."""

MAX_CONDITIONS = 1_000
"""Most conditions in a filter. A list or an object among the values of ``$in`` also counts."""
MAX_VALUES = 10_000
"""Most values in all ``$in`` and ``$nin`` lists of a filter."""
MAX_BYTES = 512 * 1024
"""Longest filter, as JSON."""
MAX_DOTS = 32
"""Most dots in a field name. The name may be as long as a key."""
MAX_DEPTH = 200
"""Deepest nesting of filters."""

_TOGETHER, _TOGETHER_BYTES = 100, 16 * 1024  # texts per call of the decoder
_SMALL_BITS = 60  # smaller ints are their own hash, so they do not collide

_MISSING = object()

_ORDERS: Mapping[str, Callable[[Any, Any], bool]] = {
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}
_BEYOND = 10**400
"""Greater than every float."""

_OF_FIELDS = ("$eq", "$ne", *_ORDERS, "$in", "$nin", "$exists", "$not")
_OF_FILTERS = ("$and", "$or", "$not")


def read_filter(stored: Json) -> Predicate:
    """Returns the predicate of a filter in stored form; see `compile_filter`.

    Raises:
        ConfigurationError: The value is not a filter.
        TooComplexError: The filter exceeds a limit.
    """
    if len(stored.text) > MAX_BYTES:
        raise TooComplexError(
            f"a filter may have at most {MAX_BYTES:,} bytes of JSON, not {len(stored.text):,}"
        )
    return compile_filter(stored.value)


def compile_filter(condition: Any, path: str = "filter") -> Predicate:
    """Returns the predicate of a filter. The predicate never raises.

    Args:
        condition: The filter.
        path: The name of the filter in errors.

    Raises:
        ConfigurationError: The value is not a filter; the message says where and why.
        TooComplexError: The filter exceeds a limit.
    """
    return _Compiler().filter(condition, path, 0)


def decode_all(texts: Sequence[str]) -> Iterator[Any]:
    """Yields the values of JSON texts, calling `work.look` in between.

    Decodes several texts per call, which takes a third of the time of a call for each.
    """
    start = 0
    while start < len(texts):
        size = 0
        end = start
        while end < len(texts) and end < start + _TOGETHER and size < _TOGETHER_BYTES:
            size += len(texts[end])
            end += 1
        for value in decode_stored("[" + ",".join(texts[start:end]) + "]"):
            work.look()
            yield value
        start = end


def without_infinities(condition: Any) -> Any:
    """Returns an equivalent filter without infinities and NaN, which JSON lacks.

    No stored number equals one of these. Any number is less than infinity, and no number compares
    with NaN.

    Args:
        condition: A filter, or a part of one.
    """
    if isinstance(condition, Mapping):
        found: dict[Any, Any] = {}
        matches = True
        for name, part in condition.items():
            if _is_finite(part):
                found[name] = without_infinities(part)
            elif name in _ORDERS and not math.isnan(part):
                found[name] = _BEYOND if part > 0 else -_BEYOND
            elif name == "$ne":
                matches = matches and condition.get("$exists") is not False
                found["$exists"] = True
            elif str(name).startswith("$"):
                matches = False
            else:
                found[name] = {"$in": []}
        return found if matches else {"$in": []}
    if isinstance(condition, (list, tuple)):
        return [without_infinities(part) for part in condition if _is_finite(part)]
    return condition


def _is_finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def passes_all(condition: Mapping[str, Any]) -> bool:
    """Returns whether a filter matches everything, such as ``{}``."""
    return all(_is_void(name, part) for name, part in condition.items())


def _is_void(name: str, part: Any) -> bool:
    if name == "$and":
        return all(map(passes_all, part))
    if name == "$or":
        return any(map(passes_all, part))
    return name == "$not" and _passes_none(part)


def _passes_none(condition: Mapping[str, Any]) -> bool:
    return any(_is_never(name, part) for name, part in condition.items())


def _is_never(name: str, part: Any) -> bool:
    if name == "$and":
        return any(map(_passes_none, part))
    if name == "$or":
        return all(map(_passes_none, part))
    return name == "$not" and passes_all(part)


def equals_in_python(field: str, value: Any) -> dict[str, Any]:
    """Returns the filter that matches where ``found.get(field) == value`` in Python.

    There, a missing field is None, and True and False are 1 and 0. Frameworks whose own stores are
    written in Python compare so.
    """
    if value is None:
        return {"$or": [{field: None}, {"$not": {field: {"$exists": True}}}]}
    if isinstance(value, (int, float)) and value in (0, 1):
        return {field: {"$in": [int(value), bool(value)]}}
    return {field: {"$eq": value}}


def equal(one: Any, other: Any) -> bool:
    """Returns whether two JSON values are equal. Unlike in Python, true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    return bool(one == other)


class _Compiler:
    """Compiles one filter and checks its size."""

    def __init__(self) -> None:
        self._conditions = 0
        self._values = 0

    def filter(self, condition: Any, path: str, depth: int) -> Predicate:
        if not isinstance(condition, Mapping):
            raise ConfigurationError(f"{path} must be an object, not {type(condition).__name__}")
        if depth > MAX_DEPTH:
            raise TooComplexError(f"a filter may be nested at most {MAX_DEPTH} levels deep")
        return _all([self._part(name, part, path, depth) for name, part in condition.items()])

    def _count(self, conditions: int = 1, values: int = 0) -> None:
        self._conditions += conditions
        self._values += values
        if self._conditions > MAX_CONDITIONS:
            raise TooComplexError(f"a filter may have at most {MAX_CONDITIONS:,} conditions")
        if self._values > MAX_VALUES:
            raise TooComplexError(
                f"a filter may have at most {MAX_VALUES:,} values in its $in and $nin: split it"
            )

    def _part(self, name: object, part: Any, path: str, depth: int) -> Predicate:
        if not isinstance(name, str):
            raise ConfigurationError(
                f"{path} has a key that is not a string: {names.shown(name, 60)}"
            )
        where = f"{path}[{names.shown(name, 60)}]"
        self._count()
        if name in ("$and", "$or"):
            if not isinstance(part, list) or not part:
                raise ConfigurationError(f"{where} must be a non-empty list of filters")
            parts = [self.filter(inner, f"{where}[{i}]", depth + 1) for i, inner in enumerate(part)]
            return (
                _all(parts) if name == "$and" else lambda value: any(test(value) for test in parts)
            )
        if name == "$not":
            return _not(self.filter(part, where, depth + 1))
        if name.startswith("$"):
            raise ConfigurationError(
                f"{where} is not an operator: those on filters are {', '.join(_OF_FILTERS)}"
            )
        if len(name) > names.MAX_NAME_BYTES:
            raise TooComplexError(
                f"a field name in a filter may have at most {names.MAX_NAME_BYTES:,} characters, "
                f"and {where} has {len(name):,}"
            )
        if name.count(".") > MAX_DOTS:
            raise TooComplexError(f"{where} has more than {MAX_DOTS} dots")
        test = self._condition(part, where, depth)
        return lambda metadata: test(_field(metadata, name))

    def _condition(self, part: Any, path: str, depth: int) -> Predicate:
        """Returns the predicate for a field's value, which may be `_MISSING`."""
        operators = (
            [key for key in part if str(key).startswith("$")] if isinstance(part, dict) else []
        )
        if not operators:
            return lambda value: value is not _MISSING and equal(value, part)
        if len(operators) != len(part):
            raise ConfigurationError(f"{path} mixes operators and fields: use one kind of them")
        if depth > MAX_DEPTH:
            raise TooComplexError(f"a filter may be nested at most {MAX_DEPTH} levels deep")
        return _all(
            [
                self._operator(name, part[name], f"{path}[{names.shown(name, 60)}]", depth)
                for name in part
            ]
        )

    def _operator(self, name: str, operand: Any, path: str, depth: int) -> Predicate:
        self._count()
        if name == "$eq":
            return lambda value: value is not _MISSING and equal(value, operand)
        if name == "$ne":
            return lambda value: value is not _MISSING and not equal(value, operand)
        if name in ("$in", "$nin"):
            if not isinstance(operand, list):
                raise ConfigurationError(
                    f"{path} must be a list of values, not {type(operand).__name__}"
                )
            self._count(0, len(operand))
            among = self._among(operand)
            wanted = name == "$in"
            return lambda value: value is not _MISSING and among(value) is wanted
        if name == "$exists":
            if not isinstance(operand, bool):
                raise ConfigurationError(
                    f"{path} must be true or false, not {type(operand).__name__}"
                )
            return lambda value: (value is not _MISSING) is operand
        if name == "$not":
            return _not(self._condition(operand, path, depth + 1))
        if name in _ORDERS:
            compare = _ORDERS[name]
            return lambda value: _comparable(value, operand) and compare(value, operand)
        raise ConfigurationError(
            f"{path} is not an operator: those on fields are {', '.join(_OF_FIELDS)}"
        )

    def _among(self, values: list[Any]) -> Predicate:
        """Returns the predicate for membership in `values`, by a hash lookup if possible."""
        plain = {_key(value) for value in values if isinstance(value, _PLAIN)}
        others = [value for value in values if not isinstance(value, _PLAIN)]
        self._count(len(others))

        def among(value: Any) -> bool:
            if isinstance(value, _PLAIN):
                return _key(value) in plain
            return any(equal(value, other) for other in others)

        return among


_PLAIN = (str, int, float, type(None))  # bool is an int


def _key(value: str | float | None) -> object:
    """Returns a set key that is the same for equal values and cannot be made to collide.

    Python hashes a large int by a remainder, so an attacker could choose numbers that collide.
    """
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and value.bit_length() > _SMALL_BITS:
        return ("int", hex(value))
    return value


def _all(tests: list[Predicate]) -> Predicate:
    if len(tests) == 1:
        return tests[0]
    return lambda value: all(test(value) for test in tests)


def _not(test: Predicate) -> Predicate:
    return lambda value: not test(value)


def _comparable(one: Any, other: Any) -> bool:
    if isinstance(one, str) and isinstance(other, str):
        return True
    return _is_number(one) and _is_number(other)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _field(metadata: Any, name: str) -> Any:
    if not isinstance(metadata, dict):
        return _MISSING
    if name in metadata:
        return metadata[name]
    head, dot, rest = name.partition(".")
    while dot:
        if head in metadata:
            found = _field(metadata[head], rest)
            if found is not _MISSING:
                return found
        more, dot, rest = rest.partition(".")
        head = f"{head}.{more}"
    return _MISSING
