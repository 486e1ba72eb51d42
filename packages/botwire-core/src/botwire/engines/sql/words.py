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
_PIECE = 10_000  # characters of a long text that are folded at a time, and more to the next space
_LONGEST_PIECE = 1_000_000  # where there is neither a space nor a sign
# What is no letter or digit and no space; accents that stand alone are such signs. Python sorts a
# run of them in time that is quadratic in its length, and nobody writes long ones.
_SIGNS = re.compile(r"([^\w\s]{64})[^\w\s]+")
_RUN = re.compile(r"[^\W_]+")
_NAME = re.compile(r"(?<=[\w,;] )(?!I\b)[A-Z]\w*")
_SPACE = re.compile(r"\s")
_SIGN = re.compile(r"\W")
# Symbols that stand for themselves: signs, dingbats, emoji, but not the colours of their skins.
_SYMBOL = (
    "[\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001f1e5\U0001f200-\U0001f3fa\U0001f400-\U0001faff]"
)
_PART = re.compile(f"(?P<symbol>{_SYMBOL})|(?P<flag>[\U0001f1e6-\U0001f1ff]+)|{_RUN.pattern}")
# Scripts that put no spaces between words, Thai to Khmer, kana, Han and its extensions; and Hangul,
# whose words carry their particles.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u11ff\u1780-\u17ff\u3040-\u30ff\u3130-\u318f\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff]+"
)
# Lower than for documents: memories are short, and a word that is there twice says little more.
# Chosen on LoCoMo's questions; see `benchmarks/recall.py`.
_K1 = 0.4
_B = 0.1

HIGHEST = _K1 + 1
"""What `relevance` comes to at most."""

OTHER_FORM = 0.85
"""The part of a word's score that a text gets that only has other forms of it."""

BESIDE_A_VECTOR = 2.5
"""How much the words of a text count where its vector counts 1."""

_HALF = 20


def words(text: str) -> Iterator[bytes]:
    """Yields the words of a text, without case and accents, repeated as they are in it.

    Where a script has no spaces, each character is a word, and each two neighbours are one.
    """
    for part, is_unspaced in _parts(text):
        if is_unspaced:
            yield from (_clip(character) for character in part)
            yield from _pairs(part)
        else:
            yield _clip(part)


def count(text: str) -> Counter[bytes]:
    """Returns how often each word is in a text."""
    return Counter(words(text))


def query_words(text: str) -> list[bytes]:
    """Returns the words of a query, each once, in order.

    Where a script has no spaces, those are the pairs of neighbours: what has them all has nearly
    always the whole. A single character is looked for as such.
    """
    found: dict[bytes, None] = {}
    for part, is_unspaced in _parts(text[:MAX_QUERY_CHARACTERS]):
        for word in _pairs(part) if is_unspaced and len(part) > 1 else (_clip(part),):
            found[word] = None
            if len(found) == MAX_QUERY_WORDS:
                return sorted(found)
    return sorted(found)


def names(text: str) -> set[bytes]:
    """Returns the words of a query that are capitalized as names are, within a sentence."""
    text = text[:MAX_QUERY_CHARACTERS]
    if text.isupper():
        return set()
    return {word for match in _NAME.finditer(text) for word in words(match[0])}


def _parts(text: str) -> Iterator[tuple[str, bool]]:
    """Yields words, and runs of a script without spaces, with whether it is one."""
    for piece in _pieces(text):
        if piece.isascii():  # as most are: then this is all that the rest comes to
            for match in _RUN.finditer(piece.lower()):
                yield match[0], False
        else:
            yield from _folded(piece)


def _pieces(text: str) -> Iterator[str]:
    """Yields a text, a long one in pieces that end between words: none takes long to fold."""
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
    # NFC puts the syllables of Hangul together again.
    for match in _PART.finditer(unicodedata.normalize("NFC", plain)):
        run = match[0]
        if match.lastgroup is not None:
            yield run, match.lastgroup == "flag"  # which is two letters
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


def normal(total: float) -> float:
    """Maps a sum of BM25 from 0 … ∞ to 0 … 1, in the same order."""
    return total / (1 + total)


def normal_beside_a_vector(total: float) -> float:
    """Maps a sum of BM25 from 0 … ∞ to 0 … 1, nearly evenly: cosines do not crowd near 1 either."""
    return total / (_HALF + total)


def _clip(word: str) -> bytes:
    return to_bytes(word)[:_MAX_WORD_BYTES]
