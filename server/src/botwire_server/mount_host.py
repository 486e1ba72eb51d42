"""This server as the applications of other packages see it; see `botwire.mounts.Host`."""

from __future__ import annotations

import importlib.metadata
import logging
from collections.abc import AsyncIterator
from typing import Any

from botwire import operations as ops
from botwire.clock import SECOND
from botwire.engines.protocol import AsyncEngine
from botwire.errors import ConflictError
from botwire.exact import Json
from botwire.models import Change
from botwire.mounts import MOUNTS, Mount
from botwire.mounts import Scope as MountedScope
from botwire.names import SYSTEM_NAMESPACE
from botwire.operations import Batch
from botwire_server import sessions
from botwire_server.auth import Authenticator, Caller
from botwire_server.key_ring import KeyRing
from botwire_server.mounting import Mounts
from botwire_server.request_work import caller_of
from botwire_server.scopes import CALLER
from botwire_server.service import CallerEngine, check_caller
from botwire_server.watching import Watchers

logger = logging.getLogger("botwire.server")


class ServerHost:
    """This server as a mounted application sees it; see `botwire.mounts.Host`.

    Args:
        path: The path of the mount.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def engine_for(self, scope: MountedScope) -> CallerEngine:
        """Returns the store with the rights, quotas and limits of the sender of a request."""
        return CallerEngine(scope)

    def namespace_of(self, scope: MountedScope) -> str | None:
        """Returns the namespace of the sender's API key; None unless it allows exactly one."""
        caller: Caller = scope[CALLER]
        namespaces = () if caller.key is None else caller.key.namespaces
        if len(namespaces) == 1 and "*" not in namespaces[0]:
            return namespaces[0]
        return None

    def state(self, scope: MountedScope) -> MountState:
        """Returns the values that this mount keeps."""
        return MountState(scope["app"].state.engine, f"mounts{self._path}/")

    async def find_key(self, scope: MountedScope, secret: str) -> str | None:
        """Returns the public id of an API key; None if the key is unknown, revoked or expired."""
        key = await _keys(scope).find(secret)
        return None if key is None else key.id

    async def issue_token(self, scope: MountedScope, key_id: str, seconds: float) -> str | None:
        """Returns a bearer token with the rights of an API key, below the path of this mount."""
        keys = _keys(scope)
        key = await keys.find_id(key_id)
        if key is None:
            return None
        return sessions.begin(key, self._path, keys.store.clock() + round(seconds * SECOND))

    async def watch(self, scope: MountedScope, namespace: str, after: int) -> AsyncIterator[Change]:
        """Yields the changes of a namespace as they happen, until the server stops."""
        state = scope["app"].state
        watchers: Watchers = state.watchers
        engine = self.engine_for(scope)

        async def read(after: int | None) -> ops.ChangePage:
            (page,) = await engine.apply(Batch(namespace, (ops.ReadChanges(after),)))
            assert isinstance(page, ops.ChangePage)
            return page

        caller = caller_of(scope)
        watchers.begin_stream(caller, state.settings.max_streams)
        try:
            async for page in watchers.follow(namespace, after, read, lambda: check_caller(scope)):
                for entry in page.changes:
                    yield Change.of(entry)
        finally:
            watchers.end_stream(caller)


def _keys(scope: MountedScope) -> KeyRing:
    authenticator: Authenticator = scope["app"].state.authenticator
    return authenticator.keys


class MountState:
    """Entries of the system namespace; see `botwire.mounts.State`.

    Args:
        engine: The store.
        prefix: The prefix of the keys of all entries.
    """

    def __init__(self, engine: AsyncEngine, prefix: str) -> None:
        self._engine = engine
        self._prefix = prefix

    async def _apply(self, operation: ops.AnyOperation) -> Any:
        (result,) = await self._engine.apply(ops.Batch(SYSTEM_NAMESPACE, (operation,)))
        return result

    async def get(self, name: str) -> Any:
        """Returns a value; None if there is none."""
        (entry,) = await self._apply(ops.GetKeys((self._prefix + name,)))
        return None if entry is None else entry.value.value

    async def set(self, name: str, value: Any, *, ttl: float) -> None:
        """Stores a value until it expires."""
        await self._apply(ops.PutKey(self._prefix + name, Json.of(value), ttl))

    async def take(self, name: str) -> Any:
        """Removes a value and returns it; of several callers at once, only one gets it."""
        key = self._prefix + name
        (entry,) = await self._apply(ops.GetKeys((key,)))
        if entry is None:
            return None
        try:
            is_mine = await self._apply(ops.DeleteKey(key, entry.version))
        except ConflictError:
            return None
        return entry.value.value if is_mine else None

    async def delete(self, name: str) -> None:
        """Removes a value, if there is one."""
        await self._apply(ops.DeleteKey(self._prefix + name))

    async def count(self, prefix: str) -> int:
        """Returns the number of values whose names start with a prefix."""
        return int(await self._apply(ops.CountKeys(self._prefix + prefix)))


def load() -> Mounts:
    """Returns the applications of installed packages.

    If a package cannot be loaded, the server logs that and serves everything else.
    """
    mounts: dict[str, Mount] = {}
    for entry_point in importlib.metadata.entry_points(group=MOUNTS):
        path = f"/{entry_point.name}"
        try:
            mounts[path] = entry_point.load()(ServerHost(path))
        except Exception:
            logger.exception("nothing is served at %s: its package cannot be loaded", path)
    return Mounts(mounts)
