"""Compares the final state with what was acknowledged."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from botwire import Memory, transfer
from tests.chaos.writer import NAMESPACE, PARTS, is_batch


@dataclass
class Outcomes:
    """What the writers reported.

    Attributes:
        done: The numbers that were acknowledged, by who wrote them.
        doubt: Those that failed: each may be there or not.
        errors: What the failures said, and how often.
        pause: The longest time without an acknowledgement since this was last set to 0, in seconds.
    """

    done: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    doubt: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    errors: Counter[str] = field(default_factory=Counter)
    pause: float = 0.0
    _last: float = field(default_factory=time.monotonic)

    def add(self, line: str) -> None:
        """Reads a line that a writer printed."""
        kind, who, number, *error = line.split(maxsplit=3)
        (self.done if kind == "done" else self.doubt)[who].add(int(number))
        if kind == "done":
            now = time.monotonic()
            self.pause = max(self.pause, now - self._last)
            self._last = now
        if error:
            self.errors[error[0]] += 1

    @property
    def acknowledged(self) -> int:
        """How many writes were acknowledged."""
        return sum(len(numbers) for numbers in self.done.values())


@dataclass
class Findings:
    """The broken promises; empty if all were kept.

    Attributes:
        lost: Acknowledged and not there.
        duplicated: There more than once.
        torn: There in part.
        unexplained: There, and neither acknowledged, nor in doubt, nor the one at which a writer
            was killed; or out of order.
    """

    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return any((self.lost, self.duplicated, self.torn, self.unexplained))


def check(url: str, outcomes: Outcomes) -> Findings:
    """Reads everything and compares it."""
    findings = Findings()
    with Memory(NAMESPACE, url=url, timeout=30) as memory:
        there = _batches(memory, findings)
        writers = {*outcomes.done, *outcomes.doubt, *there}
        prefix = "each/"
        writers |= {info.name.removeprefix(prefix) for info in memory.list_histories(prefix)}
        for who in writers:
            there[who] += _transactions(memory, who, findings)
        findings.torn += transfer.check(memory.engine, namespaces=[NAMESPACE])
    for who in sorted(writers):
        done, doubt = outcomes.done[who], outcomes.doubt[who]
        present = set(there[who])
        findings.lost += [f"{who} {number}" for number in sorted(done - present)]
        # A killed writer may have written one more than it reported.
        explained = done | doubt | {max(done | doubt, default=0) + 1}
        findings.unexplained += [f"{who} {number}" for number in sorted(present - explained)]
    return findings


def _batches(memory: Memory, findings: Findings) -> dict[str, list[int]]:
    """Returns who wrote which batches, in their order."""
    items = memory.history("log").read()
    there: dict[str, list[int]] = defaultdict(list)
    seqs = [item.seq for item in items]
    if seqs != list(range(1, len(seqs) + 1)):
        findings.unexplained.append("the log's sequence numbers are not 1, 2, 3, …")
    for start in range(0, len(items), PARTS):
        values = [item.value for item in items[start : start + PARTS]]
        who, number, _ = values[0]
        if values != [[who, number, part] for part in range(PARTS)]:
            findings.torn.append(f"batch {who} {number}: {values}")
            return there
        there[who].append(number)
    for who, numbers in there.items():
        _in_order(f"log {who}", numbers, findings)
    return there


def _transactions(memory: Memory, who: str, findings: Findings) -> list[int]:
    """Returns the numbers that were written as transactions."""
    numbers = [item.value for item in memory.history(f"each/{who}").read()]
    _in_order(f"each {who}", numbers, findings)
    counted = memory.get(f"count/{who}", 0)
    last = memory.get(f"last/{who}", 0)
    found = memory.records(f"notes/{who}").search(vector=[1, 0], limit=10**6, embeddings=False)
    notes = {match.record.id for match in found}
    if (counted, last, notes) != (len(numbers), max(numbers, default=0), set(map(str, numbers))):
        findings.torn.append(f"transactions of {who}: {len(numbers)} items, count {counted}, "
                             f"last {last}, {len(notes)} records")  # fmt: skip
    return numbers


def _in_order(what: str, numbers: list[int], findings: Findings) -> None:
    twice = [number for number, times in Counter(numbers).items() if times > 1]
    findings.duplicated += [f"{what} {number}" for number in twice]
    if not twice and numbers != sorted(numbers):
        findings.unexplained.append(f"{what} is out of order")
    assert all(is_batch(number) == what.startswith("log") for number in numbers)
