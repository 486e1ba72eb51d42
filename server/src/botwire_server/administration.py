"""Administration of the server for mounted applications, such as the console."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Any

from botwire import operations as ops
from botwire.clock import DAY, now
from botwire.mounts import Scope
from botwire.names import SYSTEM_NAMESPACE
from botwire.operations.terms import Quota
from botwire.transfer.admin import LAST_BACKUP
from botwire_server.api_keys import APIKey, KeyStore
from botwire_server.auth import Caller
from botwire_server.metrics import Sample
from botwire_server.scopes import CALLER
from botwire_server.settings import Settings
from botwire_server.sweeping import SIZES


@dataclass(frozen=True)
class StoredSize:
    """The size of the store at one time.

    Attributes:
        at: When it was measured.
        bytes: The size of the store on disk.
        namespaces: The number of namespaces.
    """

    at: int
    bytes: int
    namespaces: int


@dataclass(frozen=True)
class Health:
    """The state of the server and its store.

    Attributes:
        python: The version of Python.
        engine: ``sqlite`` or ``postgresql``.
        bytes: The size of the store on disk.
        workers: The number of worker processes.
        is_writable: Whether the last write of this process succeeded.
        sample: The numbers of all workers since the server started.
        backed_up: When ``botwire backup`` last copied the store; None if it never did.
    """

    python: str
    engine: str
    bytes: int
    workers: int
    is_writable: bool
    sample: Sample
    backed_up: int | None


def quota_of(scope: Scope) -> Quota:
    """Returns the quota of each namespace of the server that answers a request."""
    settings: Settings = scope["app"].state.settings
    return Quota(settings.writes_a_day, settings.bytes_stored)


class Administration:
    """The administration of a server, for the sender of a request.

    Args:
        scope: The scope of the request.

    Raises:
        PermissionDeniedError: The sender may not administer all namespaces.
    """

    def __init__(self, scope: Scope) -> None:
        self._caller: Caller = scope[CALLER]
        self._caller.require("admin")
        self._state = scope["app"].state

    @property
    def _keys(self) -> KeyStore:
        store: KeyStore = self._state.authenticator.keys.store
        return store

    @property
    def _who(self) -> str:
        key = self._caller.key
        return "the console, without an API key" if key is None else key.id

    # --- API keys ---------------------------------------------------------------------------

    async def keys(self) -> list[tuple[APIKey, int | None]]:
        """Returns all API keys, the newest first, and when each was last used."""
        uses = await self._keys.last_uses()
        return [(key, uses.get(key.id)) for key in reversed((await self._keys.read()).values())]

    async def create_key(self, **fields: Any) -> tuple[APIKey, str]:
        """Creates an API key; see `KeyStore.create`."""
        return await self._keys.create(who=self._who, **fields)

    async def revoke_key(self, id: str) -> APIKey:
        """Revokes an API key; see `KeyStore.revoke`."""
        return await self._keys.revoke(id, who=self._who)

    async def audit(self, limit: int) -> list[dict[str, Any]]:
        """Returns the latest entries of the audit log, the newest first."""
        return (await self._keys.audit(limit))[::-1]

    # --- the server and its store -----------------------------------------------------------

    async def sizes(self, days: int) -> list[StoredSize]:
        """Returns the recorded sizes of the store, the oldest first."""
        scan = ops.ScanKeys(SIZES, after=f"{SIZES}{now() - days * DAY:020}")
        (page,) = await self._apply(scan)
        return [
            StoredSize(int(entry.key.removeprefix(SIZES)), *entry.value.value)
            for entry in page.entries
        ]

    async def health(self) -> Health:
        """Returns the state of the server and its store."""
        (stat,) = await self._apply(ops.StatStore())
        ((backup,),) = await self._apply(ops.GetKeys((LAST_BACKUP,)))
        return Health(
            platform.python_version(),
            stat.engine,
            stat.bytes,
            self._state.settings.workers,
            self._state.is_writable,
            self._state.metrics.read(),
            None if backup is None else backup.updated_at,
        )

    async def _apply(self, *operations: ops.AnyOperation) -> ops.Results:
        results: ops.Results = await self._state.engine.apply(
            ops.Batch(SYSTEM_NAMESPACE, operations)
        )
        return results
