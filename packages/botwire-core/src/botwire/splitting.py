"""Splits writes into batches that a server accepts in one request."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, TypeVar

from botwire.errors import PayloadTooLargeError
from botwire.models import Record
from botwire.operations import RECORDS_PART

T = TypeVar("T")

BATCH_BYTES = 1_000_000
"""The most bytes per request, because servers limit it; a single longer item goes alone."""

_NUMBER_BYTES = 20  # bytes of an embedding's number in JSON
_TEXT_BYTES = 5  # for each byte of text


def latest(records: Iterable[Record]) -> list[Record]:
    """Returns the records; of several with the same id, the last."""
    return list({record.id: record for record in records}.values())


def in_batches(items: Iterable[T], count: int, size: Callable[[T], int]) -> Iterator[list[T]]:
    """Yields items in order, in batches of `count` or fewer if the items are long."""
    batch: list[T] = []
    total = 0
    for item in items:
        length = size(item)
        if batch and (len(batch) == count or total + length > BATCH_BYTES):
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += length
    if batch:
        yield batch


def size_of(item: Any) -> int:
    """Returns about how many bytes a JSON value takes in a request."""
    return len(json.dumps(item))


def size_of_record(record: Record) -> int:
    """Returns about how many bytes a record takes in a request; its text counts several times.

    Others wait while the words of the text are indexed.
    """
    numbers = len(record.embedding or ()) * _NUMBER_BYTES
    return _TEXT_BYTES * len(record.text) + size_of(dict(record.metadata)) + numbers


def write(batch: list[T], send: Callable[[list[T]], Any]) -> None:
    """Sends a batch, and splits it in halves as long as the server refuses it as too large.

    Raises:
        PayloadTooLargeError: A single item is too large.
    """
    try:
        send(batch)
    except PayloadTooLargeError:
        if len(batch) == 1:
            raise
        middle = len(batch) // 2
        write(batch[:middle], send)
        write(batch[middle:], send)


async def awrite(batch: list[T], send: Callable[[list[T]], Awaitable[Any]]) -> None:
    """Like `write`."""
    try:
        await send(batch)
    except PayloadTooLargeError:
        if len(batch) == 1:
            raise
        middle = len(batch) // 2
        await awrite(batch[:middle], send)
        await awrite(batch[middle:], send)


def write_records(records: Iterable[Record], put: Callable[[list[Record]], Any]) -> None:
    """Sends any number of records in order, in requests that a server accepts.

    If it fails, the first ones may be stored.

    Args:
        records: The records.
        put: Stores a few of them, such as `Records.put`.

    Raises:
        PayloadTooLargeError: A single record is too large.
    """
    for batch in in_batches(records, RECORDS_PART, size_of_record):
        write(batch, put)


async def awrite_records(
    records: Iterable[Record], put: Callable[[list[Record]], Awaitable[Any]]
) -> None:
    """Like `write_records`."""
    for batch in in_batches(records, RECORDS_PART, size_of_record):
        await awrite(batch, put)
