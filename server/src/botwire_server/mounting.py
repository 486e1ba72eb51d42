"""Mounts applications of other packages below a path of the server; see `botwire.mounts`."""

from __future__ import annotations

import importlib.metadata
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from types import SimpleNamespace

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from botwire import operations as ops
from botwire.errors import InvalidRequestError
from botwire.models import Change
from botwire.mounts import MOUNTS, Mount
from botwire.mounts import Scope as MountedScope
from botwire.operations import Batch, Results
from botwire_server import problems
from botwire_server.auth import Caller
from botwire_server.request_work import CALLER, caller_of
from botwire_server.service import apply_batch
from botwire_server.watching import Watchers

logger = logging.getLogger("botwire.server")


class Mounts:
    """The applications of installed packages, by path.

    Args:
        mounts: The applications by path, such as ``/mcp``.
    """

    def __init__(self, mounts: Mapping[str, Mount]) -> None:
        self._mounts = mounts

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Runs the applications during a block."""
        async with AsyncExitStack() as stack:
            for mount in self._mounts.values():
                await stack.enter_async_context(mount.lifespan())
            yield

    def stop(self) -> None:
        """Ends streams, because the server stops."""
        for mount in self._mounts.values():
            mount.stop()

    def at(self, path: str) -> tuple[str, Mount] | None:
        """Returns the mount at a path or above it, and its path; None if there is none."""
        for root, mount in self._mounts.items():
            if path == root or path.startswith(root + "/"):
                return root, mount
        return None

    def before(self, app: ASGIApp) -> ASGIApp:
        """Returns an application that passes requests to a mount, or to `app` if none matches."""

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            found = self.at(scope["path"]) if scope["type"] == "http" else None
            if found is None:
                await app(scope, receive, send)
                return
            path, mount = found
            scope["route"] = SimpleNamespace(path=path)  # for the log and the metrics
            await mount.app(scope, receive, send)

        return answer


class ServerHost:
    """This server as mounted applications see it; see `botwire.mounts.Host`."""

    def engine_for(self, scope: MountedScope) -> CallerEngine:
        """Returns the store with the rights, quotas and limits of the sender of a request."""
        return CallerEngine(scope)

    def namespace_of(self, scope: MountedScope) -> str | None:
        """Returns the only namespace that the sender's API key allows; None unless exactly one."""
        caller: Caller = scope[CALLER]
        namespaces = () if caller.key is None else caller.key.namespaces
        if len(namespaces) == 1 and "*" not in namespaces[0]:
            return namespaces[0]
        return None

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
            async for page in watchers.follow(namespace, after, read):
                for entry in page.changes:
                    yield Change.of(entry)
        finally:
            watchers.end_stream(caller)


class CallerEngine:
    """An `AsyncEngine` on the store, limited to what the sender of a request may do.

    Args:
        scope: The scope of the request.
    """

    def __init__(self, scope: MountedScope) -> None:
        self._scope = scope

    async def apply(self, batch: Batch) -> Results:
        """Applies a batch for the sender; see `botwire_server.service.apply_batch`."""
        try:
            return await apply_batch(self._scope, batch)
        except ClientDisconnect:
            raise InvalidRequestError("the client left", status=problems.CLIENT_GONE) from None

    async def sweep(self) -> None:
        """Does nothing: the server sweeps."""

    async def aclose(self) -> None:
        """Does nothing: the server closes the store."""


def load() -> Mounts:
    """Returns the applications of installed packages.

    If a package cannot be loaded, the server logs that and serves everything else.
    """
    mounts: dict[str, Mount] = {}
    for entry_point in importlib.metadata.entry_points(group=MOUNTS):
        path = f"/{entry_point.name}"
        try:
            mounts[path] = entry_point.load()(ServerHost())
        except Exception:
            logger.exception("nothing is served at %s: its package cannot be loaded", path)
    return Mounts(mounts)
