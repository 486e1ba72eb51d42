"""The operations on retention: policies and holds, finding what is too old, deleting it.

A policy limits the histories and records of some namespaces. A hold prevents everything it covers
from being deleted. Both are kept in the system namespace, like API keys.

`FindOldItems` and `FindOldRecords` find what must go, one part at a time; `TrimHistory` and
`TrimRecords` delete that part. `botwire.retention` combines them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple

from botwire import names
from botwire.errors import ConfigurationError, PermissionDeniedError
from botwire.operations.annotations import Checked, Rule
from botwire.operations.base import Operation, Parted, operation
from botwire.operations.fields import (
    MAX_PAGE,
    PART,
    RECORDS_PART,
    CollectionName,
    Count,
    HistoryName,
    Id,
    Limit,
    Seconds,
    Time,
    check_count,
    named,
)

MAX_REASON_BYTES = 1024
"""Longest reason of a hold, in bytes of UTF-8."""


def _check_most(most: object, what: str) -> None:
    check_count(most, what, least=1)


def _check_reason(reason: object, what: str) -> None:
    if not isinstance(reason, str) or len(names.to_bytes(reason)) > MAX_REASON_BYTES:
        raise ConfigurationError(f"{what} must be a string of at most {MAX_REASON_BYTES} bytes")


Pattern = Annotated[
    str,
    Rule(
        named(names.check_any_namespace),
        {"maxLength": names.MAX_NAMESPACE_BYTES, "examples": ["team-a-*"]},
    ),
]
"""A pattern of namespaces; ``*`` matches any characters."""
HistoryPattern = Annotated[
    str,
    Rule(
        named(names.check_history),
        {"maxLength": names.MAX_NAME_BYTES, "examples": ["chat-*"]},
    ),
]
"""A pattern of histories; ``*`` matches any characters."""
PolicyName = Annotated[str, Rule(named(names.check_id), {"maxLength": names.MAX_ID_BYTES})]
Most = Annotated[int, Rule(_check_most, {"minimum": 1})]
"""A limit that leaves something: 1 or more."""
Reason = Annotated[str, Rule(_check_reason, {"maxLength": MAX_REASON_BYTES})]


@dataclass(frozen=True, slots=True)
class RetentionPolicy(Checked):
    """A limit on the histories and records of some namespaces, or a hold on them.

    Attributes:
        name: The policy's name, unique among those with the same pattern of namespaces.
        namespaces: A pattern of namespaces; ``*`` matches any characters.
        histories: A pattern of histories: the policy covers only these. None: all histories and
            all records; a hold then covers the keys too.
        age: Most seconds since an item was appended, or since a record was last written.
        count: Most items in a history, and records in a collection; the oldest go.
        bytes: Most bytes of items in a history, and of records in a collection; the oldest go.
        hold: Whether it protects everything it covers instead of limiting it.
        reason: Why it exists; shown in the audit log and in the errors that a hold causes.
    """

    name: PolicyName
    namespaces: Pattern
    histories: HistoryPattern | None = None
    age: Seconds | None = None
    count: Most | None = None
    bytes: Most | None = None
    hold: bool = False
    reason: Reason | None = None

    def check(self) -> None:
        """Raises `ConfigurationError` unless it is either a limit or a hold."""
        limits = (self.age, self.count, self.bytes)
        if self.hold and limits != (None, None, None):
            raise ConfigurationError(
                f"a hold keeps everything, so {self.name!r:.80} cannot have an age, count or bytes"
            )
        if not self.hold and limits == (None, None, None):
            raise ConfigurationError(
                f"the policy {self.name!r:.80} limits nothing: give an age, a count or bytes"
            )

    def refusal(self) -> PermissionDeniedError:
        """Returns the error for a request that would delete what this hold covers."""
        shape = "namespaces" if self.histories is None else "histories"
        pattern = self.namespaces if self.histories is None else self.histories
        why = "" if self.reason is None else f" ({self.reason:.200})"
        return PermissionDeniedError(
            f"the hold {self.name!r:.80} on the {shape} {pattern!r:.80}{why} keeps this from being "
            "deleted or replaced, so nothing was changed; an administrator can release the hold: "
            "botwire retention release"
        )

    def covers(self, namespace: str, history: str | None = None) -> bool:
        """Returns whether it covers a history, or, given None, keys and records of a namespace."""
        if names.is_reserved(namespace) or not names.matches(self.namespaces, namespace):
            return False
        return self.histories is None or (
            history is not None and names.matches(self.histories, history)
        )


@operation
class SetPolicy(Operation[None]):
    """Sets a policy, or replaces the one with its name and its pattern of namespaces.

    Raises `ConflictError` if that would turn a hold into a limit or a limit into a hold.
    """

    writes: ClassVar[bool] = True
    storewide: ClassVar[bool] = True
    admin: ClassVar[bool] = True
    audits: ClassVar[bool] = True
    policy: RetentionPolicy

    @property
    def reach(self) -> str:
        """The namespaces that it concerns."""
        return self.policy.namespaces


@operation
class DropPolicy(Operation[bool]):
    """Removes a policy or releases a hold; returns whether it existed."""

    writes: ClassVar[bool] = True
    removes: ClassVar[bool] = True
    storewide: ClassVar[bool] = True
    admin: ClassVar[bool] = True
    audits: ClassVar[bool] = True
    name: PolicyName
    namespaces: Pattern

    @property
    def reach(self) -> str:
        """The namespaces that it concerns."""
        return self.namespaces


@operation
class ListPolicies(Operation[tuple[RetentionPolicy, ...]]):
    """Returns the policies and holds on namespaces within a pattern.

    Attributes:
        within: Only those whose namespaces this pattern matches as well.
    """

    storewide: ClassVar[bool] = True
    admin: ClassVar[bool] = True
    within: Pattern = "*"

    @property
    def reach(self) -> str:
        """The namespaces that it concerns."""
        return self.within


@operation
class FindHolds(Operation[tuple[RetentionPolicy, ...]]):
    """Returns the holds that keep something in the namespace from being deleted."""

    needs_snapshot: ClassVar[bool] = True


class OldItems(NamedTuple):
    """The oldest items of a history that must be deleted.

    Attributes:
        up_to: The number of the last of them; 0 if there are none.
        items: The number of these items.
        bytes: Their size in bytes, including the metadata if no item is left.
        more: Whether later items must be deleted too.
        held: Whether a hold protects them, so none is deleted.
    """

    up_to: Count
    items: Count
    bytes: Count
    more: bool
    held: bool = False


@operation
class FindOldItems(Operation[OldItems]):
    """Returns the oldest items of a history that exceed a limit, one part at a time.

    The oldest are deleted first. A tool call and its answers are never separated: they stay until
    the last of them may be deleted. A call that still waits for its answer stays.

    Attributes:
        age: Delete items older than this many seconds.
        count: Keep only the newest `count` items.
        bytes: Delete the oldest until the others have at most this many bytes.
        after: Begin after this number; everything before it is already deleted or due to be.
        gone_items: How many of the items up to `after` still exist.
        gone_bytes: Their size in bytes.
        limit: Approximate number of items in a part.
    """

    needs_snapshot: ClassVar[bool] = True
    admin: ClassVar[bool] = True
    name: HistoryName
    age: Seconds | None = None
    count: Most | None = None
    bytes: Most | None = None
    after: Count = 0
    gone_items: Count = 0
    gone_bytes: Count = 0
    limit: Limit = PART // 2


class Trimmed(NamedTuple):
    """The number of items or records deleted, and their size in bytes."""

    count: Count  # type: ignore[assignment]  # hides tuple.count, which nobody misses
    bytes: Count


@operation
class TrimHistory(Operation[Trimmed]):
    """Deletes the items of a history up to a number, and the metadata if no item is left.

    Attributes:
        policy: The policies that require it, for the audit log.
    """

    writes: ClassVar[bool] = True
    removes: ClassVar[bool] = True
    admin: ClassVar[bool] = True
    audits: ClassVar[bool] = True
    name: HistoryName
    up_to: Count
    policy: PolicyName


class OldRecords(NamedTuple):
    """Records that must be deleted, the oldest first.

    Attributes:
        ids: Their ids.
        bytes: Their size in bytes.
        after_time: Where to continue: after a record that was created at this time…
        after: …and has this id; None if that is the end.
        held: Whether a hold protects them, so none is deleted.
    """

    ids: Sequence[Id]
    bytes: Count
    after_time: Time | None = None
    after: Id | None = None
    held: bool = False


@operation
class FindOldRecords(Operation[OldRecords]):
    """Returns records of a collection that exceed a limit, one part at a time.

    Attributes:
        age: Delete records that were not written for this many seconds.
        count: Keep only the `count` records created last.
        bytes: Delete the oldest until the others have at most this many bytes.
        after_time: Begin after a record that was created at this time…
        after: …and has this id.
        gone_records: How many of the earlier records that must be deleted still exist.
        gone_bytes: Their size in bytes.
        limit: Most records in a part.
    """

    needs_snapshot: ClassVar[bool] = True
    admin: ClassVar[bool] = True
    collection: CollectionName
    age: Seconds | None = None
    count: Most | None = None
    bytes: Most | None = None
    after_time: Time | None = None
    after: Id | None = None
    gone_records: Count = 0
    gone_bytes: Count = 0
    limit: Limit = RECORDS_PART

    def check(self) -> None:
        """Raises `ConfigurationError` if only one of `after` and `after_time` is given."""
        if (self.after is None) != (self.after_time is None):
            raise ConfigurationError("after and after_time go together: give both or none")


@operation
class TrimRecords(Operation[Trimmed]):
    """Deletes records by id.

    Attributes:
        policy: The policies that require it, for the audit log.
    """

    writes: ClassVar[bool] = True
    removes: ClassVar[bool] = True
    admin: ClassVar[bool] = True
    audits: ClassVar[bool] = True
    collection: CollectionName
    ids: tuple[Id, ...]
    policy: PolicyName


@operation
class KeepExpiring(Parted[Count]):
    """Removes the expiry of what a hold covers in the namespace; returns how many had one."""

    writes: ClassVar[bool] = True
    admin: ClassVar[bool] = True
    limit: Limit = MAX_PAGE
