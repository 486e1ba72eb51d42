"""Any non-empty string is a name."""

from __future__ import annotations

from uuid import NAMESPACE_URL, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botwire import AsyncMemory, ConfigurationError, Memory
from botwire.names import (
    MAX_PART,
    SYSTEM_NAMESPACE,
    check_key,
    check_namespace,
    from_bytes,
    join_parts,
    prefix_end,
    split_parts,
    to_bytes,
    uuid_of,
)

names = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=100)


@given(names)
def test_a_name_has_the_uuid_of_the_standard_library(name: str) -> None:
    assert uuid_of(name) == uuid5(NAMESPACE_URL, name)
    assert uuid_of(name + "\ud800") != uuid_of(name)


@given(names, names)
def test_order_and_prefix_are_those_of_code_points(a: str, b: str) -> None:
    assert from_bytes(to_bytes(a)) == a
    assert (a < b) == (to_bytes(a) < to_bytes(b))
    end = prefix_end(to_bytes(a))
    assert end is not None
    assert (to_bytes(a) <= to_bytes(b) < end) == b.startswith(a)


@pytest.mark.parametrize(
    "name", ["/", "..", "%", "?", "#", " ", "\n", "\x00", "\ud800", "😀", "a/b"]
)
def test_odd_names_are_names(name: str) -> None:
    assert check_key(name) == name
    assert from_bytes(to_bytes(name)) == name


@pytest.mark.parametrize("name", ["", None, 1, b"x", "x" * 1025, "é" * 513, "\ud83d\ude00"])
def test_what_is_no_name(name: object) -> None:
    with pytest.raises(ConfigurationError, match="key"):
        check_key(name)


@given(st.lists(st.text(), min_size=1, max_size=4), st.lists(st.text(), min_size=1, max_size=4))
def test_parts_make_a_name_of_their_own(one: list[str], two: list[str]) -> None:
    first, second = join_parts(*one), join_parts(*two)
    assert (first == second) == (one == two)
    assert first.count("/") == len(one) - 1
    assert second.startswith(first + "/") == (len(two) > len(one) and two[: len(one)] == one)


@given(st.lists(st.text(max_size=20), min_size=1, max_size=4))
def test_a_name_has_the_parts_that_made_it(parts: list[str]) -> None:
    assert split_parts(join_parts(*parts)) == parts


@pytest.mark.parametrize(
    "name", ["a b", "%zz", "%2f", "%ff", "ä", "~" + "0" * 64, join_parts("a" * 161)]
)
def test_a_name_that_no_parts_made_has_none(name: str) -> None:
    assert split_parts(name) is None


def test_a_part_that_is_no_string_is_named() -> None:
    with pytest.raises(ConfigurationError, match="a part of a name must be a string, not int: 5"):
        join_parts("app", 5)  # type: ignore[arg-type]


def test_a_part_that_is_too_long_is_its_hash() -> None:
    long = ["a" * 161, "a" * 162, "ä" * 54, "~" + "a" * 63, "/" * 500, "\ud800" * 60]
    parts = [join_parts(part) for part in long]
    assert len(set(parts)) == len(parts)
    assert all(len(part) <= MAX_PART and "/" not in part for part in parts)
    assert join_parts("a" * 160) == "a" * 160


def test_a_namespace_is_shorter() -> None:
    assert check_namespace("x" * 256)
    with pytest.raises(ConfigurationError, match="at most 256 bytes"):
        check_namespace("x" * 257)


@pytest.mark.parametrize("name", [SYSTEM_NAMESPACE, f"{SYSTEM_NAMESPACE}/x"])
@pytest.mark.parametrize("client", [Memory, AsyncMemory])
def test_the_system_namespace_is_nobodys_memory(client: type[Memory], name: str) -> None:
    with pytest.raises(ConfigurationError, match="is reserved"):
        client(name, url="sqlite://")
    assert client(f"{SYSTEM_NAMESPACE}x", url="sqlite://").namespace == f"{SYSTEM_NAMESPACE}x"
