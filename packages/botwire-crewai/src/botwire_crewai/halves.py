"""Work on records that is written once and run by either client.

Such work is a generator. It yields steps; a step takes a `Records` or an `AsyncRecords` and returns
the result, or an awaitable of it. `run` and `arun` send the result back, or throw what was raised.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeVar

from botwire import AsyncRecords, Records

T = TypeVar("T")

Step = Callable[[Any], Any]
Work = Generator[Step, Any, T]


def one(step: Step) -> Work[Any]:
    """Returns work of a single step, whose result is its own."""
    return (yield step)


def run(work: Work[T], records: Records) -> T:
    """Runs work with the blocking client and returns what it returns."""
    try:
        step = next(work)
        while True:
            try:
                result = step(records)
            except Exception as error:  # noqa: BLE001 - the work decides
                step = work.throw(error)
            else:
                step = work.send(result)
    except StopIteration as end:
        returned: T = end.value
        return returned


async def arun(work: Work[T], records: AsyncRecords) -> T:
    """Runs work with the awaited client and returns what it returns."""
    try:
        step = next(work)
        while True:
            try:
                result = await step(records)
            except Exception as error:  # noqa: BLE001 - the work decides
                step = work.throw(error)
            else:
                step = work.send(result)
    except StopIteration as end:
        returned: T = end.value
        return returned
