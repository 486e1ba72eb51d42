"""Exact JSON: equal and of the same type, or refused with the position of the problem."""

from __future__ import annotations

import enum
import math
import re
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botwire import ConfigurationError, NotJSONError
from botwire.exact import MAX_DEPTH, Json, decode, encode

# Lone surrogates too. Two that form a pair are one character in JSON: those are refused.
text = st.text(st.characters(codec=None, exclude_categories=())).filter(
    lambda t: not re.search("[\ud800-\udbff][\udc00-\udfff]", t)
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner) | st.dictionaries(text, inner),
    max_leaves=30,
)


def same(a: Any, b: Any) -> bool:
    """Equality that tells 1 from True and 1.0, and 0.0 from -0.0."""
    if type(a) is not type(b):
        return False
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return repr(a) == repr(b)


@given(values)
def test_every_json_value_comes_back_the_same(value: Any) -> None:
    assert same(decode(encode(value)), value)


@given(values)
def test_text_is_ascii(value: Any) -> None:
    assert encode(value).isascii()


@pytest.mark.parametrize(
    "value",
    [-0.0, 1e308, 5e-324, 10**40, -(10**400), "\ud800", "a\udfff", "\x00", "[1]", "", [], {}],
    ids=repr,
)
def test_corner_cases(value: Any) -> None:
    assert same(decode(encode(value)), value)


class Color(enum.StrEnum):
    RED = "red"


def test_a_string_enum_is_its_string() -> None:
    assert decode(encode(Color.RED)) == Color.RED == "red"


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (math.nan, "value"),
        ([1, math.inf], "value[1]"),
        ({"a": (1, 2)}, "value['a']"),
        ({"a": {"b": [0, {1, 2}]}}, "value['a']['b'][1]"),
        ({"a": b"x"}, "value['a']"),
        ([{1: "x"}], "value[0]"),
        ([{None: "x"}], "value[0]"),
        ({True: "x"}, "value"),
        (["\ud83d\ude00"], "value[0]"),
        ({"\ud83d\ude00": 1}, "a key of value"),
        (object, "value"),
    ],
    ids=str,
)
def test_what_json_cannot_hold_is_refused_with_its_place(value: Any, path: str) -> None:
    with pytest.raises(NotJSONError) as caught:
        encode(value)
    assert caught.value.path == path
    assert path in str(caught.value)
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, ConfigurationError)


def test_an_int_of_more_digits_than_python_converts_is_refused() -> None:
    with pytest.raises(NotJSONError, match=r"value\[0\] is an int with too many digits"):
        encode([10**5000])


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_nesting_is_bounded() -> None:
    assert same(decode(encode(nested(MAX_DEPTH))), nested(MAX_DEPTH))
    for depth in (MAX_DEPTH + 1, sys.getrecursionlimit() * 2):
        with pytest.raises(NotJSONError, match="deeper"):
            encode(nested(depth))


def test_a_value_that_holds_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(NotJSONError, match="contains itself"):
        encode(value)


def test_wide_is_not_deep() -> None:
    assert decode(encode([{}] * 1000)) == [{}] * 1000
    assert decode(encode("[" * 1000)) == "[" * 1000


def test_a_json_value_gives_each_caller_an_object_of_their_own() -> None:
    value = Json.of({"a": []})
    value.value["a"].append(1)
    assert value.value == {"a": []}


@pytest.mark.parametrize("text", ['{"a": 1}', ' {"a":1}', '{"a":1}\n', '\r\n\t{"a" : 1 } '])
def test_white_space_around_json_is_none_of_its_business(text: str) -> None:
    assert decode(text) == {"a": 1}


@pytest.mark.parametrize("text", ["", " ", "{", "1 2", '{"a":1}x'])
def test_what_is_no_json_is_not_decoded(text: str) -> None:
    with pytest.raises(ValueError, match="char"):
        decode(text)


def test_what_is_encoded_is_not_encoded_again() -> None:
    encoded = Json.of({"a": [1]})
    assert Json.of(encoded) is encoded
