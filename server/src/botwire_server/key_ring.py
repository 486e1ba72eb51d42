"""Caches the API keys of a store, so that a request need not read them."""

from __future__ import annotations

import asyncio
import hmac
import re
import time
from collections.abc import Callable

from botwire_server.api_keys import TOUCH_SECONDS, APIKey, KeyStore, digest

STALE_SECONDS = 1.0
"""How long a server may still accept a key after it was revoked."""

_FORM = re.compile(r"bw_([0-9a-f]{12})_[0-9a-f]{64}")


class KeyRing:
    """A cache of the keys of a store, so that a request need not read it.

    The cache is checked against the store's change log before a key is refused, and when the last
    check is `STALE_SECONDS` old. So in every process, a new key works at once, and a revoked key
    works for at most one more second.

    Args:
        store: The keys.
        timer: Returns monotonic seconds.
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
        """Returns whether no key exists."""
        await self._refresh(self._timer() - STALE_SECONDS)
        return not self._keys

    async def find(self, secret: str) -> APIKey | None:
        """Returns the key with this secret; None if there is no valid one."""
        asked_at = self._timer()
        await self._refresh(asked_at - STALE_SECONDS)
        key = self._match(secret)
        if key is None:
            await self._refresh(asked_at)
            key = self._match(secret)
        return key

    async def find_id(self, id: str) -> APIKey | None:
        """Returns the key with this id; None if there is no valid one."""
        await self._refresh(self._timer() - STALE_SECONDS)
        known = self._keys.get(id)
        return known if known and known.is_valid(self.store.clock()) else None

    def _match(self, secret: str) -> APIKey | None:
        form = _FORM.fullmatch(secret)
        known = self._keys.get(form[1]) if form else None
        # Always compared, and in constant time, so that timing reveals nothing.
        same = hmac.compare_digest(known.digest if known else "", digest(secret))
        return known if known and same and known.is_valid(self.store.clock()) else None

    async def _refresh(self, since: float) -> None:
        """Waits for a check that began at a given time or later; all callers share one."""
        while self._checked_at < since:
            # A finished check began too early, or failed. Awaiting it would return at once, without
            # letting the event loop run, over and over if checks take longer than `STALE_SECONDS`.
            if self._check is None or self._check.done():
                self._check = asyncio.create_task(self._look())
            # If this caller is cancelled, the check continues for the others.
            await asyncio.shield(self._check)

    async def _look(self) -> None:
        began = self._timer()
        changed, revision = await self.store.changed_since(self._revision)
        if changed:
            self._keys = await self.store.read()
        self._revision, self._checked_at = revision, began

    def touch(self, key: APIKey) -> None:
        """Records that a key is used, and periodically stores that in the background."""
        at = self._timer()
        if at - self._touched.get(key.id, float("-inf")) >= TOUCH_SECONDS:
            self._touched[key.id] = at
            task = asyncio.create_task(self.store.touch(key.id))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """Waits until pending uses are stored."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
