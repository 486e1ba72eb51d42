"""The words of a text, as indexed and searched."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botwire.engines.sql import words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("Tea, tea & TEA_pots: 2 of 10!", ["tea", "tea", "tea", "pots", "2", "of", "10"]),
        ("Crème brûlée", ["creme", "brulee"]),
        ("STRASSE straße", ["strasse", "strasse"]),
        ("ﬁne ①", ["fine", "1"]),
        ("我喜欢茶", ["我", "喜", "欢", "茶", "我喜", "喜欢", "欢茶"]),
        ("GPT我x", ["gpt", "我", "x"]),
        ("서울에", ["서", "울", "에", "서울", "울에"]),
        ("Mhm 👍🏽🎉!", ["mhm", "👍", "🎉"]),
        ("🇩🇪", ["🇩", "🇪", "🇩🇪"]),
        ("x" * 200, ["x" * 120]),
        ("\ud800", []),
    ],
)
def test_words(text: str, found: list[str]) -> None:
    assert [word.decode() for word in words.words(text)] == found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("猫", ["猫"]),
        ("喜欢茶", ["喜欢", "欢茶"]),
        ("서울 물", ["물", "서울"]),
        ("party 🎉", ["party", "🎉"]),
        ("🇩🇪", ["🇩🇪"]),
        ("a b a", ["a", "b"]),
    ],
)
def test_the_words_of_a_query(query: str, found: list[str]) -> None:
    assert [word.decode() for word in words.query_words(query)] == found
    assert set(words.query_words(query)) <= set(words.words(query))


@given(st.text(st.characters(max_codepoint=127)))
def test_the_short_way_of_ascii_finds_what_the_long_one_does(text: str) -> None:
    marked = text + " é"  # not ASCII, so it takes the slow path
    assert [*words.words(text), b"e"] == list(words.words(marked))


@pytest.mark.parametrize(
    "text",
    ["a" + "\u0301\u0323" * 100_000, "word " * 200_000, "é" * 300_000, "茶" * 300_000],
    ids=["accents", "words", "letters", "signs"],
)
def test_no_text_takes_long(text: str) -> None:
    began = time.perf_counter()
    assert words.query_words(text)
    assert time.perf_counter() - began < 1


def test_a_long_text_has_the_words_of_its_parts() -> None:
    text = "Crème brûlée, and tea. " * 5_000
    assert words.count(text) == dict.fromkeys(words.words("Crème brûlée, and tea."), 5000)
