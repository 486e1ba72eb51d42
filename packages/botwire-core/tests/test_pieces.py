"""Large JSON decoded in pieces gives the same result, and no step takes long."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from botwire import pieces
from botwire.errors import NotJSONError
from botwire.exact import Json

TEXT = st.sampled_from(
    ["a", "a,b", "x],", '"q\\', "}, {", "é\ud800", "y" * 300, "\ud800😀\udc00" * 9, "\n" * 40]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=40) | st.dictionaries(TEXT, inner, max_size=6),
    max_leaves=25,
)  # fmt: skip


def plain(found: Any) -> Any:
    """Returns the decoded document with its large values as objects."""
    if isinstance(found, Json):
        return json.loads(found.text)
    if isinstance(found, dict):
        return {key: plain(value) for key, value in found.items()}
    return [plain(value) for value in found] if isinstance(found, list) else found


@settings(max_examples=100)
@given(
    st.fixed_dictionaries({"value": VALUES, "values": st.lists(VALUES), "keys": VALUES}),
    st.sampled_from([None, 1]),
    st.integers(8, 300),
)
def test_pieces_of_any_size_come_to_the_same(body: Any, indent: int | None, size: int) -> None:
    text = json.dumps(body, indent=indent)
    usual, pieces.PIECE = pieces.PIECE, size
    try:
        assert plain(pieces.decode(text)) == body
    finally:
        pieces.PIECE = usual


@settings(max_examples=200)
@given(VALUES, st.integers(0, 10**6), st.sampled_from(["", "]", "}", ",", "x", '"']))
def test_what_is_not_json_is_refused_in_pieces_too(body: Any, at: int, instead: str) -> None:
    text = json.dumps({"value": body})
    at %= len(text)
    text = text[:at] + instead + text[at + 1 :]
    usual, pieces.PIECE = pieces.PIECE, 16
    try:
        expected: Any = json.loads(text, object_pairs_hook=pieces.unique)
    except ValueError:
        with pytest.raises((json.JSONDecodeError, pieces.DuplicateKeyError)):
            pieces.decode(text)
    else:
        assert plain(pieces.decode(text)) == expected
    finally:
        pieces.PIECE = usual


MANY = ",".join(f'"{i}": 1' for i in range(20_000))


@pytest.mark.parametrize(
    ("text", "error", "why"),
    [
        ('{"value": {"a": 1, "a": 2}}', pieces.DuplicateKeyError, "has the key 'a' twice"),
        (f'{{"value": {{{MANY}, "7": 2}}}}', pieces.DuplicateKeyError, "has the key '7' twice"),
        (f'{{"value": [{"1," * 20_000}NaN]}}', ValueError, "it holds NaN"),
        (f'{{"value": [{"1," * 20_000}1e999]}}', NotJSONError, "inf"),
        (f'{{"value": {"[" * 20_000}', RecursionError, None),
        (f'{{"value": {"[" * 201}{"1," * 9_000}1{"]" * 201}}}', RecursionError, None),
        (f'{{"value": [{"1," * 9_000}{"[" * 200}1{"]" * 200}]}}', NotJSONError, "deeper"),
    ],
)
def test_a_large_value_is_held_to_the_same_bounds(
    text: str, error: type[Exception], why: str | None
) -> None:
    with pytest.raises(error, match=why):
        pieces.decode(text)


@settings(max_examples=300)
@given(
    st.lists(
        st.sampled_from(
            [r"\ud83d", r"\ude00", r"\\", r"\n", r"\u00e9", "x", "u", "d83d", r"\uD83", "😀", "\n"]
        ),
        max_size=30,
    ).map("".join)
)
def test_a_long_string_is_read_as_in_one_go(escaped: str) -> None:
    text = f'{{"value": "{escaped}", "a": "{escaped}"}}'
    usual, pieces.PIECE = pieces.PIECE, 8
    try:
        try:
            expected = json.loads(text)
        except ValueError:
            with pytest.raises(json.JSONDecodeError):
                pieces.decode(text)
        else:
            assert plain(pieces.decode(text)) == expected
    finally:
        pieces.PIECE = usual


@pytest.mark.parametrize(
    "text",
    [
        '{"value": [' + "[]," * 400_000 + "1]}",
        '{"values": [' + "1," * 1_000_000 + "1]}",
        '{"value": [' + '{"a":{"b":[1]},"c":2},' * 50_000 + "1]}",
        '{"value": [' + ("[" * 150 + "1," * 8_200 + "1" + "]" * 150 + ",") * 40 + "1]}",
        '{"value": "' + "\\n" * 500_000 + '"}',
        '{"value": ["' + "x" * 500_000 + '"]}',
        '{"a": "' + "\\ud83d\\ude00" * 100_000 + '"}',
        '{"' + "\\u00e9" * 200_000 + '": 1}',
    ],
    ids=["empty lists", "ints", "objects", "deep", "escapes", "text", "pairs", "key"],
)
def test_the_decoder_is_never_given_much(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    scan = pieces._scan

    def noted(piece: str, at: int) -> tuple[Any, int]:
        try:
            found, end = scan(piece, at)
        except json.JSONDecodeError:
            end = min(len(piece), at + pieces.PIECE) if len(piece) == len(text) else len(piece)
            read.append(end - at)
            raise
        read.append(end - at)
        return found, end

    monkeypatch.setattr(pieces, "_scan", noted)
    pieces.decode(text)
    assert max(read) <= pieces.PIECE + 14
    assert sum(read) < 12 * len(text)
