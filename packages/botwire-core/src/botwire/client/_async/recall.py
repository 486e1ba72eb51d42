"""What `AsyncMemory.remember` and `AsyncMemory.recall` do with the records of a collection."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from botwire import operations as ops
from botwire import scopes
from botwire.client._async.records import AsyncRecords
from botwire.errors import ConfigurationError
from botwire.models import Match, Recall, Record


async def remember(
    records: AsyncRecords,
    text: str,
    about: str,
    tags: Iterable[str],
    id: str | None,
    ttl: float | None,
) -> str:
    """Puts a memory and returns its id; see `AsyncMemory.remember`."""
    if not isinstance(text, str):
        raise ConfigurationError(f"text must be a string, not {type(text).__name__}")
    if not text.strip():
        raise ConfigurationError("text is blank: give the words to remember")
    _check_tags(tags)
    named: dict[str, Any] = {} if id is None else {"id": id}
    record = Record(text, tags=tuple(tags), scope=about, **named)
    await records.put([record], ttl=ttl)
    return record.id


async def recall(
    records: AsyncRecords,
    query: str | None,
    about: str | None,
    tags: Iterable[str] | None,
    since: datetime | None,
    limit: int,
    max_chars: int | None,
) -> Recall:
    """Finds memories; see `AsyncMemory.recall`."""
    if query is not None and not isinstance(query, str):
        raise ConfigurationError(f"query must be a string or None, not {type(query).__name__}")
    ops.check_count(limit, "limit")
    if max_chars is not None:
        ops.check_count(max_chars, "max_chars")
    if tags is not None:
        _check_tags(tags)
        tags = tuple(tags)
    where: dict[str, Any] = {"scope": about, "tags": tags, "created_after": since}
    matches: Sequence[Match]
    if query is None or not query.strip():
        query = None
        newest = await records.list(**where, limit=limit, embeddings=False)
        matches = [Match(record, 0.0) for record in newest]
    else:
        matches = await records.search(text=query, **where, limit=limit, embeddings=False)
    fitting = _fitting(matches, max_chars)
    searched = _describe(query, about, tags, since)
    if fitting:
        searched = f"searched memories {searched}"
    elif matches:
        searched = f"found {_number(len(matches))} {searched}, each longer than max_chars"
    else:
        searched = f"searched {_number(await records.count(**where))} {searched}"
    return Recall(
        tuple([match.record for match in fitting]),
        () if query is None else tuple([match.score for match in fitting]),
        searched,
    )


def _fitting(matches: Sequence[Match], max_chars: int | None) -> Sequence[Match]:
    if max_chars is None:
        return matches
    fitting = []
    left = max_chars
    for match in matches:
        size = len(match.record.text)
        if size <= left:
            fitting.append(match)
            left -= size
    return fitting


def _describe(
    query: str | None, about: str | None, tags: Sequence[str] | None, since: datetime | None
) -> str:
    parts = []
    if about is not None and scopes.normalise(about) != scopes.ROOT:
        parts.append(f"about {scopes.normalise(about)}")
    if tags is not None:
        parts.append(f"tagged {' or '.join(repr(tag) for tag in tags)}" if tags else "with no tag")
    if since is not None:
        parts.append(f"since {since.isoformat()}")
    parts.append("for the newest" if query is None else f"for the words of {query!r:.200}")
    return " ".join(parts)


def _number(count: int) -> str:
    return "1 memory" if count == 1 else f"{count:,} memories"


def _check_tags(tags: Iterable[str]) -> None:
    if isinstance(tags, (str, bytes)):
        raise ConfigurationError("tags must be a list of strings, not a single string")
