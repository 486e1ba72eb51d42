"""The words that a query means beside those it has: other forms of the same word, by language.

Nothing of this is stored. The index holds words as they are written, and a search looks up the
forms of a word among those that the collection has. So another release of the stemmer, another
language or another list of stop words changes no store, and exact words are always found.

The language is that of the query: the script tells it, or for Latin letters the function words; a
query without any is taken as English.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from botwire.engines.sql.stop_words import IRREGULAR, STOP_WORDS

DEFAULT = "english"

_SCRIPTS = (
    ("russian", re.compile("[\u0400-\u04ff]")),
    ("greek", re.compile("[\u0370-\u03ff]")),
    ("arabic", re.compile("[\u0600-\u06ff]")),
    ("armenian", re.compile("[\u0530-\u058f]")),
)
_LATIN = re.compile("[a-z]+")
_SHORTEST = 3  # letters of a word that has other forms
_LONGEST_SUFFIX = 7
_local = threading.local()  # a stemmer has state


class Wanted(NamedTuple):
    """A word of a query, and how its other forms are found.

    Attributes:
        word: The word, as the index has it.
        language: The language whose stemmer tells its forms; None if it has no others.
        begins: What its forms begin with.
        forms: Forms that begin otherwise.
    """

    word: str
    language: str | None = None
    begins: str = ""
    forms: Sequence[str] = ()

    def may_be(self, word: str) -> bool:
        """Returns whether a word that `begins` so is another one, and short enough to be a form."""
        return word != self.word and len(word) <= len(self.begins) + _LONGEST_SUFFIX

    def is_form(self, word: str) -> bool:
        """Returns whether a word has the same stem."""
        assert self.language is not None
        return stem(self.language, word) == stem(self.language, self.word)


def plan(words: Sequence[str], names: Iterable[str] = ()) -> list[Wanted]:
    """Returns what to look for, given the different words of a query.

    Stop words are left out unless there is nothing else.

    Args:
        words: The words, as the index has them.
        names: Those that are written as names are: they are never stop words.
    """
    latin = _guess(words)
    stops = STOP_WORDS[latin] | STOP_WORDS["russian"]
    kept = set(names)
    content = [word for word in words if word not in stops or word in kept]
    return [_wanted(word, latin) for word in content or words]


def _guess(words: Iterable[str]) -> str:
    """Returns the language of words in Latin letters: the one that has most of them as stop words.

    A tie is English if English has a part in it, else the language that is listed first.
    """
    found = set(words)
    counts = {language: len(found & stops) for language, stops in STOP_WORDS.items()}
    return max(counts, key=lambda language: counts[language])


def _wanted(word: str, latin: str) -> Wanted:
    language = _language(word, latin)
    if language is None or len(word) < _SHORTEST:
        return Wanted(word)
    stemmed = stem(language, word)
    begins = stemmed[:-1] if len(stemmed) > 2 else stemmed
    forms = IRREGULAR.get(word, ()) if language == DEFAULT else ()
    return Wanted(word, language, begins, [form for form in forms if form != word])


def _language(word: str, latin: str) -> str | None:
    if _LATIN.fullmatch(word):
        return latin
    for language, letters in _SCRIPTS:
        if letters.match(word):
            return language
    return None  # a number, an identifier, or a script whose words have no suffixes


@lru_cache(maxsize=100_000)
def stem(language: str, word: str) -> str:
    """Returns the stem of a word that is folded as the index's words are."""
    stemmers: dict[str, Any] = _local.__dict__
    if language not in stemmers:
        # Imports 36 languages: for the first search by text, not with botwire.
        import snowballstemmer  # type: ignore[import-untyped]  # noqa: PLC0415 - see above

        known = language in snowballstemmer.algorithms()  # of PyStemmer, where it is installed
        stemmers[language] = snowballstemmer.stemmer(language) if known else None
    stemmer = stemmers[language]
    return word if stemmer is None else str(stemmer.stemWord(word))
