"""Full-text search without a database's own: the words of a text, and how well they fit a query.

SQLite and PostgreSQL each have a full-text search that finds other texts and scores them
otherwise; with the words in a table of ours, every engine gives the same answers, a namespace's
scores do not depend on what is in another one, and scripts without spaces are searched as well.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator

from botwire import work
from botwire.names import to_bytes

MAX_QUERY_WORDS = 64
"""How many different words of a query count, the first ones."""

MAX_QUERY_CHARACTERS = 100_000
"""How much of a query's text counts, the beginning."""

_MAX_WORD_BYTES = 120
_PART = 10_000  # characters of a long text that are folded at a time, and more to the next space
_LONGEST_PART = 1_000_000  # where there is neither a space nor a sign
# What is no letter or digit and no space; accents that stand alone are such signs. Python sorts a
# run of them in time that is quadratic in its length, and nobody writes long ones.
_SIGNS = re.compile(r"([^\w\s]{64})[^\w\s]+")
_RUN = re.compile(r"[^\W_]+")
_SPACE = re.compile(r"\s")
_SIGN = re.compile(r"\W")
# Scripts that put no spaces between words: Thai to Khmer, kana, Han and its extensions.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff]+"
)
_K1 = 1.2
_B = 0.75


def words(text: str) -> Iterator[bytes]:
    """Yields the words of a text, without case and accents, repeated as they are in it.

    Where a script has no spaces, each two neighbouring characters are a word.
    """
    for part in _parts(text):
        if part.isascii():  # as most are: then this is all that the rest comes to
            for found in _RUN.finditer(part.lower()):
                yield found[0][:_MAX_WORD_BYTES].encode()
        else:
            yield from _folded(part)


def _parts(text: str) -> Iterator[str]:
    """Yields a text, a long one in parts that end between words: none takes long to fold."""
    if len(text) <= _PART:
        yield text
        return
    start = 0
    while start < len(text):
        work.look()
        at = start + _PART
        found = _SPACE.search(text, at, at + _PART) or _SIGN.search(text, at, at + _LONGEST_PART)
        end = at + _LONGEST_PART if found is None else found.start()
        yield text[start:end]
        start = end


def _folded(text: str) -> Iterator[bytes]:
    text = _SIGNS.sub(r"\1", text)
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    plain = "".join([c for c in folded if not unicodedata.combining(c)])
    for run in _RUN.findall(plain):
        start = 0
        for match in _UNSPACED.finditer(run):
            if match.start() > start:
                yield _clip(run[start : match.start()])
            part = match[0]
            for i in range(max(1, len(part) - 1)):
                yield _clip(part[i : i + 2])
            start = match.end()
        if start < len(run):
            yield _clip(run[start:])


def count(text: str) -> Counter[bytes]:
    """Returns how often each word is in a text."""
    return Counter(words(text))


def query_words(text: str) -> list[bytes]:
    """Returns the words to look for, each once, in order."""
    found: dict[bytes, None] = {}
    for word in words(text[:MAX_QUERY_CHARACTERS]):
        found[word] = None
        if len(found) == MAX_QUERY_WORDS:
            break
    return sorted(found)


def weight(holding: int, texts: int) -> float:
    """Returns how much a word says: the rarer, the more.

    Args:
        holding: How many texts hold it.
        texts: How many there are.
    """
    return math.log(1 + (texts - holding + 0.5) / (holding + 0.5))


def relevance(times: int, among: int, average: float) -> float:
    """Returns how much a text is about a word that is in it `times`, `among` so many words (BM25).

    Args:
        times: How often it is there.
        among: How many words the text has.
        average: How many words a text has on average.
    """
    return times * (_K1 + 1) / (times + _K1 * (1 - _B + _B * among / max(average, 1e-9)))


def normal(score: float) -> float:
    """Maps a score from 0 … ∞ to 0 … 1, in the same order."""
    return score / (1 + score)


def _clip(word: str) -> bytes:
    return to_bytes(word)[:_MAX_WORD_BYTES]
