"""Searching records by text: the best by BM25, without reading records that cannot win.

A word of a query stands for all of its forms that the collection has (`languages`). Together they
are one *term*, counted as if they were a single word.

A common term says little, and its list of records is long. Once the rarer terms have given enough
records a higher score than the common terms can give any other record, the search looks up the
common terms only for the records that may still win (MaxScore; Turtle and Flood, "Query evaluation:
strategies and optimizations", Information Processing & Management 31(6), 1995).
"""

from __future__ import annotations

import heapq
from collections.abc import Collection as Sized
from collections.abc import Iterable, Sequence

from botwire import work
from botwire.engines.sql import languages, words
from botwire.engines.sql.collection import Collection
from botwire.engines.sql.steps import WAIT, Context, Rows, Statement, Steps, chunks, marks
from botwire.engines.sql.tables import IN_COLLECTION
from botwire.names import prefix_end

Ranked = list[tuple[bytes, float]]
"""Ids of records, with their sums or scores."""

Term = tuple[bytes, ...]
"""A word of a query and its other forms."""

_FEW = 2_000  # in smaller collections, counting the words first does not pay off
_SLACK = 1e-9  # more than the order of adding can change a sum
_MOST_WORDS = 1_000  # words with the same prefix to read when looking for forms
_MOST_STEMMED = 200  # of these, the number of shortest words to stem

# Steps from each word to the next one through the primary key: DISTINCT would read all their rows.
_NEXT = f"SELECT word FROM botwire_words WHERE {IN_COLLECTION} AND word {{}} AND word < ?"
_BEGINNING = (
    f"WITH RECURSIVE found(word) AS (SELECT ({_NEXT.format('>= ?')} ORDER BY word LIMIT 1) "
    f"UNION ALL SELECT ({_NEXT.format('> found.word')} ORDER BY word LIMIT 1) "
    "FROM found WHERE found.word IS NOT NULL) "
    "SELECT word FROM found WHERE word IS NOT NULL LIMIT ?"
)


def by_text(context: Context, collection: Collection, text: str, best: int | None) -> Steps[Ranked]:
    """Returns the BM25 sums of records that hold a word of the text, in no order.

    Args:
        context: The batch's context.
        collection: The collection to search.
        text: The text to search for.
        best: How many of the best records the answer must include; None means all.
    """
    terms: list[Term] = yield from _terms(context, collection, text)
    search = _Search(context, collection, terms)
    if best is None or collection.size <= _FEW or len(terms) == 1:
        yield from search.read(terms)  # in the query's order, so the sums are the scores
        return list(search.sums.items())
    yield from search.count()
    bounds = {term: search.bound(term) for term in terms if search.holding(term)}
    order = sorted(bounds, key=lambda term: -bounds[term])
    rest = sum(bounds.values())
    for i, term in enumerate(order):
        threshold = _nth(search.sums.values(), best)
        if rest < threshold * (1 - _SLACK):
            return search.scores((yield from search.finish(order[i:], bounds, best)))
        yield from search.read([term])
        rest = sum(bounds[later] for later in order[i + 1 :])
    return search.scores(search.sums)


def _terms(context: Context, collection: Collection, text: str) -> Steps[list[Term]]:
    """Returns the terms to look for, in the order of their words."""
    asked = [_decode(word) for word in words.query_words(text)]
    names = [_decode(word) for word in words.names(text)]
    found: list[tuple[languages.Wanted, Rows]] = []
    for wanted in languages.plan(asked, names):
        rows: Rows = []
        if wanted.language is not None:
            low = _encode(wanted.begins)
            here = (context.namespace, collection.name)
            end = prefix_end(low)
            yield Statement(
                _BEGINNING, (*here, low, end, *here, end, _MOST_WORDS), then=rows.extend
            )
        found.append((wanted, rows))
    yield WAIT
    terms: dict[frozenset[bytes], Term] = {}  # "drink" and "drinks" in one query are one term
    for wanted, rows in found:
        forms = {*wanted.forms, *_forms(wanted, [_decode(row[0]) for row in rows])}
        term = (_encode(wanted.word), *sorted(map(_encode, forms)))
        terms.setdefault(frozenset(term), term)
    return list(terms.values())


def _forms(wanted: languages.Wanted, known: Iterable[str]) -> list[str]:
    """Returns the forms of a word among those that the collection has."""
    shortest = sorted((word for word in known if wanted.may_be(word)), key=lambda w: (len(w), w))
    forms = []
    for word in shortest[:_MOST_STEMMED]:
        work.look()
        if wanted.is_form(word):
            forms.append(word)
    return forms


def _decode(word: bytes) -> str:
    return word.decode("utf-8", "surrogateescape")  # a long word may be cut inside a character


def _encode(word: str) -> bytes:
    return word.encode("utf-8", "surrogateescape")


class _Search:
    """What a search has read so far about the terms of a query.

    Attributes:
        query: The terms, in the order in which their scores are added up, so that a record's score
            is always the same to the last digit.
        sums: What the terms read so far give each record, added up in the order of reading.
    """

    def __init__(self, context: Context, collection: Collection, query: Sequence[Term]) -> None:
        self._context = context
        self._collection = collection
        self._average = collection.words / collection.size
        self._parts: dict[Term, dict[bytes, float]] = {}
        self._counts: dict[bytes, int] = {}
        self.query = query
        self.sums: dict[bytes, float] = {}

    def count(self) -> Steps[None]:
        """Counts how many records hold each word."""
        for word in {word for term in self.query for word in term}:

            def keep(rows: Rows, word: bytes = word) -> None:
                self._counts[word] = rows[0][0]

            yield Statement(
                f"SELECT count(*) FROM botwire_words WHERE {IN_COLLECTION} AND word = ?",
                (self._context.namespace, self._collection.name, word),
                then=keep,
            )
        yield WAIT

    def holding(self, term: Term) -> int:
        """Returns how many records hold a form of a term; a record with two forms counts twice."""
        return sum(self._counts[word] for word in term)

    def _weight(self, term: Term) -> float:
        size = self._collection.size
        return words.weight(min(self.holding(term), size), size)

    def bound(self, term: Term) -> float:
        """Returns the highest score that a term can give a record."""
        return self._weight(term) * words.HIGHEST

    def read(self, some: Iterable[Term], among: Sized[bytes] | None = None) -> Steps[None]:
        """Reads which records hold these terms, among all records or some."""
        found: list[tuple[Term, list[Rows]]] = []
        for term in some:
            lists: list[Rows] = [[] for _ in term]
            for word, rows in zip(term, lists, strict=True):
                here = (self._context.namespace, self._collection.name, word)
                sql = (
                    f"SELECT id, times, among FROM botwire_words WHERE {IN_COLLECTION} AND word = ?"
                )
                if among is None:
                    yield Statement(sql, here, then=rows.extend)
                else:
                    for ids in chunks(list(among)):
                        yield Statement(
                            f"{sql} AND id IN ({marks(ids)})", (*here, *ids), then=rows.extend
                        )
            found.append((term, lists))
        yield WAIT
        for term, lists in found:
            work.look()
            for word, rows in zip(term, lists, strict=True):
                self._counts.setdefault(word, len(rows))
            self._add(term, lists)

    def _add(self, term: Term, lists: Sequence[Rows]) -> None:
        weight = self._weight(term)
        exact, *others = lists
        form: dict[bytes, tuple[int, int]] = {}
        for rows in others:
            for id, times, among in rows:
                form[id] = (times + form.get(id, (0, 0))[0], among)
        # Texts have few lengths, and a word is in them once or twice.
        known: dict[tuple[int, int], float] = {}
        part: dict[bytes, float] = {}
        for id, times, among in exact:
            total = times + form.pop(id)[0] if id in form else times
            score = known.get((total, among))
            if score is None:
                score = weight * words.relevance(total, among, self._average)
                known[total, among] = score
            part[id] = score
        for id, (times, among) in form.items():
            score = known.get((times, among))
            if score is None:
                score = weight * words.relevance(times, among, self._average)
                known[times, among] = score
            part[id] = score * words.OTHER_FORM
        sums = self.sums
        for id, score in part.items():
            sums[id] = sums.get(id, 0.0) + score
        self._parts[term] = part

    def finish(
        self, left: Sequence[Term], bounds: dict[Term, float], best: int
    ) -> Steps[Sized[bytes]]:
        """Reads the remaining terms for the records that may win; returns these records.

        Args:
            left: The remaining terms. A record that has no other terms cannot win.
            bounds: The highest score that each term can give a record.
            best: The number of records that win.
        """
        winning: Sized[bytes] = self.sums
        for i, term in enumerate(left):
            rest = sum(bounds[later] for later in left[i:])
            needed = _nth([self.sums[id] for id in winning], best) * (1 - _SLACK) - rest
            winning = [id for id in winning if self.sums[id] >= needed]
            many = len(winning) > self.holding(term) / 4
            yield from self.read([term], None if many else winning)
        return winning

    def scores(self, ids: Iterable[bytes]) -> Ranked:
        """Returns the scores of records, each added up in the order of the query."""
        totals = dict.fromkeys(ids, 0.0)
        for term in self.query:
            part = self._parts.get(term, {})
            for id in totals:
                if id in part:
                    totals[id] += part[id]
        return list(totals.items())


def _nth(values: Sized[float], n: int) -> float:
    """Returns the n-th largest value, or 0 if there are fewer values."""
    return 0.0 if len(values) < n else heapq.nlargest(n, values)[-1]
