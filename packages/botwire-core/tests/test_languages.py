"""Which words of a query are searched for, in which language, and their forms."""

from __future__ import annotations

import sys
import threading

import pytest
import snowballstemmer  # type: ignore[import-untyped]

from botwire.engines.sql import languages, words
from botwire.engines.sql.stop_words import IRREGULAR, STOP_WORDS


def plan(query: str) -> list[languages.Wanted]:
    found = [word.decode() for word in words.query_words(query)]
    return languages.plan(found, [name.decode() for name in words.names(query)])


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("Where does Ada drink her tea?", ["ada", "drink", "tea"]),
        ("Where is he?", ["he", "is", "where"]),  # nothing else is there
        ("What did Will say?", ["say", "will"]),  # a name
        ("the IT department", ["department", "it"]),
        ("WHERE IS MY TEA", ["tea"]),
        ("Wo trinkt die Katze ihre Milch?", ["katze", "milch", "trinkt"]),
        ("¿Dónde está el gato?", ["gato"]),
        ("Où est le chat de Marie ?", ["chat", "marie"]),
        ("Где мои книги?", ["книги"]),
        ("我喜欢茶", ["喜欢", "我喜", "欢茶"]),
        ("is order-4711 late", ["4711", "late", "order"]),
        ("", []),
    ],
)
def test_stop_words_are_left_out(query: str, wanted: list[str]) -> None:
    assert [one.word for one in plan(query)] == wanted


@pytest.mark.parametrize(
    ("query", "language"),
    [
        ("dogs", "english"),
        ("was it a dog", "english"),
        ("die Hunde und der Tee", "german"),
        ("les chiens et le chat", "french"),
        ("собаки", "russian"),
        ("γάτες", "greek"),
        ("القطط", "arabic"),
        ("x86", None),
        ("4711", None),
        ("茶", None),
        ("tv", None),
    ],
)
def test_the_query_tells_its_language(query: str, language: str | None) -> None:
    assert {one.language for one in plan(query)} == {language}


@pytest.mark.parametrize(
    ("query", "word", "same"),
    [
        ("drinks", "drinking", True),
        ("happy", "happiness", True),
        ("use", "using", True),
        ("dying", "dies", True),
        ("القطط", "قطط", True),
        ("studies", "student", False),
        ("die Hunde", "hund", True),
        ("les chiens", "chien", True),
        ("книги", "книга", True),
    ],
)
def test_forms_have_one_stem(query: str, word: str, same: bool) -> None:
    wanted = plan(query)[-1]
    assert word.startswith(wanted.begins)
    assert wanted.may_be(word)
    assert wanted.is_form(word) is same


def test_irregular_forms_are_known() -> None:
    (wanted,) = plan("went")
    assert sorted(wanted.forms) == ["go", "goes", "gone"]
    assert all(form in group for form, group in IRREGULAR.items())


def test_stop_words_are_written_as_the_index_has_them() -> None:
    for language, stops in STOP_WORDS.items():
        assert language in snowballstemmer.algorithms()
        assert {word.decode() for stop in stops for word in words.words(stop)} == stops


def test_threads_stem_at_once() -> None:
    languages.stem.cache_clear()
    many = [f"walk{a}{b}ing" for a in "abcdefgh" for b in "abcdefgh"]
    wanted = [snowballstemmer.stemmer("english").stemWord(word) for word in many]
    found: list[list[str]] = []
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        run = [
            threading.Thread(
                target=lambda: found.append(
                    [languages.stem.__wrapped__("english", word) for word in many]
                )
            )
            for _ in range(4)
        ]
        for thread in run:
            thread.start()
        for thread in run:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert found == [wanted] * 4
