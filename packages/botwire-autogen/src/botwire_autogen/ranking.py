"""Which memories share most words with a question."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from botwire import Item

_WORD = re.compile(r"\w+")


def best(items: Sequence[Item], question: str, k: int) -> list[Item]:
    """Returns the `k` items with the highest score, in their own order; none of score 0.

    A shared word counts more the fewer items hold it (inverse document frequency, as in BM25).
    """
    asked = _words(question)
    texts = [_words(_text(item.value)) for item in items]
    holders = Counter(word for words in texts for word in words & asked)
    weight = {word: math.log(1 + len(items) / count) for word, count in holders.items()}
    scored = [
        (sum(weight[word] for word in words & asked), index) for index, words in enumerate(texts)
    ]
    # Of equal scores the newer is the better.
    chosen = sorted(scored, reverse=True)[:k]
    return [items[index] for index in sorted(index for score, index in chosen if score > 0)]


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))


def _text(value: Any) -> str:
    text = value.get("text") if isinstance(value, dict) else None
    return text if isinstance(text, str) else ""
