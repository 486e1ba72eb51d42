"""API keys: secrets that identify callers, stored as digests in the store they open.

A key is ``bw_``, a public id of 12 hexadecimal digits, ``_``, and a secret of 256 random bits. The
store holds its SHA-256. Slow hashes are for passwords, which can be guessed; these secrets cannot
be.

Keys are entries of the system namespace, so all processes that serve a store share them. Each
change of a key adds an entry to the audit log in the same transaction.
"""

from __future__ import annotations

import hashlib
import itertools
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from botwire import operations as ops
from botwire.clock import SECOND, Clock, now
from botwire.engines.protocol import AsyncEngine
from botwire.errors import ConfigurationError, ConflictError, NotFoundError
from botwire.exact import Json
from botwire.names import SYSTEM_NAMESPACE, check_any_namespace, matches
from botwire.operations.terms import AUDIT_LOG

RIGHTS: Mapping[str, frozenset[str]] = {
    "metrics": frozenset({"metrics"}),
    "read": frozenset({"read"}),
    "write": frozenset({"read", "write"}),
    "admin": frozenset({"read", "write", "admin", "metrics"}),
}
"""What each right of a key includes."""
NO_WRITE = ops.Batch(SYSTEM_NAMESPACE, (ops.DeleteKey("ready"),))
"""A no-op write, which fails if the store is not writable."""
EVERYTHING = "*"
"""The pattern that matches all namespaces."""
TOUCH_SECONDS = 60.0
"""Shortest interval at which the last use of a key is stored."""
_KEYS = "api-keys/"
_USES = "api-keys-used/"
_TRIMMED_AT_ONCE = 500  # entries of the audit log deleted in one transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class APIKey:
    """An API key without its secret.

    Attributes:
        id: The public id, for lists and logs.
        digest: The SHA-256 of the whole key, in hexadecimal.
        label: What the key is for, in its creator's words.
        namespaces: Patterns of the namespaces that it may access; ``*`` matches any characters.
        right: One of `RIGHTS`.
        created_at: When the key was created, in microseconds since 1970 like all times here.
        expires_at: When the key expires; None: never.
        revoked_at: When the key was or will be revoked.
        writes: Most writes per day (UTC); None: the server's setting.
        rate: Most requests per minute; None: the server's setting.
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
            raise ConfigurationError(
                f"a right must be one of {', '.join(RIGHTS)}, not {self.right!r}"
            )
        if not self.namespaces:
            raise ConfigurationError("a key needs at least one pattern of namespaces that it opens")
        for pattern in self.namespaces:
            check_any_namespace(pattern)

    def is_valid(self, at: int) -> bool:
        """Returns whether the key is valid at a time."""
        ends = [end for end in (self.expires_at, self.revoked_at) if end is not None]
        return all(at < end for end in ends)

    def may(self, right: str, namespace: str | None = None) -> bool:
        """Returns whether the key has a right in a namespace; None: in all namespaces."""
        if right not in RIGHTS[self.right]:
            return False
        if EVERYTHING in self.namespaces:
            return True
        return namespace is not None and any(
            matches(pattern, namespace) for pattern in self.namespaces
        )

    @property
    def account(self) -> str:
        """The reserved namespace in which the key's writes are counted."""
        return f"{SYSTEM_NAMESPACE}/{_KEYS}{self.id}"


def digest(secret: str) -> str:
    """Returns the digest of a key, which the store keeps instead of the key."""
    return hashlib.sha256(secret.encode()).hexdigest()


class KeyStore:
    """The API keys of a store, and its audit log.

    Args:
        engine: The store.
        clock: Returns the current time.
    """

    def __init__(self, engine: AsyncEngine, *, clock: Clock = now) -> None:
        self._engine = engine
        self.clock = clock

    async def _apply(self, *operations: ops.AnyOperation) -> ops.Results:
        return await self._engine.apply(ops.Batch(SYSTEM_NAMESPACE, operations))

    async def create(self, *, who: str, **fields: Any) -> tuple[APIKey, str]:
        """Creates a key.

        Args:
            who: Who creates it, for the audit log.
            fields: The fields of the `APIKey` except id, digest and creation time.

        Returns:
            The key, and its secret, which is not stored.

        Raises:
            ConfigurationError: A field is wrong, or the key would have expired already.
        """
        id, secret = _new_secret()
        key = APIKey(id=id, digest=digest(secret), created_at=self.clock(), **fields)
        if not key.is_valid(key.created_at):
            raise ConfigurationError("the key would have expired already: choose a time to come")
        await self._apply(_put(key, 0), _tell("key.create", who, key))
        return key, secret

    async def read(self) -> dict[str, APIKey]:
        """Returns all keys by id, oldest first, including expired and revoked ones."""
        found = [key for key, _ in await self._read()]
        return {key.id: key for key in sorted(found, key=lambda key: (key.created_at, key.id))}

    async def _read(self) -> list[tuple[APIKey, int]]:
        keys = []
        async for entry in self._scan(_KEYS):
            fields = entry.value.value
            fields["namespaces"] = tuple(fields["namespaces"])
            keys.append((APIKey(id=entry.key.removeprefix(_KEYS), **fields), entry.version))
        return keys

    async def _scan(self, prefix: str) -> AsyncIterator[Any]:
        following: ops.ScanKeys | None = ops.ScanKeys(prefix)
        while following is not None:
            (page,) = await self._apply(following)
            for entry in page.entries:
                yield entry
            following = following.following(page)

    async def _find(self, id: str) -> tuple[APIKey, int]:
        for key, version in await self._read():
            if key.id == id:
                return key, version
        raise NotFoundError(f"API key {id!r} does not exist: `botwire keys list` shows all keys")

    async def revoke(self, id: str, *, who: str) -> APIKey:
        """Revokes a key at once, and returns it; it stays in the list.

        Raises:
            NotFoundError: The key does not exist.
            ConflictError: The key was changed at the same time.
        """
        key, version = await self._find(id)
        if key.revoked_at is None:
            key = replace(key, revoked_at=self.clock())
            await self._apply(_put(key, version), _tell("key.revoke", who, key))
        return key

    async def rotate(self, id: str, *, overlap: float, who: str) -> tuple[APIKey, str]:
        """Creates a key to replace another, revokes the old one, and returns what `create` returns.

        Args:
            id: The id of the key to replace.
            overlap: Seconds that the old key stays valid.
            who: Who rotates it, for the audit log.

        Raises:
            NotFoundError: The key does not exist.
            ConflictError: The key is revoked or has expired, or was changed at the same time.
        """
        old, version = await self._find(id)
        if old.revoked_at is not None:
            raise ConflictError(f"API key {id!r} was revoked: create a new one")
        at = self.clock()
        if not old.is_valid(at):  # and the new one would have its expiry
            raise ConflictError(f"API key {id!r} has expired: create a new one")
        new_id, secret = _new_secret()
        new = replace(old, id=new_id, digest=digest(secret), created_at=at)
        ended = replace(old, revoked_at=at + round(overlap * SECOND))
        await self._apply(
            _put(ended, version),
            _put(new, 0),
            _tell("key.rotate", who, old, replaced_by=new_id),
        )
        return new, secret

    async def reset(self, *, who: str) -> int:
        """Deletes all keys, so that the server requires none; returns their number."""
        entry = Json.of({"event": "key.reset", "who": who})
        count, _, _ = await self._apply(
            ops.ClearKeys(_KEYS), ops.ClearKeys(_USES), ops.ExtendHistory(AUDIT_LOG, (entry,))
        )
        return int(count)

    async def last_uses(self) -> dict[str, int]:
        """Returns when each key was last used, to the minute, by id."""
        return {
            entry.key.removeprefix(_USES): entry.updated_at async for entry in self._scan(_USES)
        }

    async def touch(self, id: str) -> None:
        """Stores that a key was used now, unless another process has just done so."""
        name = _USES + id
        ((entry,),) = await self._apply(ops.GetKeys((name,)))
        if entry and self.clock() - entry.updated_at < TOUCH_SECONDS * SECOND:
            return
        try:
            await self._apply(ops.PutKey(name, Json.of(None), None, entry.version if entry else 0))
        except ConflictError:
            return  # another process has just done so

    async def changed_since(self, revision: int | None) -> tuple[bool, int]:
        """Returns whether keys may have changed since a revision, and the current revision."""
        changed = revision is None
        while True:
            (page,) = await self._apply(ops.ReadChanges(revision))
            for change in page.changes:
                changed |= change.shape == "namespace" or change.name.startswith(_KEYS)
            revision = page.changes[-1].revision if page.changes else page.revision
            if revision >= page.revision:
                return changed, page.revision

    async def audit(self, limit: int) -> list[dict[str, Any]]:
        """Returns the latest entries of the audit log, oldest first."""
        found: list[ops.HistoryItem] = []
        following: ops.ReadHistory | None = ops.ReadHistory(AUDIT_LOG, newest_first=True)
        while following is not None and len(found) < limit:
            wanted = min(limit - len(found), ops.MAX_PAGE)
            (page,) = await self._apply(replace(following, limit=wanted))
            found += page.items
            following = following.following(page)
        return [_audited(item) for item in reversed(found)]

    async def trim_audit(self, before: int) -> int:
        """Deletes the oldest entries of the audit log; returns their number.

        Args:
            before: Delete entries older than this. Clocks differ, so an old entry may follow a
                newer one. Such an entry stays, so that the log has no gaps.
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


def _new_secret() -> tuple[str, str]:
    """Returns the id of a new key, and the key itself."""
    id = secrets.token_hex(6)
    return id, f"bw_{id}_{secrets.token_hex(32)}"


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


def _audited(item: ops.HistoryItem) -> dict[str, Any]:
    """Returns an entry of the audit log, including what the client said about itself."""
    entry = {"at": item.created_at, **item.value.value}
    if item.author is not None:
        said = replace(item.author, key=None)
        if said:
            entry["author"] = str(said)
    return entry
