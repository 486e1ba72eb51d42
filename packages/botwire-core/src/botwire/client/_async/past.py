"""The past of a namespace: reading, listing and restoring it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from botwire import operations as ops
from botwire.client._async.calls import AsyncCalls
from botwire.clock import from_datetime
from botwire.errors import ConfigurationError, InvalidRequestError, NotFoundError
from botwire.models import Change, PastInfo, Version

_TOGETHER = 100  # keys restored in one transaction; undoing a clear takes one for all of a part
_RECORDS = 200  # records restored in one transaction, with the words of their texts


class AsyncMemoryPast:
    """Adds the methods for the past to `AsyncMemory`.

    The past is only kept once `keep_past` says for how long. From then on, whatever is replaced or
    deleted, or expires, is kept for that time, and counts towards the quota.
    """

    _calls: AsyncCalls

    async def keep_past(self, duration: timedelta | float | None) -> PastInfo:
        """Keeps what is changed or deleted from now on.

        On a server this requires a key with the right `admin`.

        Args:
            duration: How long to keep it, in seconds or as a `timedelta`. None stops keeping it and
                deletes what was kept.

        Returns:
            What the namespace keeps now.
        """
        if isinstance(duration, timedelta):
            duration = duration.total_seconds()
        return PastInfo.of(await self._calls.apply(ops.KeepPast(duration)))

    async def past(self) -> PastInfo:
        """Returns how long the past is kept, and how far back it goes."""
        return PastInfo.of(await self._calls.apply(ops.StatPast()))

    async def versions(self, key: str, *, limit: int | None = None) -> list[Version]:
        """Returns the current value and the past values of a key, the newest first.

        If the past is not kept, that is at most the current value.

        Args:
            key: The key.
            limit: The most versions to return; None returns all.
        """
        versions: list[Version] = []
        async for page in self._calls.pages(ops.ReadVersions(key), limit):
            versions += [Version.of(version) for version in page.versions]
        return versions

    async def changes(self, since: datetime | int | None = None) -> list[Change]:
        """Returns the changes of the namespace, the oldest first.

        Args:
            since: Only changes after this revision, or after this time; a naive datetime means UTC.
                None returns all changes that are kept.

        Raises:
            NotFoundError: `since` is earlier than the kept past.
            InvalidRequestError: The namespace has not reached the revision `since`.
        """
        after: Any = since
        if since is None:
            after = (await self._calls.apply(ops.StatPast())).since
        elif isinstance(since, datetime):
            after = await self._calls.apply(ops.FindRevision(from_datetime(since)))
        changes: list[Change] = []
        while True:
            page = await self._calls.apply(ops.ReadChanges(after))
            if not page.changes:
                return changes
            if after > page.revision:
                raise InvalidRequestError(
                    f"revision {after} is in the future: the namespace is at {page.revision}"
                )
            if page.changes[0].action == "reset":
                raise NotFoundError(
                    f"the changes since revision {after} are no longer kept: ask for later ones"
                )
            changes += [Change.of(entry) for entry in page.changes]
            after = changes[-1].revision

    async def restore(
        self,
        at: datetime | int,
        *,
        key: str | None = None,
        history: str | None = None,
        records: str | None = None,
    ) -> int:
        """Restores a key, a history, the records of a collection, or all of them, as of a moment.

        It makes new writes, so it can itself be undone. Whatever would have expired since is not
        restored. Each history is restored as a whole, keys and records in parts; after an
        interruption call it again.

        Args:
            at: The revision or time to go back to; a naive datetime means UTC.
            key: Restore only this key.
            history: Restore only this history.
            records: Restore only the records of this collection.

        Returns:
            The number of keys, items and records written or deleted.

        Raises:
            NotFoundError: `at` is earlier than the kept past, or the past of something to restore
                was erased after it; nothing was written.
            InvalidRequestError: The namespace keeps no past.
        """
        shape, name = _one_of("restore", key, history, records)
        moment = moment_of(at)
        if moment.time is not None:  # resolved now, because restoring changes the revision
            moment = ops.Moment(await self._calls.apply(ops.FindRevision(moment.time)))
        if shape is not None and name is not None:
            return await self._restore(moment, shape, [name])
        # List all changes before writing anything, so that an erased past is refused in time.
        changed = {each: await self._changed(moment, each) for each in ops.SHAPES}
        return sum([await self._restore(moment, each, names) for each, names in changed.items()])

    async def undo(self, revision: int) -> int:
        """Takes a change back with a new write.

        Args:
            revision: The change's number; see `changes`.

        Returns:
            The number of keys, items and records written or deleted.

        Raises:
            ConflictError: What it changed was changed again later; nothing was written.
            NotFoundError: The change is no longer kept.
            InvalidRequestError: The namespace keeps no past.
        """
        ops.check_count(revision, "revision", least=1)
        page = await self._calls.apply(ops.ReadChanges(revision - 1, limit=1))
        change = page.changes[0] if page.changes else None
        if change is None or change.revision != revision or change.action == "reset":
            raise NotFoundError(
                f"change {revision} is not kept: see `botwire changes`, or the method changes()"
            )
        if change.action == "erase":
            raise InvalidRequestError(
                f"change {revision} erased the past of {change.shape} {change.name!r:.80} for "
                "good: it cannot be undone"
            )
        moment = ops.Moment(revision - 1)
        if change.shape == "key" and change.action == "clear":
            names = await self._changed(moment, "key", change.name)
            return await self._restore(moment, "key", names, only=revision)
        return await self._restore(moment, change.shape, [change.name], only=revision)

    async def erase_past(
        self,
        *,
        key: str | None = None,
        history: str | None = None,
        records: str | None = None,
    ) -> int:
        """Permanently deletes the kept past of one thing, or of everything.

        The current state stays. If everything is erased, the past starts over. If one thing is
        erased, it reads at earlier moments as if it had not existed, and restoring it to such a
        moment is refused. On a server this requires a key with the right `admin`.

        Args:
            key: Erase only the past of this key.
            history: Erase only the past of this history.
            records: Erase only the past of the records of this collection.

        Returns:
            The number of rows deleted.
        """
        shape, name = _one_of("erase_past", key, history, records)
        return await self._calls.in_parts(ops.ErasePast(shape, name, ops.PART))

    async def _changed(self, moment: ops.Moment, shape: str, prefix: str = "") -> list[str]:
        names: list[str] = []
        async for page in self._calls.pages(ops.ListChanged(moment, shape, prefix)):
            names += page.names
        return names

    async def _restore(
        self, moment: ops.Moment, shape: str, names: list[str], only: int | None = None
    ) -> int:
        restored = 0
        if shape == "key":
            together = _TOGETHER if only is None else ops.PART
            for start in range(0, len(names), together):
                batch = [
                    ops.RestorePast(moment, shape, name, only)
                    for name in names[start : start + together]
                ]
                parts = await self._calls.apply_all(batch)
                restored += sum(part.restored for part in parts)
            return restored
        for name in names:
            operation = ops.RestorePast(moment, shape, name, only, limit=_RECORDS)
            while True:
                part = await self._calls.apply(operation)
                restored += part.restored
                if part.after is None:
                    break
                operation = ops.RestorePast(moment, shape, name, only, part.after, _RECORDS)
        return restored


def _one_of(
    method: str, key: str | None, history: str | None, records: str | None
) -> tuple[str | None, str | None]:
    """Returns the shape and the name of the one thing given; two None for everything."""
    given = zip(ops.SHAPES, (key, history, records), strict=True)
    named = [(shape, name) for shape, name in given if name is not None]
    if len(named) > 1:
        raise ConfigurationError(
            f"{method} takes one of key, history and records, or none of them for everything"
        )
    return named[0] if named else (None, None)


def moment_of(at: datetime | int) -> ops.Moment:
    """Returns a `Moment` for a revision or a datetime.

    Raises:
        ConfigurationError: It is neither a revision nor a datetime.
    """
    if isinstance(at, datetime):
        return ops.Moment(time=from_datetime(at))
    if isinstance(at, bool) or not isinstance(at, int):
        raise ConfigurationError(f"at is a revision or a datetime, not {type(at).__name__}")
    moment = ops.Moment(at)
    ops.check_moment(moment)
    return moment
