"""Follows the change log of a namespace while the namespace is read."""

from __future__ import annotations

import enum

from botwire import operations as ops
from botwire.names import to_bytes

KEY, HISTORY, COLLECTION = 1, 2, 3  # as in `Line.order`
CLEARED = 0
"""Stands for all keys with a prefix."""

Thing = tuple[int, bytes]
"""A key, a history, a collection or the keys with a prefix: its kind and its name."""


class Touch(enum.IntEnum):
    """What brings a thing up to date that was read before a change; more includes less."""

    ADDED = 0
    """Reading what is new in it: the key, further items, records written since."""
    REMOVED = 1
    """The same, and finding out which of its records are left."""
    OTHER = 2
    """Reading all of it again."""


class LogLostError(Exception):
    """The log no longer reaches back to where it was read last."""


class ChangeLog:
    """What has changed in a namespace since a revision.

    Args:
        since: The revision.

    Attributes:
        since: The same.
        revision: The revision up to which the log has been read.
        is_complete: Whether it was read up to the namespace's revision at that moment.
    """

    def __init__(self, since: int) -> None:
        self.since = self.revision = since
        self.is_complete = True
        self._touched: dict[Thing, Touch] = {}

    def ask(self) -> ops.ReadChanges:
        """Returns the operation that reads on."""
        return ops.ReadChanges(self.revision)

    def take(self, page: ops.ChangePage) -> None:
        """Notes what the changes of a page touched.

        Raises:
            LogLostError: Some changes are no longer in the log.
        """
        for change in page.changes:
            if change.action == "reset":
                raise LogLostError
            if change.action != "erase":  # only of the past
                self.touch(*_touched(change))
        self.revision = page.changes[-1].revision if page.changes else page.revision
        self.is_complete = self.revision == page.revision

    def touch(self, thing: Thing, touch: Touch) -> None:
        """Notes that a thing has to be brought up to date."""
        self._touched[thing] = max(touch, self._touched.get(thing, touch))

    def drain(self) -> dict[Thing, Touch]:
        """Returns what was touched since the last call."""
        touched, self._touched = self._touched, {}
        return touched


def _touched(change: ops.ChangeEntry) -> tuple[Thing, Touch]:
    name = to_bytes(change.name)
    if change.shape == "key":
        return (CLEARED if change.action == "clear" else KEY, name), Touch.ADDED
    if change.shape == "history":
        return (HISTORY, name), Touch.ADDED if change.action == "append" else Touch.OTHER
    touches = {"put": Touch.ADDED, "delete": Touch.REMOVED, "clear": Touch.REMOVED}
    return (COLLECTION, name), touches.get(change.action, Touch.OTHER)
