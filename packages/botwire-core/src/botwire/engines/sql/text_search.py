"""The search of records by their text: the best by BM25, without reading what cannot be among them.

A common word says little, and its list of records is long. Once the rarer words of a query have
given enough records a higher score than the common ones can give any other, the common words are
looked up only for the records that may still win (MaxScore; Turtle and Flood, "Query evaluation:
strategies and optimizations", Information Processing & Management 31(6), 1995).
"""

from __future__ import annotations

import heapq
from collections.abc import Collection as Sized
from collections.abc import Iterable, Sequence

from botwire import work
from botwire.engines.sql import words
from botwire.engines.sql.collection import HERE as _HERE
from botwire.engines.sql.collection import Collection
from botwire.engines.sql.steps import WAIT, Context, Rows, Statement, Steps, chunks, marks

Ranked = list[tuple[bytes, float]]
"""Ids of records with their scores."""

_FEW = 2_000  # records of a collection whose words are not worth counting first
_SLACK = 1e-9  # what sums in another order may differ by, and more


def by_text(context: Context, collection: Collection, text: str, best: int | None) -> Steps[Ranked]:
    """Answers the scores of the records that hold a word of the text, in no order.

    Args:
        context: The batch's.
        collection: Where to search.
        text: What to search for.
        best: How many of the best there must be among them; None: all.
    """
    search = _Search(context, collection, words.query_words(text))
    if best is None or collection.size <= _FEW or len(search.query) == 1:
        yield from search.read(search.query)  # in their order: the sums are the scores
        return [(id, words.normal(total)) for id, total in search.sums.items()]
    counts = yield from search.count()
    bounds = {word: search.bound(count) for word, count in counts.items()}
    order = sorted(bounds, key=lambda word: -bounds[word])
    rest = sum(bounds.values())
    for i, word in enumerate(order):
        threshold = _nth(search.sums.values(), best)
        if rest < threshold * (1 - _SLACK):
            return search.scores((yield from search.finish(order[i:], bounds, best)))
        yield from search.read([word])
        rest = sum(bounds[later] for later in order[i + 1 :])
    return search.scores(search.sums)


class _Search:
    """What was read of the words of a query.

    Attributes:
        query: The words, in the order in which their parts of a score are added up: a record's
            score is the same to the last digit, however much else was read.
        sums: What the words that were read give each record, added in the order they were read.
    """

    def __init__(self, context: Context, collection: Collection, query: Sequence[bytes]) -> None:
        self._scope = context
        self._collection = collection
        self._average = collection.words / collection.size
        self._parts: dict[bytes, tuple[dict[tuple[int, int], float], Rows]] = {}
        self._counts: dict[bytes, int] = {}
        self.query = query
        self.sums: dict[bytes, float] = {}

    def count(self) -> Steps[dict[bytes, int]]:
        """Answers how many records hold each word that any does."""
        for word in self.query:

            def keep(rows: Rows, word: bytes = word) -> None:
                if rows[0][0]:
                    self._counts[word] = rows[0][0]

            yield Statement(
                f"SELECT count(*) FROM botwire_words WHERE {_HERE} AND word = ?",
                (self._scope.namespace, self._collection.name, word),
                then=keep,
            )
        yield WAIT
        return self._counts

    def bound(self, holding: int) -> float:
        """Returns what a word gives a record at most, which `holding` records hold."""
        return words.weight(holding, self._collection.size) * words.HIGHEST

    def read(self, some: Iterable[bytes], among: Sized[bytes] | None = None) -> Steps[None]:
        """Reads who holds these words, of all records or of some."""
        found: list[tuple[bytes, Rows]] = []
        for word in some:
            rows: Rows = []
            here = (self._scope.namespace, self._collection.name, word)
            sql = f"SELECT id, times, among FROM botwire_words WHERE {_HERE} AND word = ?"
            if among is None:
                yield Statement(sql, here, then=rows.extend)
            else:
                for ids in chunks(list(among)):
                    yield Statement(
                        f"{sql} AND id IN ({marks(ids)})", (*here, *ids), then=rows.extend
                    )
            found.append((word, rows))
        yield WAIT
        for word, rows in found:
            work.look()
            self._add(word, rows)

    def _add(self, word: bytes, rows: Rows) -> None:
        weight = words.weight(self._counts.get(word, len(rows)), self._collection.size)
        # Texts have few lengths, and a word is in them once or twice.
        known: dict[tuple[int, int], float] = {}
        sums = self.sums
        for id, times, among in rows:
            score = known.get((times, among))
            if score is None:
                score = weight * words.relevance(times, among, self._average)
                known[times, among] = score
            sums[id] = sums.get(id, 0.0) + score
        self._parts[word] = known, rows

    def finish(
        self, left: Sequence[bytes], bounds: dict[bytes, float], best: int
    ) -> Steps[Sized[bytes]]:
        """Reads the words that are left for the records that may win, and answers which these are.

        Args:
            left: The words, none of which can make a record win that has no other.
            bounds: What each word gives at most.
            best: How many win.
        """
        winning: Sized[bytes] = self.sums
        for i, word in enumerate(left):
            rest = sum(bounds[later] for later in left[i:])
            needed = _nth([self.sums[id] for id in winning], best) * (1 - _SLACK) - rest
            winning = [id for id in winning if self.sums[id] >= needed]
            many = len(winning) > self._counts[word] / 4
            yield from self.read([word], None if many else winning)
        return winning

    def scores(self, ids: Iterable[bytes]) -> Ranked:
        """Returns the scores of records, from 0 to 1."""
        totals = dict.fromkeys(ids, 0.0)
        for word in self.query:
            known, rows = self._parts.get(word, ({}, ()))
            for id, times, among in rows:
                if id in totals:
                    totals[id] += known[times, among]
        return [(id, words.normal(total)) for id, total in totals.items()]


def _nth(values: Sized[float], n: int) -> float:
    """Returns the n-th largest of some values, 0 if there are fewer."""
    return 0.0 if len(values) < n else heapq.nlargest(n, values)[-1]
