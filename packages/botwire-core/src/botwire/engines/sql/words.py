"""Full-text search without the database's own: the words of a text, and their relevance.

The full-text searches of SQLite and PostgreSQL find different texts and score them differently.
With the words in a table of our own, every engine gives the same answers, a namespace's scores do
not depend on another namespace, and search also works in scripts without spaces.
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
"""The number of distinct words of a query that count; later ones are ignored."""

MAX_QUERY_CHARACTERS = 100_000
"""The number of characters of a query that count; the rest is ignored."""

_MAX_WORD_BYTES = 120
_PIECE = 10_000  # characters of a long text to fold at a time, extended to the next space
_LONGEST_PIECE = 1_000_000  # characters, if there is neither a space nor a sign
# Characters other than letters, digits and spaces; standalone accents are such signs. Python sorts
# a run of accents in quadratic time, and real texts have no long ones.
_SIGNS = re.compile(r"([^\w\s]{64})[^\w\s]+")
_RUN = re.compile(r"[^\W_]+")
_NAME = re.compile(r"(?<=[\w,;] )(?!I\b)[A-Z]\w*")
_SPACE = re.compile(r"\s")
_SIGN = re.compile(r"\W")
# Symbols that are words by themselves: signs, dingbats and emoji, but not skin tone modifiers.
_SYMBOL = (
    "[\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001f1e5\U0001f200-\U0001f3fa\U0001f400-\U0001faff]"
)
_PART = re.compile(f"(?P<symbol>{_SYMBOL})|(?P<flag>[\U0001f1e6-\U0001f1ff]+)|{_RUN.pattern}")
# Scripts without spaces between words (Thai to Khmer, kana, Han and its extensions), and Hangul,
# whose particles are attached to the words.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u11ff\u1780-\u17ff\u3040-\u30ff\u3130-\u318f\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff]+"
)
# Lower than usual for documents: memories are short, and repeating a word says little. Tuned on
# LoCoMo's questions; see `benchmarks/recall.py`.
_K1 = 0.4
_B = 0.1

HIGHEST = _K1 + 1
"""The most that `relevance` returns."""

OTHER_FORM = 0.85
"""The fraction of a word's score for a text that has only other forms of the word."""

BESIDE_A_VECTOR = 2.5
"""The weight of a text's words relative to its vector, whose weight is 1."""

_HALF = 20


def words(text: str) -> Iterator[bytes]:
    """Yields the words of a text, without case and accents, as often as they occur.

    In a script without spaces, each character is a word, and so is each pair of neighbours.
    """
    for part, is_unspaced in _parts(text):
        if is_unspaced:
            yield from (_clip(character) for character in part)
            yield from _pairs(part)
        else:
            yield _clip(part)


def count(text: str) -> Counter[bytes]:
    """Returns how often each word occurs in a text."""
    return Counter(words(text))


def query_words(text: str) -> list[bytes]:
    """Returns the distinct words of a query, sorted.

    In a script without spaces, these are the pairs of neighbours: a text with all of the pairs
    nearly always has the whole phrase. A single character is a word by itself.
    """
    found: dict[bytes, None] = {}
    for part, is_unspaced in _parts(text[:MAX_QUERY_CHARACTERS]):
        for word in _pairs(part) if is_unspaced and len(part) > 1 else (_clip(part),):
            found[word] = None
            if len(found) == MAX_QUERY_WORDS:
                return sorted(found)
    return sorted(found)


def names(text: str) -> set[bytes]:
    """Returns the words of a query that are capitalized like names, within a sentence."""
    text = text[:MAX_QUERY_CHARACTERS]
    if text.isupper():
        return set()
    return {word for match in _NAME.finditer(text) for word in words(match[0])}


def _parts(text: str) -> Iterator[tuple[str, bool]]:
    """Yields words and runs of scripts without spaces, each with whether it is such a run."""
    for piece in _pieces(text):
        if piece.isascii():  # the usual case; folding ASCII does no more than this
            for match in _RUN.finditer(piece.lower()):
                yield match[0], False
        else:
            yield from _folded(piece)


def _pieces(text: str) -> Iterator[str]:
    """Yields a text, split between words if it is long, so that no piece takes long to fold."""
    if len(text) <= _PIECE:
        yield text
        return
    start = 0
    while start < len(text):
        work.look()
        at = start + _PIECE
        found = _SPACE.search(text, at, at + _PIECE) or _SIGN.search(text, at, at + _LONGEST_PIECE)
        end = at + _LONGEST_PIECE if found is None else found.start()
        yield text[start:end]
        start = end


def _folded(text: str) -> Iterator[tuple[str, bool]]:
    text = _SIGNS.sub(r"\1", text)
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    plain = "".join([c for c in folded if not unicodedata.combining(c)])
    # NFC recomposes Hangul syllables.
    for match in _PART.finditer(unicodedata.normalize("NFC", plain)):
        run = match[0]
        if match.lastgroup is not None:
            yield run, match.lastgroup == "flag"  # a flag is a pair of letters
            continue
        start = 0
        for inner in _UNSPACED.finditer(run):
            if inner.start() > start:
                yield run[start : inner.start()], False
            yield inner[0], True
            start = inner.end()
        if start < len(run):
            yield run[start:], False


def _pairs(part: str) -> Iterator[bytes]:
    for i in range(len(part) - 1):
        yield _clip(part[i : i + 2])


def weight(holding: int, texts: int) -> float:
    """Returns the weight of a word, which is larger for rarer words.

    Args:
        holding: How many texts hold the word.
        texts: How many texts there are.
    """
    return math.log(1 + (texts - holding + 0.5) / (holding + 0.5))


def relevance(times: int, among: int, average: float) -> float:
    """Returns how relevant a text is to one of its words, by BM25.

    Args:
        times: How often the word occurs in the text.
        among: How many words the text has.
        average: How many words a text has on average.
    """
    return times * (_K1 + 1) / (times + _K1 * (1 - _B + _B * among / max(average, 1e-9)))


def normal(total: float) -> float:
    """Maps a BM25 sum from 0 … ∞ to 0 … 1, in the same order."""
    return total / (1 + total)


def normal_beside_a_vector(total: float) -> float:
    """Maps a BM25 sum from 0 … ∞ to 0 … 1, nearly evenly: cosines do not crowd near 1 either."""
    return total / (_HALF + total)


def _clip(word: str) -> bytes:
    return to_bytes(word)[:_MAX_WORD_BYTES]
