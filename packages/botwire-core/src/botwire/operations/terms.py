"""On what terms a server takes a batch: what it may use, and what is written down about it.

BatchTerms travel with a batch to the engine, which holds a batch to them in the batch's own
transaction: what is counted is exactly what was written, by however many processes, and a batch
that is refused leaves nothing behind. They never travel over the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from botwire import names
from botwire.errors import QuotaExceededError
from botwire.exact import Json
from botwire.operations.fields import Count
from botwire.work import Verdict, Work

DAY = 86_400_000_000
"""A day, in microseconds."""

AUDIT_LOG = "audit"
"""The history of the system's namespace in which deletions and changes of keys are written down."""


class Usage(NamedTuple):
    """What a namespace uses.

    Attributes:
        bytes: What its keys, items and records hold; see `botwire.engines.sql.sizes`.
        writes: How many writes were made on `day`.
        day: Days since 1970, UTC.
    """

    bytes: Count
    writes: Count
    day: Count

    def on(self, now: int) -> Usage:
        """Returns the usage as of a moment: with a new day the writes begin at 0.

        A day that has begun goes on for a machine whose clock is behind. A day that is further
        ahead was never: it was written by a clock that was wrong, and holds nobody up.
        """
        today = now // DAY
        return self if today <= self.day <= today + 1 else self._replace(writes=0, day=today)

    def seconds_left(self, now: int) -> float:
        """Returns the seconds until the next day begins."""
        return max(1, ((self.day + 1) * DAY - now) / 1_000_000)


@dataclass(frozen=True, slots=True)
class Quota:
    """What may be used; None is without a limit.

    Attributes:
        writes: A day (UTC). An operation that changes something and does not only remove is one.
        bytes: Stored.
    """

    writes: int | None = None
    bytes: int | None = None

    def check(self, usage: Usage, now: int, *, whose: str, writes: int, grown: int) -> None:
        """Holds a batch to the quota. What only takes away is never refused.

        Args:
            usage: With the batch.
            now: The present time.
            whose: What to call the owner of the quota.
            writes: How many the batch makes.
            grown: By how many bytes the namespace grows with it.

        Raises:
            QuotaExceededError: More is used; status 429 for writes, 413 for bytes.
        """
        if self.writes is not None and writes and usage.writes > self.writes:
            left = max(0, self.writes - usage.writes + writes)
            raise QuotaExceededError(
                f"{whose} may make {self.writes:,} writes a day, {left:,} of them are left, and "
                f"this needs {writes:,}: try again after midnight UTC, or ask whoever runs the "
                "server for more",
                retry_after=usage.seconds_left(now),
            )
        if self.bytes is not None and grown > 0 and usage.bytes > self.bytes:
            raise QuotaExceededError(
                f"{whose} may hold {self.bytes:,} bytes, and with this would hold "
                f"{usage.bytes:,}: delete something, or ask whoever runs the server for more",
                status=413,
            )


class UsageReport(NamedTuple):
    """What is used with a batch, or would have been if it was refused.

    Attributes:
        namespace: By the batch's namespace.
        account: By its account; None if it has none, or writes nothing.
    """

    namespace: Usage
    account: Usage | None = None


@dataclass(frozen=True, slots=True)
class BatchTerms:
    """On what terms a batch is taken.

    Attributes:
        quota: Of the batch's namespace.
        account: A reserved namespace under which the batch's writes are counted too.
        account_quota: Of the account; only its writes count.
        account_name: What to call the account in an error.
        audit: What to write into the `AUDIT_LOG` if the operation of that index changes something.
        answer: About how many bytes the batch may answer at most; None is without a limit.
        work: What the work on it is held to; None is nothing.
        report: Called with what is used, before the batch is committed; with each attempt anew.
    """

    quota: Quota = Quota()
    account: str | None = None
    account_quota: Quota = Quota()
    account_name: str = "the account"
    audit: Mapping[int, Sequence[Json]] = field(default_factory=dict)
    answer: int | None = None
    work: Work | None = None
    report: Callable[[UsageReport], object] | None = None

    @property
    def verdict(self) -> Verdict | None:
        """Says why the work must end now; see `botwire.work`."""
        return None if self.work is None else self.work.verdict

    def tell(self, namespace: Usage, account: Usage | None = None) -> None:
        """Reports what is used, if anybody wants to know."""
        if self.report is not None:
            self.report(UsageReport(namespace, account))

    def __post_init__(self) -> None:
        if self.account is not None:
            names.check_any_namespace(self.account)
