"""The terms on which a server accepts a batch: quotas, and entries for the audit log.

The server passes `BatchTerms` with a batch to the engine, which enforces them in the transaction of
the batch. So usage is counted exactly, across any number of processes, and a refused batch leaves
nothing behind. Clients cannot send terms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from botwire.clock import DAY, SECOND
from botwire.errors import QuotaExceededError
from botwire.exact import Json
from botwire.operations.fields import Count
from botwire.work import Verdict, Work

AUDIT_LOG = "audit"
"""The history in the system namespace that records deletions and changes of API keys."""


class Usage(NamedTuple):
    """The usage of a namespace.

    Attributes:
        bytes: The size of its keys, items and records; see `botwire.engines.sql.sizes`.
        writes: The number of writes on `day`.
        day: Days since 1970, UTC.
    """

    bytes: Count
    writes: Count
    day: Count

    def on(self, now: int) -> Usage:
        """Returns the usage at a given time: on a new day, writes start at 0.

        A machine whose clock is up to a day behind counts towards the day that has begun. A `day`
        even further ahead came from a wrong clock and is ignored.
        """
        today = now // DAY
        return self if today <= self.day <= today + 1 else self._replace(writes=0, day=today)

    def seconds_left(self, now: int) -> float:
        """Returns the seconds until the next day begins."""
        return max(1, ((self.day + 1) * DAY - now) / SECOND)


class Quota(NamedTuple):
    """Limits of usage; None means unlimited.

    Attributes:
        writes: Writes per day (UTC). Each operation that changes something counts as one, except
            removals.
        bytes: Bytes stored.
    """

    writes: int | None = None
    bytes: int | None = None

    def check(self, usage: Usage, now: int, *, whose: str, writes: int, grown: int) -> None:
        """Raises an error if a batch exceeds the quota. Batches that only remove always pass.

        Args:
            usage: The usage including the batch.
            now: The present time, in microseconds.
            whose: The owner of the quota, for the error.
            writes: The number of writes in the batch.
            grown: The bytes that the batch adds to the namespace.

        Raises:
            QuotaExceededError: The usage is too high; status 429 for writes, 413 for bytes.
        """
        if self.writes is not None and writes and usage.writes > self.writes:
            left = max(0, self.writes - usage.writes + writes)
            raise QuotaExceededError(
                f"{whose} may make {self.writes:,} writes a day, {left:,} of them are left, and "
                f"this needs {writes:,}: try again after midnight UTC, or ask the administrator "
                "of the server for more",
                retry_after=usage.seconds_left(now),
            )
        if self.bytes is not None and grown > 0 and usage.bytes > self.bytes:
            raise QuotaExceededError(
                f"{whose} may hold {self.bytes:,} bytes, and this would make it {usage.bytes:,}: "
                "delete something, or ask the administrator of the server for more",
                status=413,
            )


class UsageReport(NamedTuple):
    """The usage including a batch, whether it was accepted or refused.

    Attributes:
        namespace: The usage of the namespace.
        account: The usage of the account; None without an account or without writes.
    """

    namespace: Usage
    account: Usage | None = None


class BatchTerms(NamedTuple):
    """The terms on which a batch is accepted.

    Attributes:
        quota: The quota of the namespace.
        account: A reserved namespace that counts the batch's writes as well.
        account_quota: The quota of the account; only `writes` applies.
        account_name: The name of the account in errors.
        audit: Per index of an operation, the entries for the `AUDIT_LOG` if it changes something.
        answer: The largest answer, in bytes and approximate; None means unlimited.
        work: The limits of the work on the batch; None means unlimited.
        report: Called with the usage before each attempt to commit.
    """

    quota: Quota = Quota()
    account: str | None = None
    account_quota: Quota = Quota()
    account_name: str = "the account"
    audit: Mapping[int, Sequence[Json]] = MappingProxyType({})
    answer: int | None = None
    work: Work | None = None
    report: Callable[[UsageReport], object] | None = None

    @property
    def verdict(self) -> Verdict | None:
        """Returns why the work must end now; see `botwire.work`."""
        return None if self.work is None else self.work.verdict

    def tell(self, namespace: Usage, account: Usage | None = None) -> None:
        """Calls `report`, if there is one."""
        if self.report is not None:
            self.report(UsageReport(namespace, account))
