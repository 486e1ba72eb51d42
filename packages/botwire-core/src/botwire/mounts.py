"""What a package needs in order to answer below a path of ``botwire serve``.

A package declares a function by an entry point in the group ``botwire.mounts``. The name of the
entry point is the path: botwire-mcp declares ``mcp`` and answers at ``/mcp``. The function takes a
`Host` and returns a `Mount`. The server has then identified the sender of each request.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

from botwire.engines.protocol import AsyncEngine
from botwire.models import Change

MOUNTS = "botwire.mounts"
"""The entry point group in which packages declare what they mount."""

Scope = MutableMapping[str, Any]
"""The scope of a request; see https://asgi.readthedocs.io."""
App = Callable[[Scope, Callable[..., Any], Callable[..., Any]], Awaitable[None]]
"""An ASGI application."""


class Host(Protocol):
    """The server, as a mounted application sees it."""

    def engine_for(self, scope: Scope) -> AsyncEngine:
        """Returns the store with the rights, quotas and limits of the sender of a request."""
        ...

    def namespace_of(self, scope: Scope) -> str | None:
        """Returns the only namespace that the sender's API key allows; None if there are more."""
        ...

    def watch(self, scope: Scope, namespace: str, after: int) -> AsyncIterator[Change]:
        """Yields the changes of a namespace as they happen, until the server stops.

        Writes through this server are pushed. It counts as one of the sender's open streams.

        Args:
            scope: The scope of the sender's request.
            namespace: The namespace.
            after: Start after this revision.

        Raises:
            BotWireError: The sender may not read the namespace, or has too many streams open.
        """
        ...


@dataclass(frozen=True)
class Mount:
    """An application to mount.

    Attributes:
        app: Answers requests to the path and below. It must leave ``scope["app"]`` as it is.
        lifespan: Entered before the first request, and left when the server stops.
        stop: Ends streams that would otherwise keep a server from stopping.
        stranger: Answers requests without a valid API key, such as with a page to sign in. None:
            the server refuses them. With it, the server accepts its own sessions at this path
            instead of an API key.
    """

    app: App
    lifespan: Callable[[], AbstractAsyncContextManager[Any]] = nullcontext
    stop: Callable[[], None] = lambda: None
    stranger: App | None = None
