"""The other forms of a query's words, by language, which a search also finds.

None of this is stored. The index holds words as they are written, and a search looks up the forms
of a word among the words of the collection. So a new stemmer release, another language or another
list of stop words changes no store, and exact words are always found.

The language is the query's. Its script determines it, or for Latin letters its function words; a
query without function words counts as English.
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
_SHORTEST = 3  # letters of the shortest word that has other forms
_LONGEST_SUFFIX = 7
_local = threading.local()  # a stemmer has state


class Wanted(NamedTuple):
    """A word of a query, and how to find its other forms.

    Attributes:
        word: The word, as the index has it.
        language: The language whose stemmer recognises its forms; None if it has no other forms.
        begins: The prefix of its forms.
        forms: The forms that begin with another prefix.
    """

    word: str
    language: str | None = None
    begins: str = ""
    forms: Sequence[str] = ()

    def may_be(self, word: str) -> bool:
        """Returns whether a word with the prefix `begins` may be another form of this one."""
        return word != self.word and len(word) <= len(self.begins) + _LONGEST_SUFFIX

    def is_form(self, word: str) -> bool:
        """Returns whether a word has the same stem."""
        assert self.language is not None
        return stem(self.language, word) == stem(self.language, self.word)


def plan(words: Sequence[str], names: Iterable[str] = ()) -> list[Wanted]:
    """Returns what to look for, given the distinct words of a query.

    Leaves out stop words unless the query has no other words.

    Args:
        words: The words, as the index has them.
        names: The words written like names, which are never stop words.
    """
    latin = _guess(words)
    stops = STOP_WORDS[latin] | STOP_WORDS["russian"]
    kept = set(names)
    content = [word for word in words if word not in stops or word in kept]
    return [_wanted(word, latin) for word in content or words]


def _guess(words: Iterable[str]) -> str:
    """Returns the language of words in Latin letters: the one with most of them as stop words.

    English wins any tie it is part of; otherwise the language listed first wins.
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
    """Returns the stem of a word, which must be folded as in the index."""
    stemmers: dict[str, Any] = _local.__dict__
    if language not in stemmers:
        # Imports 36 languages, so the first text search imports it, not `import botwire`.
        import snowballstemmer  # type: ignore[import-untyped]  # noqa: PLC0415 - see above

        known = language in snowballstemmer.algorithms()  # PyStemmer's, if it is installed
        stemmers[language] = snowballstemmer.stemmer(language) if known else None
    stemmer = stemmers[language]
    return word if stemmer is None else str(stemmer.stemWord(word))
