"""What a retention plan would delete, or what applying it has deleted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from botwire.operations import RetentionPolicy


class Removal(NamedTuple):
    """What is deleted from one history or one collection.

    Attributes:
        namespace: The namespace.
        shape: ``history`` or ``collection``.
        name: The name of the history or the collection.
        policy: The names of the policies that require it.
        count: The number of items or records.
        bytes: The bytes that they count towards the quota.
        held: Whether a hold protects them, so none is deleted.
    """

    namespace: str
    shape: str
    name: str
    policy: str
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody misses
    bytes: int
    held: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """What would be deleted, or was deleted.

    Attributes:
        removals: The removals, by namespace and name, without histories and collections that lose
            nothing.
    """

    removals: list[Removal] = field(default_factory=list)

    @property
    def count(self) -> int:
        """The number of items and records."""
        return sum(one.count for one in self.removals)

    @property
    def bytes(self) -> int:
        """The bytes that they count."""
        return sum(one.bytes for one in self.removals)


class Limits(NamedTuple):
    """The names of some policies, and their strictest limits as the operations expect them."""

    policy: str
    age: float | None
    most: int | None
    bytes: int | None

    @classmethod
    def of(cls, policies: Iterable[RetentionPolicy]) -> Limits | None:
        """Returns the limits of policies; None if there are no policies."""
        found = list(policies)
        if not found:
            return None
        return cls(
            ", ".join(dict.fromkeys(policy.name for policy in found))[:128],
            min((p.age for p in found if p.age is not None), default=None),
            min((p.count for p in found if p.count is not None), default=None),
            min((p.bytes for p in found if p.bytes is not None), default=None),
        )


def prefix_of(pattern: str) -> str:
    """Returns the prefix that all matching names share."""
    return pattern.partition("*")[0]
