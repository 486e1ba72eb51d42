"""The operations on retention: policies and holds, what is too old to keep, and its removal.

A policy says what the histories and records of some namespaces are limited to. A hold keeps what it
covers from being deleted by anything. Both are kept in the system namespace, like API keys.

`FindOldItems` and `FindOldRecords` say what must go, a part at a time; `TrimHistory` and
`TrimRecords` delete that part. `botwire.retention` puts them together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, NamedTuple

from botwire import names
from botwire.errors import ConfigurationError, PermissionDeniedError
from botwire.operations.base import Operation, Parted, operation
from botwire.operations.codecs import Checked, Rule
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
)

MAX_REASON_BYTES = 1024
"""Longest reason of a hold, in bytes of UTF-8."""


def _check_pattern(pattern: object, what: str) -> None:
    names.check_any_namespace(pattern)


def _check_history_pattern(pattern: object, what: str) -> None:
    names.check_history(pattern)


def _check_name(name: object, what: str) -> None:
    names.check_id(name)


def _check_most(most: object, what: str) -> None:
    check_count(most, what, least=1)


def _check_reason(reason: object, what: str) -> None:
    if not isinstance(reason, str) or len(names.to_bytes(reason)) > MAX_REASON_BYTES:
        raise ConfigurationError(f"{what} must be a string of at most {MAX_REASON_BYTES} bytes")


Pattern = Annotated[
    str, Rule(_check_pattern, {"maxLength": names.MAX_NAMESPACE_BYTES, "examples": ["team-a-*"]})
]
"""A pattern of namespaces; ``*`` matches any characters."""
HistoryPattern = Annotated[
    str, Rule(_check_history_pattern, {"maxLength": names.MAX_NAME_BYTES, "examples": ["chat-*"]})
]
"""A pattern of histories; ``*`` matches any characters."""
PolicyName = Annotated[str, Rule(_check_name, {"maxLength": names.MAX_ID_BYTES})]
Most = Annotated[int, Rule(_check_most, {"minimum": 1})]
"""A limit that leaves something: 1 or more."""
Reason = Annotated[str, Rule(_check_reason, {"maxLength": MAX_REASON_BYTES})]


@dataclass(frozen=True, slots=True)
class RetentionPolicy(Checked):
    """What the histories and records of some namespaces are limited to, or held from deletion.

    Attributes:
        name: The name of the policy among those with the same pattern of namespaces.
        namespaces: A pattern of namespaces; ``*`` matches any characters.
        histories: A pattern of histories: the policy covers only these. None: all histories and
            all records; a hold then covers the keys too.
        age: Items, and records that were not written, for so many seconds go.
        count: Most items in a history, and records in a collection; the oldest go.
        bytes: Most bytes of items in a history, and of records in a collection; the oldest go.
        hold: Whether it keeps everything that it covers, instead of limiting it.
        reason: Why; for the audit log and for the errors that a hold causes.
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
        """Raises `ConfigurationError` unless it either limits or holds."""
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
        """Returns the error of what would delete something that this hold covers."""
        shape = "namespaces" if self.histories is None else "histories"
        pattern = self.namespaces if self.histories is None else self.histories
        why = "" if self.reason is None else f" ({self.reason:.200})"
        return PermissionDeniedError(
            f"the hold {self.name!r:.80} on the {shape} {pattern!r:.80}{why} keeps this from being "
            "deleted or replaced, so nothing was changed; an administrator can release the hold: "
            "botwire retention release"
        )

    def covers(self, namespace: str, history: str | None = None) -> bool:
        """Returns whether it covers a history, or what is in no history, of a namespace."""
        if names.is_reserved(namespace) or not names.matches(self.namespaces, namespace):
            return False
        return self.histories is None or (
            history is not None and names.matches(self.histories, history)
        )


@operation
class SetPolicy(Operation[None]):
    """Sets a policy, or replaces the one with its name and its pattern of namespaces.

    Raises `ConflictError` if that would make a hold a limit, or the other way round.
    """

    writes: ClassVar[bool] = True
    storewide: ClassVar[bool] = True
    admin: ClassVar[bool] = True
    audits: ClassVar[bool] = True
    policy: RetentionPolicy

    @property
    def reach(self) -> str:
        """The namespaces that it is about."""
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
        """The namespaces that it is about."""
        return self.namespaces


@operation
class ListPolicies(Operation[tuple[RetentionPolicy, ...]]):
    """Returns the policies and holds on namespaces within a pattern.

    Attributes:
        within: Only those whose pattern matches no namespace that this one does not.
    """

    storewide: ClassVar[bool] = True
    admin: ClassVar[bool] = True
    within: Pattern = "*"

    @property
    def reach(self) -> str:
        """The namespaces that it is about."""
        return self.within


@operation
class FindHolds(Operation[tuple[RetentionPolicy, ...]]):
    """Returns the holds that keep something in the namespace from being deleted."""

    needs_snapshot: ClassVar[bool] = True


class OldItems(NamedTuple):
    """The oldest items of a history, which must go.

    Attributes:
        up_to: The number of the last of them; 0 if there are none.
        items: How many they are.
        bytes: How many bytes they count, with the metadata if no item is left.
        more: Whether items after them must go too.
        held: Whether a hold keeps them, so that none goes.
    """

    up_to: Count
    items: Count
    bytes: Count
    more: bool
    held: bool = False


@operation
class FindOldItems(Operation[OldItems]):
    """Returns the oldest items of a history that are beyond a limit, a part at a time.

    They go from the oldest on. A tool call and its answers are in one part: they stay until the
    last of them may go. A call that still waits for its answer stays.

    Attributes:
        age: Items older than so many seconds must go.
        count: Items beyond the newest `count` must go.
        bytes: The oldest must go until the others have no more than so many bytes.
        after: Begin after this number; what comes before is `gone` already, or will be.
        gone_items: How many of the items before `after` are still there.
        gone_bytes: How many bytes they count.
        limit: About how many items a part has.
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
    """How many items or records were deleted, and how many bytes they counted."""

    count: Count  # type: ignore[assignment]  # hides tuple.count, which nobody misses
    bytes: Count


@operation
class TrimHistory(Operation[Trimmed]):
    """Deletes the items of a history up to a number, with the metadata if no item is left.

    Attributes:
        policy: The policies that ask for it, for the audit log.
    """

    writes: ClassVar[bool] = True
    removes: ClassVar[bool] = True
    admin: ClassVar[bool] = True
    audits: ClassVar[bool] = True
    name: HistoryName
    up_to: Count
    policy: PolicyName


class OldRecords(NamedTuple):
    """Records that must go, the first created first.

    Attributes:
        ids: Their ids.
        bytes: How many bytes they count.
        after_time: Where to continue: after a record that was created at this time…
        after: …and has this id; None if that is the end.
        held: Whether a hold keeps them, so that none goes.
    """

    ids: Sequence[Id]
    bytes: Count
    after_time: Time | None = None
    after: Id | None = None
    held: bool = False


@operation
class FindOldRecords(Operation[OldRecords]):
    """Returns records of a collection that are beyond a limit, a part at a time.

    Attributes:
        age: Records that were not written for so many seconds must go.
        count: Records beyond the last `count` that were created must go.
        bytes: The first that were created must go until the others have no more than so many bytes.
        after_time: Begin after a record that was created at this time…
        after: …and has this id.
        gone_records: How many of those before it that must go are still there.
        gone_bytes: How many bytes they count.
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
        policy: The policies that ask for it, for the audit log.
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
    """Makes what a hold covers in the namespace not expire; returns how many things that were."""

    writes: ClassVar[bool] = True
    admin: ClassVar[bool] = True
    limit: Limit = MAX_PAGE
