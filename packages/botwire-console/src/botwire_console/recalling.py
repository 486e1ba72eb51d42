"""Explains a recall: the score of each memory, and why one was left out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from botwire import operations as ops
from botwire import scopes
from botwire.clock import from_datetime
from botwire.errors import InvalidRequestError
from botwire.vectors import Vector

CANDIDATES = 50
"""The most memories whose scores are shown."""
DEFAULT_LIMIT = 8
"""The default limit of `memory.recall`."""


@dataclass(frozen=True)
class Question:
    """A recall that an agent makes.

    Attributes:
        query: The text; empty returns the newest memories.
        about: Only memories in this scope.
        tags: Only memories with one of these tags; None: all.
        since: Only memories created after this time.
        limit: The most memories to return.
        max_chars: The most characters of all texts together.
    """

    query: str
    about: str
    tags: tuple[str, ...] | None
    since: datetime | None
    limit: int
    max_chars: int | None

    @classmethod
    def of(cls, query: Mapping[str, str], limit: int | None, max_chars: int | None) -> Question:
        """Reads the parameters of an address."""
        tags = tuple([tag.strip() for tag in query.get("tags", "").split(",") if tag.strip()])
        return cls(
            query.get("q", ""),
            scopes.normalise(query.get("about", "")),
            tags or None,
            _time(query.get("since", "")),
            limit or DEFAULT_LIMIT,
            max_chars,
        )

    @property
    def where(self) -> ops.Selection:
        """The selection for these filters."""
        after = None if self.since is None else from_datetime(self.since)
        return ops.Selection(scope=self.about, tags=self.tags, created_after=after)

    def searches(self, collection: str, vector: Vector | None) -> dict[str, ops.SearchRecords]:
        """Returns the searches that score memories, unfiltered: ``both``, ``words``, ``vectors``.

        Args:
            collection: The collection.
            vector: The vector of the question.
        """
        text = self.query if self.query.strip() else None
        given = {"both": (vector, text), "words": (None, text), "vectors": (vector, None)}
        return {
            name: ops.SearchRecords(collection, vector, text, limit=CANDIDATES, embeddings=False)
            for name, (vector, text) in given.items()
            if vector is not None or text is not None
        }

    def left_out(self, record: ops.RecordEntry) -> str:
        """Returns which filter drops a memory, and why; empty if none does."""
        if not scopes.contains(self.about, record.scope):
            return f"about {record.scope}, not {self.about}"
        if self.tags is not None and not set(self.tags) & set(record.tags):
            has = ", ".join(record.tags) or "none"
            return f"has the tags {has}: not {' or '.join(self.tags)}"
        if self.since is not None and record.created_at <= from_datetime(self.since):
            return f"created before {self.since:%Y-%m-%d %H:%M} UTC"
        return ""


@dataclass(frozen=True)
class Candidate:
    """A memory with a score.

    Attributes:
        record: The memory.
        score: The score that ranks it.
        words: Its score by words alone; None if it contains none of them.
        vectors: Its score by vectors alone; None without an embedding or a given vector.
        verdict: Why the agent does not get it; empty if it does.
    """

    record: ops.RecordEntry
    score: float
    words: float | None
    vectors: float | None
    verdict: str


def judge(
    question: Question,
    found: Mapping[str, Sequence[ops.RecordMatch]],
    given: Sequence[str],
) -> list[Candidate]:
    """Returns the candidates for a question, the best first, each with its verdict.

    Args:
        question: The question.
        found: The matches of each of `Question.searches`.
        given: The ids of the memories that the agent gets.
    """
    scores = {name: {one.record.id: one.score for one in found[name]} for name in found}
    candidates = []
    left = question.max_chars
    rank = 0
    for match in found["both"]:
        record = match.record
        verdict = question.left_out(record)
        if not verdict:
            rank += 1
            if record.id in given:
                left = None if left is None else left - len(record.text)
            elif rank > question.limit:
                verdict = f"beyond the limit of {question.limit:,}"
            elif left is not None and len(record.text) > left:
                verdict = f"{len(record.text):,} characters, and {left:,} are left of max_chars"
            else:
                verdict = "changed while this was read"
        words, vectors = (scores.get(name, {}).get(record.id) for name in ("words", "vectors"))
        candidates.append(Candidate(record, match.score, words, vectors, verdict))
    return candidates


def read_vector(text: str) -> Vector | None:
    """Reads a vector as JSON; None if the text is empty."""
    if not text.strip():
        return None
    try:
        numbers = json.loads(text)
    except (ValueError, RecursionError):
        numbers = None
    is_vector = isinstance(numbers, list) and all(type(one) in (int, float) for one in numbers)
    if not numbers or not is_vector:
        raise InvalidRequestError("a vector is a JSON list of numbers, such as [0.1, -0.2]")
    return Vector.of(numbers)


def _time(text: str) -> datetime | None:
    if not text.strip():
        return None
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise InvalidRequestError(
            f"since must be a date like 2026-11-29 or an ISO time, not {text!r:.40}"
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
