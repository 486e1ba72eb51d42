"""What a write reads before it takes the lock, so that it holds the lock only to write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from botwire.errors import BotWireError

MAX_UNPLANNED = 20_000
"""Bytes of text whose words a write may count while it holds the lock (about 20 ms)."""
MAX_CHANGED = 1_000
"""Records changed since the plan that a write may examine while it holds the lock."""


class UnplannedError(BotWireError):
    """The write would hold the lock for long: the engine makes a new plan and retries."""


class SelectedRecord(NamedTuple):
    """A record of a selection, without its text."""

    id: bytes
    created_at: int
    tags: str


class Selected(NamedTuple):
    """The records that a selection held at a revision of its collection.

    Attributes:
        revision: The collection's revision.
        found: The records, newest first.
        is_whole: Whether these are all of them.
    """

    revision: int
    found: list[SelectedRecord]
    is_whole: bool = True


class Reindexing(NamedTuple):
    """The rows of the index of words to change because texts were replaced; see `word_index`.

    All rows are in the order of the index.

    Attributes:
        old: The texts that the index contains, by the ids of their records.
        new: The texts that it should contain.
        removed: The word and the id of each row to remove.
        changed: The word and the id of each row to overwrite.
        written: The rows to add or overwrite.
        growth: How many more words the texts then have.
    """

    old: Mapping[bytes, bytes]
    new: Mapping[bytes, bytes]
    removed: Sequence[tuple[bytes, bytes]]
    changed: Sequence[tuple[bytes, bytes]]
    written: Sequence[WordRow]
    growth: int


WordRow = tuple[bytes, bytes, int, int]
"""A row of the index of words: the word, the record's id, how often, and among how many words."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What was read ahead for a batch that writes.

    Attributes:
        counts: Texts, each with how often each of its words occurs.
        selections: What each operation selects, by the operation's `id`.
        words: What an operation changes in the index of words, by the operation's `id`.
        is_last: Whether the write must use this plan, however long it then holds the lock.
    """

    counts: Mapping[bytes, Counter[bytes]] = field(default_factory=dict)
    selections: Mapping[int, Selected] = field(default_factory=dict)
    words: Mapping[int, Reindexing] = field(default_factory=dict)
    is_last: bool = False


NO_PLAN = Plan()
"""The plan of a batch that probably needs no planning."""
