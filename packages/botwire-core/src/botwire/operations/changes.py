"""The operations on the log of changes and on the usage of a namespace."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, NamedTuple

from botwire.operations.annotations import Rule
from botwire.operations.authors import Author
from botwire.operations.base import Operation, operation
from botwire.operations.fields import MAX_PAGE, Count, Limit, Time
from botwire.operations.terms import Usage

_Shape = Annotated[str, Rule(None, {"enum": ["key", "history", "record", "namespace"]})]


class ChangeEntry(NamedTuple):
    """A change, without the new value.

    Attributes:
        revision: The namespace's revision after this change.
        shape: ``key``, ``history`` or ``record``; ``namespace`` for a `reset`.
        action: What was done, for example ``put``, ``delete``, ``append``. ``reset``: some changes
            are no longer in the log, so anything may have changed.
        name: The key, the history or the collection; for a ``clear`` of keys, their prefix.
        author: Who made the change; None if that is not known.
        changed_at: When it was made; None unless the namespace kept its past then.
    """

    revision: Count
    shape: _Shape
    action: str
    name: str
    author: Author | None = None
    changed_at: Time | None = None


class ChangePage(NamedTuple):
    """Changes in order, and the namespace's revision when they were read."""

    changes: Sequence[ChangeEntry]
    revision: Count


@operation
class ReadChanges(Operation[ChangePage]):
    """Returns the changes after a revision, without those of the same batch.

    Attributes:
        after: Return the changes after this revision; None returns only the current revision.
    """

    needs_snapshot: ClassVar[bool] = True
    after: Count | None = None
    limit: Limit = MAX_PAGE


@operation
class ReadUsage(Operation[Usage]):
    """Returns the usage of the namespace, without what the same batch changes."""
