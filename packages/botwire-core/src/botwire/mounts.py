"""The interface for packages that answer requests below a path of ``botwire serve``.

A package declares a function as an entry point in the group ``botwire.mounts``. The entry point's
name is the path: botwire-mcp declares ``mcp`` and answers at ``/mcp``. The function takes a `Host`
and returns a `Mount`. The server identifies the sender before it passes a request on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

from botwire.engines.protocol import AsyncEngine
from botwire.models import Change

MOUNTS = "botwire.mounts"
"""The entry point group in which packages declare what they mount."""
REFUSAL = "botwire.refusal"
"""The scope key under which the server explains why the sender is unknown; see `Mount.stranger`."""

Scope = MutableMapping[str, Any]
"""The scope of a request; see https://asgi.readthedocs.io."""
App = Callable[[Scope, Callable[..., Any], Callable[..., Any]], Awaitable[None]]
"""An ASGI application."""


class State(Protocol):
    """JSON values that a mounted application stores, separate from everyone's memory.

    They survive restarts, and all servers on a store share them. Never build a name from what a
    sender chose: names are neither escaped nor limited.
    """

    async def get(self, name: str) -> Any:
        """Returns a value; None if there is none."""
        ...

    async def set(self, name: str, value: Any, *, ttl: float) -> None:
        """Stores a value.

        Args:
            name: Its name, such as ``codes/1f3a``.
            value: A JSON value.
            ttl: Seconds until it expires.
        """
        ...

    async def take(self, name: str) -> Any:
        """Removes a value and returns it; of several callers at once, only one gets it."""
        ...

    async def delete(self, name: str) -> None:
        """Removes a value, if there is one."""
        ...

    async def count(self, prefix: str) -> int:
        """Returns the number of values whose names start with a prefix."""
        ...


class Host(Protocol):
    """The server, as a mounted application sees it."""

    def engine_for(self, scope: Scope) -> AsyncEngine:
        """Returns the store with the rights, quotas and limits of the sender of a request."""
        ...

    def namespace_of(self, scope: Scope) -> str | None:
        """Returns the namespace of the sender's API key; None if the key allows more than one."""
        ...

    def state(self, scope: Scope) -> State:
        """Returns the values that this mount keeps."""
        ...

    async def find_key(self, scope: Scope, secret: str) -> str | None:
        """Returns the public id of an API key; None if the key is unknown, revoked or expired."""
        ...

    async def issue_token(self, scope: Scope, key_id: str, seconds: float) -> str | None:
        """Returns a bearer token with the rights of an API key, below the path of this mount.

        The server accepts it until it expires or the key stops being valid. It does not reveal the
        key.

        Args:
            scope: The scope of the request.
            key_id: The public id of the key.
            seconds: How long the token is valid.

        Returns:
            The token; None if the key was revoked or has expired.
        """
        ...

    def watch(self, scope: Scope, namespace: str, after: int) -> AsyncIterator[Change]:
        """Yields the changes of a namespace as they happen, until the server stops.

        Changes made through this server arrive at once. Counts as one of the sender's open streams.

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
        app: Answers requests at and below the path. It must not change ``scope["app"]``.
        lifespan: A context that is entered before the first request and left when the server stops.
        stop: Ends streams that would otherwise keep a server from stopping.
        stranger: Answers requests without a valid API key, for example with a sign-in page. If
            None, the server refuses them. If set, the server also accepts its own sessions at this
            path, as a cookie or a bearer token.
        public: Applications for other paths of the server that answer everyone, by path, such as
            documents below ``/.well-known``.
    """

    app: App
    lifespan: Callable[[], AbstractAsyncContextManager[Any]] = nullcontext
    stop: Callable[[], None] = lambda: None
    stranger: App | None = None
    public: Mapping[str, App] = field(default_factory=dict)
