"""What all races share: contenders, the processes that write through them, and the count.

A race starts several processes. Each opens a contender on the same place, waits until all are
ready, and then writes as fast as it can. Each write carries a token of its own. After the last
write, one more process reads the place, and the tokens it finds are compared with those
acknowledged.
"""

from __future__ import annotations

import importlib.metadata
import multiprocessing
import os
import random
import sys
import tempfile
import time
import traceback
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

CONTEXT = multiprocessing.get_context("forkserver")
START_SECONDS = 120.0
"""How long a process may take to open its contender; some frameworks import for seconds."""
RACE_SECONDS = 120.0
"""When a process stops writing, done or not."""
PAUSE_SECONDS = 0.05
"""The longest pause before a refused write is written again."""


class Place(NamedTuple):
    """Where all processes of a race write.

    Attributes:
        folder: An empty folder, for files.
        postgres: The URL of an empty PostgreSQL database; None if the contender needs none.
    """

    folder: Path
    postgres: str | None = None


class Contender(ABC):
    """One class that keeps memory, as one process uses it.

    Each process makes one. An exception from the constructor means that the contender cannot run
    here; `ImportError` and `MissingError` mean that it is not installed.

    Args:
        place: Where it writes.
    """

    framework: ClassVar[str]
    """The framework whose interface it implements."""
    title: ClassVar[str]
    """The class, as users write it."""
    distribution: ClassVar[str]
    """The distribution it comes from, whose release is printed."""
    what: ClassVar[str]
    """What one write is."""
    ours: ClassVar[bool] = False
    needs_postgres: ClassVar[bool] = False
    refusals: ClassVar[tuple[type[Exception], ...]] = ()
    """The errors by which it says that nothing was stored and the caller should write again."""

    @abstractmethod
    def __init__(self, place: Place) -> None: ...

    def prepare(self) -> None:  # noqa: B027 - most have nothing to prepare
        """Creates what must be there before the first write. Called once, before the race."""

    @abstractmethod
    def write(self, token: str) -> None:
        """Writes a token; returning acknowledges it, and any exception is an error."""

    @abstractmethod
    def tokens(self) -> Iterable[str]:
        """Returns all tokens found, each as often as it is there."""

    def close(self) -> None:  # noqa: B027 - as above
        """Releases what this process holds."""


class MissingError(Exception):
    """A program that a contender needs is not installed; the message names it."""


@dataclass
class Result:
    """The outcome of one race.

    Attributes:
        attempted: Writes tried.
        acknowledged: Writes that returned.
        kept: Acknowledged writes that are there afterwards.
        twice: Writes that are there more than once.
        errors: How many writes raised, by the error's name.
        refused: How often a write was refused, and written again.
        seconds: How long the slowest process wrote.
        missing: Why there was no race, if the contender is not installed.
        unreadable: The error of the read after the race, if it failed.
    """

    attempted: int = 0
    acknowledged: int = 0
    kept: int = 0
    twice: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    refused: int = 0
    seconds: float = 0.0
    missing: str | None = None
    unreadable: str | None = None


class _Written(NamedTuple):
    """What one process did."""

    attempted: int
    acknowledged: list[str]
    errors: Counter[str]
    refused: int
    seconds: float


def race(contender: type[Contender], processes: int, writes: int, postgres: str | None) -> Result:
    """Races some processes on one place, and counts what is left.

    Args:
        contender: What they write through. Its module must be importable in a new process.
        processes: How many.
        writes: How often each writes.
        postgres: An empty database, for contenders that need one.
    """
    # The processes are forks of one that has imported the framework, which may take seconds.
    CONTEXT.set_forkserver_preload([contender.__module__])
    with tempfile.TemporaryDirectory(prefix="race") as folder:
        place = Place(Path(folder), postgres)
        (missing,) = _in_processes([(_prepare, contender, place)])
        if missing is not None:
            return Result(missing=missing)
        ready = CONTEXT.Barrier(processes)
        written: list[_Written] = _in_processes(
            [(_write, contender, place, who, writes, ready) for who in range(processes)]
        )
        (found,) = _in_processes([(_read, contender, place)])
        return _count(written, found)


def _in_processes(calls: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Calls functions at the same time, each in a new process; returns what they return.

    Raises:
        RuntimeError: A process died or raised; it has printed why.
    """
    pipes, children = [], []
    for function, *arguments in calls:
        ours, theirs = CONTEXT.Pipe(duplex=False)
        child = CONTEXT.Process(target=_answer, args=(theirs, function, arguments))
        child.start()
        theirs.close()
        pipes.append(ours)
        children.append(child)
    try:
        return [pipe.recv() for pipe in pipes]
    except EOFError:
        raise RuntimeError("a process of the race died") from None
    finally:
        for child in children:
            child.join()


def _answer(answer: Connection, function: Callable[..., Any], arguments: Sequence[Any]) -> None:
    try:
        answer.send(function(*arguments))
        answer.close()
    except Exception:  # noqa: BLE001 - `_in_processes` raises
        traceback.print_exc()
    sys.stderr.flush()
    # Some stores leave threads behind that keep their process from ending.
    os._exit(0)


def _prepare(contender: type[Contender], place: Place) -> str | None:
    """Prepares the place; returns why the contender cannot race, if it is not installed."""
    try:
        first = contender(place)
    except (ImportError, MissingError) as error:
        return str(error)
    first.prepare()
    first.close()
    return None


def _write(
    contender: type[Contender], place: Place, who: int, writes: int, ready: Barrier
) -> _Written:
    """Writes a process's share."""
    one = contender(place)
    ready.wait(START_SECONDS)
    acknowledged: list[str] = []
    errors: Counter[str] = Counter()
    attempted = refused = 0
    started = time.monotonic()

    def late() -> bool:
        return time.monotonic() - started > RACE_SECONDS

    def write(token: str) -> None:
        nonlocal refused
        while True:
            try:
                return one.write(token)
            except one.refusals:
                if late():
                    raise
                refused += 1
                time.sleep(random.random() * PAUSE_SECONDS)  # noqa: S311 - spreads the processes

    while attempted < writes and not late():
        token = f"token-{who}-{attempted}"
        attempted += 1
        try:
            write(token)
        except Exception as error:  # noqa: BLE001 - whatever it raises is what is counted
            errors[type(error).__name__] += 1
        else:
            acknowledged.append(token)
    seconds = time.monotonic() - started
    one.close()
    return _Written(attempted, acknowledged, errors, refused, seconds)


def _read(contender: type[Contender], place: Place) -> Counter[str] | str:
    """Returns how often each token is there, or the name of the error that reading raised."""
    try:
        reader = contender(place)
        found = Counter(reader.tokens())
        reader.close()
    except Exception as error:  # noqa: BLE001 - a memory that cannot be read has kept nothing
        return type(error).__name__
    return found


def _count(written: Sequence[_Written], found: Counter[str] | str) -> Result:
    errors = sum((each.errors for each in written), Counter[str]())
    acknowledged = [token for each in written for token in each.acknowledged]
    result = Result(
        attempted=sum(each.attempted for each in written),
        acknowledged=len(acknowledged),
        errors=dict(errors.most_common()),
        refused=sum(each.refused for each in written),
        seconds=max(each.seconds for each in written),
    )
    if isinstance(found, str):
        result.unreadable = found
    else:
        result.kept = sum(token in found for token in acknowledged)
        result.twice = sum(count > 1 for count in found.values())
    return result


def release(contender: type[Contender]) -> str:
    """Returns the release of a contender's distribution; empty if it is not installed."""
    try:
        return importlib.metadata.version(contender.distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def row(contender: type[Contender], result: Result) -> str:
    """Returns the outcome of a race as a row of a Markdown table."""
    name = f"**`{contender.title}`**" if contender.ours else f"`{contender.title}`"
    start = [contender.framework, name, contender.what]
    if result.missing is not None:
        return _cells(*start, "missing", *[""] * 5)
    errors = ", ".join(f"{name} {count}" for name, count in result.errors.items())
    failed = sum(result.errors.values())
    kept = f"unreadable: {result.unreadable}" if result.unreadable else str(result.kept)
    return _cells(
        *start,
        f"{result.acknowledged} of {result.attempted}",
        kept,
        str(result.twice),
        f"{failed}: {errors}" if failed else "0",
        str(result.refused),
        f"{result.seconds:.1f} s",
    )


# "Kept" counts acknowledged writes. What was refused was written again.
HEAD = """\
| framework | class | a write is | acknowledged | kept | twice | errors | refused | time |
|---|---|---|---|---|---|---|---|---|"""


def _cells(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
