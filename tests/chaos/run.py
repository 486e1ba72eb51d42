"""The experiment: writers write, random faults happen, a reader follows, and all is checked."""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from botwire import Memory, ServerError, TransportError
from tests.chaos.check import Findings, Outcomes, check
from tests.chaos.patroni import patroni
from tests.chaos.pgbouncer import pgbouncer
from tests.chaos.places import PLACES
from tests.chaos.processes import Writer, fill_disk
from tests.chaos.writer import NAMESPACE

NAMED = {"patroni": patroni, "pgbouncer": pgbouncer}
"""Places that need more than Python's packages, so that they are tried only if they are named."""


@dataclass
class Report:
    """What happened.

    Attributes:
        outcomes: What writers said.
        findings: What is wrong.
        faults: How many of each kind were injected.
        seen: How many items a reader saw as they came, in the order in which they are there.
        pauses: The longest time without an acknowledgement after each kind of fault, in seconds.
        notes: What the place reports.
    """

    outcomes: Outcomes
    findings: Findings
    faults: Counter[str] = field(default_factory=Counter)
    seen: int = 0
    pauses: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [
            f"  writes acknowledged {self.outcomes.acknowledged:9,}",
            f"  items read meanwhile{self.seen:9,}",
            f"  faults injected     {self.faults.total():9,}  "
            + ", ".join(f"{count} {name}" for name, count in sorted(self.faults.items())),
            f"  failed, in doubt    {self.outcomes.errors.total():9,}  "
            + ", ".join(f"{count} {text[:60]}" for text, count in self.outcomes.errors.items()),
        ]
        waits = (f"{seconds:.1f} s after {kind}" for kind, seconds in sorted(self.pauses.items()))
        lines.append(f"  longest pauses        {', '.join(waits)}")
        lines += [f"  {note}" for note in self.notes]
        for kind, found in vars(self.findings).items():
            lines.append(f"  {kind:20}{len(found):9,}  {'; '.join(found[:3])}")
        return "\n".join(lines)


class _Reader:
    """Follows the log from the first item on, through every fault, as another client would."""

    def __init__(self, url: str) -> None:
        self.seqs: list[int] = []
        self.values: list[object] = []
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()

    def _follow(self) -> None:
        with Memory(NAMESPACE, url=self._url) as memory:
            log = memory.history("log")
            while not self._stop.wait(0.02):
                try:
                    items = log.read(after=self.seqs[-1] if self.seqs else 0)
                except (TransportError, ServerError):
                    continue
                self.seqs += [item.seq for item in items]
                self.values += [item.value for item in items]

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def run(
    name: str, seconds: float, *, seed: int, writers: int = 2, threads: int = 4, pause: float = 1.0
) -> Report:
    """Runs the experiment once.

    Each kind of fault happens at least once, however short the time.

    Args:
        name: One of `PLACES` or `NAMED`.
        seconds: For how long.
        seed: Makes the same choices again; when they hit is up to the machine.
        writers: How many processes write.
        threads: How many threads of each.
        pause: The longest time between two faults, in seconds.
    """
    source = random.Random(seed)
    outcomes, faults = Outcomes(), Counter[str]()
    pauses: dict[str, float] = {}
    with {**PLACES, **NAMED}[name](source) as place:
        Memory(NAMESPACE, url=place.url).set("begun", True)
        urls = itertools.cycle(place.writes_to)
        started = [Writer(next(urls), f"w{i}", threads, outcomes) for i in range(writers)]
        reader = _Reader(place.writes_to[0])
        try:
            kinds = {
                **place.faults,
                "writer killed": lambda: source.choice(started).kill_and_restart(),
            }
            if folder := place.folder:
                kinds["disk full"] = lambda: fill_disk(
                    source.choice(started).process,
                    folder,
                    source.uniform(0, 1.5),
                    source.uniform(0, 0.3),
                )
            end = time.monotonic() + seconds
            todo: list[str] = []
            kind = ""
            while time.monotonic() < end or todo:
                if not todo and time.monotonic() < end:
                    todo = source.sample(sorted(kinds), len(kinds))
                if faults.total() < len(kinds) or source.random() < 0.5:
                    _wait_until_it_goes_on(outcomes)  # else faults come on top of each other
                time.sleep(source.uniform(0, pause))
                pauses[kind] = max(pauses.get(kind, 0.0), outcomes.pause)
                kind, outcomes.pause = todo.pop(), 0.0
                kinds[kind]()
                faults[kind] += 1
            _wait_until_it_goes_on(outcomes)
            pauses[kind] = max(pauses.get(kind, 0.0), outcomes.pause)
            del pauses[""]  # before the first fault
        finally:
            with contextlib.ExitStack() as ending:  # each of them ends, whatever another one says
                ending.callback(reader.stop)
                for writer in started:
                    ending.callback(writer.kill)
        place.settle()
        findings = check(place.url, outcomes)
        _compare(place.url, reader, findings)
        place.intact()
        notes = place.notes
    return Report(outcomes, findings, faults, len(reader.seqs), pauses, notes)


def _wait_until_it_goes_on(outcomes: Outcomes) -> None:
    """Waits for an acknowledgement after the last fault: writing must be possible again."""
    before, until = outcomes.acknowledged, time.monotonic() + 60
    while outcomes.acknowledged <= before:
        assert time.monotonic() < until, "nothing was acknowledged any more"
        time.sleep(0.05)


def _compare(url: str, reader: _Reader, findings: Findings) -> None:
    """A reader must have seen the items in the order, and with the numbers, that they have."""
    with Memory(NAMESPACE, url=url, timeout=30) as memory:
        there = memory.history("log").read()[: len(reader.seqs)]
    if [(item.seq, item.value) for item in there] != list(
        zip(reader.seqs, reader.values, strict=True)
    ):
        findings.unexplained.append("a reader saw another order than the one there is")
