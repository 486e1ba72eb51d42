"""Filters on metadata: which JSON objects match a condition that is JSON itself.

- ``{"topic": "tea"}``: the field equals a value; all fields named must match.
- ``{"year": {"$gte": 2020, "$lt": 2030}}``: with the operators ``$eq $ne $gt $gte $lt $lte``,
  ``$in`` and ``$nin`` (a list of values), ``$exists`` (true or false) and ``$not`` (a condition).
- ``{"$or": [{…}, {…}]}``, ``{"$and": […]}``, ``{"$not": {…}}``.

A field is a key of the object; where there is no such key, dots lead into nested objects
(``"address.city"``). A field that is missing, or that cannot be compared with the value, does not
match, whatever the operator: ``{"a": {"$ne": 1}}`` needs an ``a``, ``{"$not": {"a": 1}}`` does not.
Numbers compare with numbers, strings with strings by code point; true and false are not numbers.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from botwire.errors import ConfigurationError

Predicate = Callable[[Any], bool]
"""Says whether something matches."""

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


def compile_filter(condition: Any, path: str = "filter") -> Predicate:
    """Returns the predicate that a filter describes; it never raises.

    Args:
        condition: The filter.
        path: What to call it in an error.

    Raises:
        ConfigurationError: It is not a filter; the message says where and why.
    """
    if not isinstance(condition, Mapping):
        raise ConfigurationError(f"{path} is an object, not {type(condition).__name__}")
    return _all([_compile_part(name, part, path) for name, part in condition.items()])


def without_infinities(condition: Any) -> Any:
    """Returns a filter that JSON can hold and that matches the same objects.

    JSON has no infinity and no NaN, so no stored number equals one. Any number is less than
    infinity, and no number compares with NaN.

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


def equal(one: Any, other: Any) -> bool:
    """Says whether two JSON values are equal; unlike in Python, true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    return bool(one == other)


def _compile_part(name: object, part: Any, path: str) -> Predicate:
    if not isinstance(name, str):
        raise ConfigurationError(f"{path} has a key that is no string: {name!r:.60}")
    where = f"{path}[{name!r:.60}]"
    if name in ("$and", "$or"):
        if not isinstance(part, list) or not part:
            raise ConfigurationError(f"{where} is a list of filters, with one at least")
        parts = [compile_filter(inner, f"{where}[{i}]") for i, inner in enumerate(part)]
        return _all(parts) if name == "$and" else lambda value: any(test(value) for test in parts)
    if name == "$not":
        return _not(compile_filter(part, where))
    if name.startswith("$"):
        raise ConfigurationError(
            f"{where} is not an operator: between filters there are {', '.join(_OF_FILTERS)}"
        )
    test = _compile_condition(part, where)
    return lambda metadata: test(_field(metadata, name))


def _compile_condition(part: Any, path: str) -> Predicate:
    """Returns the predicate on a field's value, or on `_MISSING`."""
    operators = [key for key in part if str(key).startswith("$")] if isinstance(part, dict) else []
    if not operators:
        return lambda value: value is not _MISSING and equal(value, part)
    if len(operators) != len(part):
        raise ConfigurationError(f"{path} mixes operators and fields")
    return _all([_compile_operator(name, part[name], f"{path}[{name!r:.60}]") for name in part])


def _compile_operator(name: str, operand: Any, path: str) -> Predicate:
    if name == "$eq":
        return lambda value: value is not _MISSING and equal(value, operand)
    if name == "$ne":
        return lambda value: value is not _MISSING and not equal(value, operand)
    if name in ("$in", "$nin"):
        if not isinstance(operand, list):
            raise ConfigurationError(f"{path} is a list of values, not {type(operand).__name__}")
        wanted = name == "$in"
        return lambda value: (
            value is not _MISSING and any(equal(value, one) for one in operand) is wanted
        )
    if name == "$exists":
        if not isinstance(operand, bool):
            raise ConfigurationError(f"{path} is true or false, not {type(operand).__name__}")
        return lambda value: (value is not _MISSING) is operand
    if name == "$not":
        return _not(_compile_condition(operand, path))
    if name in _ORDERS:
        compare = _ORDERS[name]
        return lambda value: _comparable(value, operand) and compare(value, operand)
    raise ConfigurationError(
        f"{path} is not an operator: for a field there are {', '.join(_OF_FIELDS)}"
    )


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
