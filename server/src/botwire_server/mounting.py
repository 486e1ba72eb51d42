"""Mounts applications of other packages below a path of the server; see `botwire.mounts`."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from botwire.mounts import App, Mount

logger = logging.getLogger("botwire.server")


class Mounted(NamedTuple):
    """The application that answers a path.

    Attributes:
        path: The path at which it is mounted.
        app: The application.
        stranger: Answers requests without a valid API key; see `botwire.mounts.Mount`.
        is_public: Whether it answers everyone.
    """

    path: str
    app: App
    stranger: App | None = None
    is_public: bool = False


class Mounts:
    """The applications of installed packages, by path.

    Args:
        mounts: The applications by path, such as ``/mcp``.
    """

    def __init__(self, mounts: Mapping[str, Mount]) -> None:
        self._mounts = dict(mounts)

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Runs the applications during a block.

        If one cannot start, the server logs that and serves everything else.
        """
        async with AsyncExitStack() as stack:
            for path, mount in list(self._mounts.items()):
                try:
                    await stack.enter_async_context(mount.lifespan())
                except Exception:
                    logger.exception("nothing is served at %s: its package cannot start", path)
                    del self._mounts[path]
            yield

    def stop(self) -> None:
        """Ends streams, because the server stops."""
        for mount in self._mounts.values():
            mount.stop()

    def find(self, path: str) -> Mounted | None:
        """Returns the application that answers a path; None if it is one of the server's own."""
        for mount in self._mounts.values():
            if path in mount.public:
                return Mounted(path, mount.public[path], is_public=True)
        for root, mount in self._mounts.items():
            if path == root or path.startswith(root + "/"):
                return Mounted(root, mount.app, mount.stranger)
        return None
