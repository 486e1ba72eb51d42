"""API keys: secrets that say who calls, kept as digests in the store that they open.

A key is ``bw_``, a public id of 12 hexadecimal digits, ``_``, and a secret of 256 random bits. The
store holds its SHA-256: slow hashes protect passwords, which can be guessed; this cannot be.

Keys are entries of the system's namespace, so every process that serves a store has the same ones,
and each change of them is in the audit log, in the same transaction.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from botwire import operations as ops
from botwire.clock import Clock, now
from botwire.engines.protocol import AsyncEngine
from botwire.errors import ConfigurationError, ConflictError, NotFoundError
from botwire.exact import Json
from botwire.names import SYSTEM_NAMESPACE, check_any_namespace
from botwire.operations.terms import AUDIT_LOG

RIGHTS: Mapping[str, frozenset[str]] = {
    "metrics": frozenset({"metrics"}),
    "read": frozenset({"read"}),
    "write": frozenset({"read", "write"}),
    "admin": frozenset({"read", "write", "admin", "metrics"}),
}
"""What a key of each right may do."""
NO_WRITE = ops.Batch(SYSTEM_NAMESPACE, (ops.DeleteKey("ready"),))
"""Writes as others do, and changes nothing."""
EVERYTHING = "*"
"""The pattern of all namespaces."""
STALE_SECONDS = 1.0
"""For how long after a key was revoked a server may still take it."""
TOUCH_SECONDS = 60.0
"""How often at most the last use of a key is written down."""

_FORM = re.compile(r"bw_([0-9a-f]{12})_[0-9a-f]{64}")
_KEYS = "api-keys/"
_USES = "api-keys-used/"
_MICROSECONDS = 1_000_000
_TRIMMED_AT_ONCE = 500  # entries of the audit log, in one transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class APIKey:
    """What is known of an API key; its secret is not.

    Attributes:
        id: Names it in lists, logs and the audit log.
        digest: The SHA-256 of the whole key, in hexadecimal.
        label: What it is for, in the words of whoever made it.
        namespaces: Patterns of the namespaces that it opens; ``*`` is any run of characters.
        right: One of `RIGHTS`.
        created_at: In microseconds since 1970, as all times here.
        expires_at: From when on it opens nothing; None is never.
        revoked_at: The same, by whoever revoked it.
        writes: How many it may make in a day (UTC); None is the server's setting.
        rate: How many requests it may make in a minute; None is the server's setting.
    """

    id: str
    digest: str
    label: str
    namespaces: tuple[str, ...]
    right: str
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None
    writes: int | None = None
    rate: int | None = None

    def __post_init__(self) -> None:
        if self.right not in RIGHTS:
            raise ConfigurationError(f"a right is one of {', '.join(RIGHTS)}, not {self.right!r}")
        if not self.namespaces:
            raise ConfigurationError("a key needs a pattern of the namespaces that it opens")
        for pattern in self.namespaces:
            check_any_namespace(pattern)

    def is_valid(self, at: int) -> bool:
        """Says whether it opens anything at a moment."""
        ends = [end for end in (self.expires_at, self.revoked_at) if end is not None]
        return all(at < end for end in ends)

    def may(self, right: str, namespace: str | None = None) -> bool:
        """Says whether it has a right in a namespace; without one, in all there can be."""
        if right not in RIGHTS[self.right]:
            return False
        if EVERYTHING in self.namespaces:
            return True
        return namespace is not None and any(
            matches(pattern, namespace) for pattern in self.namespaces
        )

    @property
    def account(self) -> str:
        """The reserved namespace under which its writes are counted."""
        return f"{SYSTEM_NAMESPACE}/{_KEYS}{self.id}"


def matches(pattern: str, namespace: str) -> bool:
    """Says whether a pattern stands for a namespace: ``*`` is any run of characters."""
    first, *others = pattern.split("*")
    if not others:
        return namespace == pattern
    if not namespace.startswith(first):
        return False
    at, last = len(first), others.pop()
    for part in others:
        found = namespace.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return len(namespace) - len(last) >= at and namespace.endswith(last)


def digest(secret: str) -> str:
    """Returns what a store keeps of a key."""
    return hashlib.sha256(secret.encode()).hexdigest()


class KeyStore:
    """The API keys of a store.

    Args:
        engine: Of the store.
        clock: Returns the present time.
    """

    def __init__(self, engine: AsyncEngine, *, clock: Clock = now) -> None:
        self._engine = engine
        self.clock = clock

    async def _apply(self, *operations: ops.AnyOperation) -> ops.Results:
        return await self._engine.apply(ops.Batch(SYSTEM_NAMESPACE, operations))

    async def create(self, *, who: str, **fields: Any) -> tuple[APIKey, str]:
        """Makes a key.

        Args:
            who: Who makes it, for the audit log.
            fields: Of the `APIKey`, without id, digest and time.

        Returns:
            What is known of it, and the key itself, which is nowhere kept.
        """
        id = secrets.token_hex(6)
        secret = f"bw_{id}_{secrets.token_hex(32)}"
        key = APIKey(id=id, digest=digest(secret), created_at=self.clock(), **fields)
        await self._apply(_put(key, 0), _tell("key.create", who, key))
        return key, secret

    async def read(self) -> dict[str, APIKey]:
        """Returns all keys by id, the expired and the revoked too, the oldest first."""
        found = [key for key, _ in await self._read()]
        return {key.id: key for key in sorted(found, key=lambda key: (key.created_at, key.id))}

    async def _read(self) -> list[tuple[APIKey, int]]:
        keys, after = [], None
        while True:
            (page,) = await self._apply(ops.ScanKeys(_KEYS, after=after))
            for entry in page.entries:
                fields = entry.value.value
                fields["namespaces"] = tuple(fields["namespaces"])
                id = entry.key.removeprefix(_KEYS)
                keys.append((APIKey(id=id, **fields), entry.version))
            if not page.more:
                return keys
            after = page.entries[-1].key

    async def _find(self, id: str) -> tuple[APIKey, int]:
        for key, version in await self._read():
            if key.id == id:
                return key, version
        raise NotFoundError(f"there is no API key {id!r}: `botwire keys list` shows them")

    async def revoke(self, id: str, *, who: str) -> APIKey:
        """Ends a key at once; it stays in the list. Returns what is known of it.

        Raises:
            NotFoundError: There is no such key.
            ConflictError: Someone else changed it at the same time.
        """
        key, version = await self._find(id)
        if key.revoked_at is None:
            key = replace(key, revoked_at=self.clock())
            await self._apply(_put(key, version), _tell("key.revoke", who, key))
        return key

    async def rotate(self, id: str, *, overlap: float, who: str) -> tuple[APIKey, str]:
        """Makes a key in the place of another, which ends.

        Args:
            id: Of the other.
            overlap: Seconds that the other goes on.
            who: Who does it, for the audit log.

        Raises:
            NotFoundError: There is no such key.
            ConflictError: It was revoked, or someone else changed it at the same time.
        """
        old, version = await self._find(id)
        if old.revoked_at is not None:
            raise ConflictError(f"the API key {id!r} was revoked: create a new one")
        new_id = secrets.token_hex(6)
        secret = f"bw_{new_id}_{secrets.token_hex(32)}"
        at = self.clock()
        new = replace(old, id=new_id, digest=digest(secret), created_at=at)
        ended = replace(old, revoked_at=at + round(overlap * _MICROSECONDS))
        await self._apply(
            _put(ended, version),
            _put(new, 0),
            _tell("key.rotate", who, old, replaced_by=new_id),
        )
        return new, secret

    async def reset(self, *, who: str) -> int:
        """Forgets all keys, and that there ever were any; returns how many."""
        entry = Json.of({"event": "key.reset", "who": who})
        count, _, _ = await self._apply(
            ops.ClearKeys(_KEYS), ops.ClearKeys(_USES), ops.ExtendHistory(AUDIT_LOG, (entry,))
        )
        return int(count)

    async def last_uses(self) -> dict[str, int]:
        """Returns by id when keys were last used, to the minute."""
        uses: dict[str, int] = {}
        after = None
        while True:
            (page,) = await self._apply(ops.ScanKeys(_USES, after=after))
            uses |= {one.key.removeprefix(_USES): one.updated_at for one in page.entries}
            if not page.more:
                return uses
            after = page.entries[-1].key

    async def touch(self, id: str) -> None:
        """Writes down that a key is used, unless another process just has."""
        name = _USES + id
        ((entry,),) = await self._apply(ops.GetKeys((name,)))
        if entry and self.clock() - entry.updated_at < TOUCH_SECONDS * _MICROSECONDS:
            return
        try:
            await self._apply(ops.PutKey(name, Json.of(None), None, entry.version if entry else 0))
        except ConflictError:
            return  # another process just has

    async def changed_since(self, revision: int | None) -> tuple[bool, int]:
        """Says whether keys may have changed since a revision, and which it is now."""
        changed = revision is None
        while True:
            (page,) = await self._apply(ops.ReadChanges(revision))
            for change in page.changes:
                changed |= change.shape == "namespace" or change.name.startswith(_KEYS)
            revision = page.changes[-1].revision if page.changes else page.revision
            if revision >= page.revision:
                return changed, page.revision

    async def audit(self, limit: int) -> list[dict[str, Any]]:
        """Returns the last entries of the audit log, the oldest first."""
        found: list[ops.HistoryItem] = []
        before = None
        while len(found) < limit:
            wanted = min(limit - len(found), ops.MAX_PAGE)
            (page,) = await self._apply(
                ops.ReadHistory(AUDIT_LOG, 0, before, wanted, newest_first=True)
            )
            found += page.items
            if not page.more:
                break
            before = found[-1].seq
        return [{"at": item.created_at, **item.value.value} for item in reversed(found)]

    async def trim_audit(self, before: int) -> int:
        """Deletes the oldest entries of the audit log; returns how many.

        Args:
            before: Only those written before this time. What comes after one that is younger stays
                with it, as clocks differ: nothing young goes, and the log has no holes.
        """
        trimmed = 0
        while True:
            (page,) = await self._apply(ops.ReadHistory(AUDIT_LOG, limit=_TRIMMED_AT_ONCE))
            old = itertools.takewhile(lambda item: item.created_at < before, page.items)
            seqs = tuple([item.seq for item in old])
            if not seqs:
                return trimmed
            (count,) = await self._apply(ops.DeleteItems(AUDIT_LOG, seqs))
            trimmed += int(count)
            if len(seqs) < len(page.items) or not page.more:
                return trimmed


def _put(key: APIKey, version: int) -> ops.PutKey:
    fields = asdict(key)
    del fields["id"]
    fields["namespaces"] = list(key.namespaces)
    return ops.PutKey(_KEYS + key.id, Json.of(fields), None, version)


def _tell(event: str, who: str, key: APIKey, **more: str) -> ops.ExtendHistory:
    entry = {
        "event": event,
        "who": who,
        "key": key.id,
        "label": key.label,
        "right": key.right,
        "namespaces": list(key.namespaces),
        **more,
    }
    return ops.ExtendHistory(AUDIT_LOG, (Json.of(entry),))


class KeyRing:
    """The keys of a store, remembered, so that a request costs no look into it.

    What is remembered is checked against the store's log of changes: before a key is refused, and
    otherwise when the last check is `STALE_SECONDS` old. So a new key opens at once, and a revoked
    one for a second at most, in every process.

    Args:
        store: Where the keys are.
        timer: Returns seconds that only grow.
    """

    def __init__(self, store: KeyStore, *, timer: Callable[[], float] = time.monotonic) -> None:
        self.store = store
        self._timer = timer
        self._keys: dict[str, APIKey] = {}
        self._revision: int | None = None
        self._checked_at = float("-inf")
        self._check: asyncio.Task[None] | None = None
        self._touched: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def is_empty(self) -> bool:
        """Says whether there never was a key."""
        await self._refresh(self._timer() - STALE_SECONDS)
        return not self._keys

    async def find(self, secret: str) -> APIKey | None:
        """Returns the key that a secret is, if it is valid."""
        asked_at = self._timer()
        await self._refresh(asked_at - STALE_SECONDS)
        key = self._match(secret)
        if key is None:
            await self._refresh(asked_at)
            key = self._match(secret)
        return key

    async def is_valid(self, key: APIKey) -> bool:
        """Says whether a key that was found is valid still."""
        await self._refresh(self._timer() - STALE_SECONDS)
        known = self._keys.get(key.id)
        return known is not None and known.is_valid(self.store.clock())

    def _match(self, secret: str) -> APIKey | None:
        form = _FORM.fullmatch(secret)
        known = self._keys.get(form[1]) if form else None
        # Compared in any case, and in constant time: how long it takes says nothing.
        same = hmac.compare_digest(known.digest if known else "", digest(secret))
        return known if known and same and known.is_valid(self.store.clock()) else None

    async def _refresh(self, since: float) -> None:
        """Waits until a check is done that began at a moment or later; one serves all who wait."""
        while self._checked_at < since:
            # One that is done began too early, or failed. Waiting for it would not give way to
            # anybody: for ever, where a check takes longer than what it finds may be old.
            if self._check is None or self._check.done():
                self._check = asyncio.create_task(self._look())
            # Whoever waits may give up; the check goes on for the others.
            await asyncio.shield(self._check)

    async def _look(self) -> None:
        began = self._timer()
        changed, revision = await self.store.changed_since(self._revision)
        if changed:
            self._keys = await self.store.read()
        self._revision, self._checked_at = revision, began

    def touch(self, key: APIKey) -> None:
        """Notes that a key is used; it is written down meanwhile, and rarely."""
        at = self._timer()
        if at - self._touched.get(key.id, float("-inf")) >= TOUCH_SECONDS:
            self._touched[key.id] = at
            self._start(self.store.touch(key.id))

    def _start(self, work: Awaitable[None]) -> None:
        async def run() -> None:
            await work

        task = asyncio.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """Waits for what is being written down."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
