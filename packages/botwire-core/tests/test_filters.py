"""Filters: what matches, what does not, and what is not a filter."""

from __future__ import annotations

import math
import sys
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botwire import ConfigurationError
from botwire.client.encoding import encode_filter
from botwire.errors import TooComplexError
from botwire.exact import Json
from botwire.filters import compile_filter
from botwire.operations import Selection

PERSON = {
    "name": "Ada",
    "age": 36,
    "score": 1.0,
    "on": True,
    "none": None,
    "list": [1, True],
    "address": {"city": "London", "a.b": {"c": 1}},
    "dotted.key": 5,
}


@pytest.mark.parametrize(
    ("condition", "matches"),
    [
        ({}, True),
        ({"name": "Ada"}, True),
        ({"name": "ada"}, False),
        ({"name": "Ada", "age": 36}, True),
        ({"name": "Ada", "age": 37}, False),
        ({"age": 36.0}, True),
        ({"age": "36"}, False),
        ({"score": 1}, True),
        ({"score": True}, False),
        ({"on": True}, True),
        ({"on": 1}, False),
        ({"none": None}, True),
        ({"missing": None}, False),
        ({"list": [1, True]}, True),
        ({"list": [1, 1]}, False),
        ({"list": [True, True]}, False),
        ({"address": {"city": "London", "a.b": {"c": 1}}}, True),
        ({"address": {"city": "London"}}, False),
        ({"address.city": "London"}, True),
        ({"address.a.b.c": 1}, True),
        ({"address.town": "London"}, False),
        ({"dotted.key": 5}, True),
        ({"name.first": "Ada"}, False),
        ({"age": {"$gt": 35}}, True),
        ({"age": {"$gt": 36}}, False),
        ({"age": {"$gte": 36, "$lt": 37}}, True),
        ({"age": {"$lte": 35.9}}, False),
        ({"age": {"$lt": 10**400}}, True),
        ({"age": {"$gt": "a"}}, False),
        ({"age": {"$gt": None}}, False),
        ({"on": {"$gt": 0}}, False),
        ({"none": {"$lt": 1}}, False),
        ({"missing": {"$lt": 1}}, False),
        ({"list": {"$gt": [0]}}, False),
        ({"name": {"$gt": "A", "$lt": "B"}}, True),
        ({"age": {"$ne": 1}}, True),
        ({"age": {"$ne": 36}}, False),
        ({"missing": {"$ne": 1}}, False),
        ({"age": {"$in": [1, 36]}}, True),
        ({"age": {"$in": []}}, False),
        ({"on": {"$in": [1]}}, False),
        ({"age": {"$nin": [1]}}, True),
        ({"age": {"$nin": [36]}}, False),
        ({"missing": {"$nin": [1]}}, False),
        ({"age": {"$exists": True}}, True),
        ({"none": {"$exists": True}}, True),
        ({"missing": {"$exists": True}}, False),
        ({"missing": {"$exists": False}}, True),
        ({"age": {"$not": {"$gt": 36}}}, True),
        ({"age": {"$not": 36}}, False),
        ({"missing": {"$not": {"$gt": 36}}}, True),
        ({"$not": {"missing": 1}}, True),
        ({"$not": {"age": 36}}, False),
        ({"$or": [{"age": 1}, {"name": "Ada"}]}, True),
        ({"$or": [{"age": 1}, {"name": "Bob"}]}, False),
        ({"$and": [{"age": 36}, {"name": "Ada"}]}, True),
        ({"$and": [{"age": 36}, {"name": "Bob"}]}, False),
        ({"$or": [{"age": 1}, {"$not": {"$and": [{"on": False}]}}], "name": "Ada"}, True),
        ({"address": {}}, False),
        ({"address": {"$eq": {"city": "London"}}}, False),
        ({"": 1}, False),
    ],
)
def test_what_matches(condition: Any, matches: bool) -> None:
    assert compile_filter(condition)(PERSON) is matches


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ([], "filter must be an object"),
        (None, "filter must be an object"),
        ({"$near": 1}, r"filter\['\$near'\] is not an operator"),
        ({"a": {"$near": 1}}, r"filter\['a'\]\['\$near'\] is not an operator"),
        ({"$eq": 1}, "not an operator"),
        ({"a": {"$eq": 1, "b": 2}}, "mixes"),
        ({"a": {"$in": "abc"}}, "list of values"),
        ({"a": {"$exists": 1}}, "true or false"),
        ({"$or": []}, "non-empty list of filters"),
        ({"$or": {"a": 1}}, "non-empty list of filters"),
        ({"$and": [{"a": 1}, 2]}, r"filter\['\$and'\]\[1\] must be an object"),
        ({"$not": 1}, "must be an object"),
        ({1: 1}, "not a string"),
    ],
)
def test_what_is_no_filter_is_refused_with_its_place(condition: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        compile_filter(condition)


jsons = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=6,
)
operators = st.sampled_from(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"])


@given(st.dictionaries(st.text(max_size=2), jsons), st.text(max_size=2), operators, jsons)
def test_no_value_makes_an_error(metadata: Any, field: str, operator: str, operand: Any) -> None:
    if field.startswith("$"):
        return
    plain = compile_filter({field: {operator: operand}})
    negated = compile_filter({"$not": {field: {operator: operand}}})
    assert plain(metadata) is not negated(metadata)


@pytest.mark.parametrize(
    ("condition", "matches"),
    [
        ({"age": {"$lt": math.inf}}, True),
        ({"age": {"$lte": math.inf, "$gt": -math.inf}}, True),
        ({"age": {"$gt": math.inf}}, False),
        ({"name": {"$lt": math.inf}}, False),
        ({"age": {"$lt": math.nan}}, False),
        ({"age": math.inf}, False),
        ({"age": {"$ne": math.inf}}, True),
        ({"missing": {"$ne": math.inf}}, False),
        ({"missing": {"$ne": math.inf, "$exists": False}}, False),
        ({"age": {"$in": [math.inf, 36]}}, True),
        ({"age": {"$nin": [math.inf]}}, True),
        ({"$or": [{"age": {"$gte": math.inf}}, {"age": {"$not": {"$gt": math.inf}}}]}, True),
    ],
)
def test_infinity_is_a_bound_though_json_has_none(condition: Any, matches: bool) -> None:
    assert compile_filter(encode_filter(condition).value)(PERSON) is matches


@pytest.mark.parametrize(
    ("condition", "why"),
    [
        ({"$or": [{"a": i} for i in range(10_000)]}, "1,000 conditions"),
        ({"$and": [{"a": {"$gt": i}} for i in range(501)]}, "1,000 conditions"),
        ({"a": {"$in": list(range(10_001))}}, "10,000 values"),
        ({"a": {"$in": [[i] for i in range(1_001)]}}, "1,000 conditions"),
        ({"x" * 1_025: 1}, "1,024 characters"),
        ({".".join("a" * 34): 1}, "32 dots"),
    ],
)
def test_a_filter_is_bounded(condition: Any, why: str) -> None:
    with pytest.raises(TooComplexError, match=why):
        compile_filter(condition)
    with pytest.raises(TooComplexError, match=why):
        Selection(filter=Json.of(condition))


def test_a_filter_is_bounded_in_bytes() -> None:
    with pytest.raises(TooComplexError, match="524,288 bytes"):
        Selection(filter=Json.of({"a": "x" * 600_000}))


@given(st.lists(st.integers() | st.floats(allow_nan=False) | st.text() | st.booleans()), st.data())
def test_in_is_the_same_as_many_equals(values: list[Any], data: st.DataObject) -> None:
    value = data.draw(st.sampled_from(values) if values else st.integers())
    other = data.draw(st.sampled_from([value, str(value), bool(value), 1, 1.0, True, None, [1]]))
    found = compile_filter({"a": {"$in": values}})({"a": other})
    assert found is any(compile_filter({"a": one})({"a": other}) for one in values)


def test_ints_that_collide_are_as_quick_as_others() -> None:
    same_hash = [i * sys.hash_info.modulus for i in range(1, 10_001)]
    began = time.perf_counter()
    test = compile_filter({"a": {"$in": same_hash}})
    assert test({"a": same_hash[-1]})
    assert not test({"a": -1})
    assert time.perf_counter() - began < 1
