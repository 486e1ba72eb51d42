"""Lists stored in parts: spans say where each item is."""

from __future__ import annotations

import pytest

from botwire.list_parts import part_key, part_number, part_numbers, positions

SPANS = [[2, 3], [1, 1, 1, 3], [4, 4]]


def test_spans_name_parts_and_the_position_of_each_item() -> None:
    assert part_numbers(SPANS) == {1, 2, 3, 4}
    assert positions(SPANS, {1: 5, 2: 1, 3: 2, 4: 1}) == [
        (2, 0),
        (3, 0),
        (3, 1),
        (1, 1),
        (1, 2),
        (4, 0),
    ]


def test_a_part_that_is_missing_is_not_left_out() -> None:
    with pytest.raises(KeyError):
        positions(SPANS, {1: 5, 2: 1, 3: 2})


def test_keys_of_parts_sort_by_number() -> None:
    keys = [part_key("parts/t/", number) for number in (1, 9, 10, 100)]
    assert keys == sorted(keys)
    assert [part_number(key) for key in keys] == [1, 9, 10, 100]
