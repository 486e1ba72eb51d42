"""Authentication and authorization: identifies callers, and checks each batch before it runs.

Until the first API key exists, programs on this machine may do everything, and others nothing.
From then on, every request needs a key. A refusal and its wording depend only on the key and the
request, so they reveal nothing about the contents of other callers' namespaces.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.types import Scope

from botwire import operations as ops
from botwire import wire
from botwire.errors import AuthenticationError, PermissionDeniedError
from botwire.exact import Json
from botwire.names import is_reserved
from botwire_server import sessions
from botwire_server.addresses import is_loopback
from botwire_server.api_keys import EVERYTHING, APIKey
from botwire_server.key_ring import KeyRing
from botwire_server.scopes import CALLER
from botwire_server.settings import Settings

PUBLIC = frozenset({"/healthz", "/readyz", "/health", "/docs", "/openapi.json"})
"""Paths that need no key: the state of the server, and the description of its API."""

# Headers that proxies add: the standard ones, and those of nginx, Envoy, Cloudflare, Akamai, Fly, …
_FORWARDED = frozenset(
    {
        b"cdn-loop",
        b"cf-connecting-ip",
        b"client-ip",
        b"fastly-client-ip",
        b"fly-client-ip",
        b"forwarded",
        b"true-client-ip",
        b"via",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"x-real-ip",
    }
)
_FORWARDING = (b"x-forwarded-", b"x-original-", b"x-envoy-", b"x-arr-", b"x-amzn-trace-")
_NEEDS_KEY = (
    "this server needs an API key: send it as `Authorization: Bearer bw_…` (in Python: api_key=, "
    "or BOTWIRE_API_KEY); administrators create one with `botwire keys create`"
)


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request.

    Attributes:
        key: The API key of the request; None while the server requires none.
    """

    key: APIKey | None = None

    def check(self, batch: ops.Batch) -> None:
        """Raises `PermissionDeniedError` unless the caller may apply a batch."""
        if is_reserved(batch.namespace) and not (
            batch.operations and all(one.storewide for one in batch.operations)
        ):
            raise PermissionDeniedError("this namespace belongs to the server: use another one")
        if self.key is None:
            return
        for operation in batch.operations or (ops.CountKeys(),):
            right = right_of(operation)
            # If a pattern matches another pattern as if that were a name, it matches all its names.
            if not self.key.may(right, operation.reach if operation.storewide else batch.namespace):
                where = "in this namespace"
                if operation.storewide:
                    is_all = operation.reach == EVERYTHING
                    where = f"in {'all namespaces' if is_all else repr(operation.reach)}"
                raise PermissionDeniedError(
                    f"the API key {self.key.id} does not have the right to {right} {where}: it has "
                    f"the right to {self.key.right} in {', '.join(self.key.namespaces)}; ask the "
                    "administrator for another key"
                )

    def require(self, right: str) -> None:
        """Raises `PermissionDeniedError` unless the caller has a right outside of namespaces.

        Args:
            right: The right: ``metrics`` or ``admin``.
        """
        if self.key is not None and not self.key.may(right):
            raise PermissionDeniedError(
                f"the API key {self.key.id} does not have the right to {right}"
            )

    def audit(self, batch: ops.Batch, request_id: str | None) -> Mapping[int, Sequence[Json]]:
        """Returns an entry of the audit log for each operation that deletes something.

        An entry names what was deleted and who deleted it, and never contains a value. Without keys
        no caller has a name, so nothing is logged.
        """
        if self.key is None:
            return {}
        entries = {}
        for index, operation in enumerate(batch.operations):
            if operation.audits:
                continue
            if operation.removes or isinstance(operation, ops.ReplaceHistory):
                entry = {
                    "event": wire.operation_name(operation),
                    "who": self.key.id,
                    "namespace": getattr(operation, "name", "")
                    if operation.storewide
                    else batch.namespace,
                    "name": _target(operation),
                    "request_id": request_id,
                }
                entries[index] = (Json.of(entry),)
        return entries


def _target(operation: ops.AnyOperation) -> str | None:
    """Returns the key, history, collection or prefix that an operation applies to."""
    if operation.storewide:
        return None
    for field in ("key", "name", "collection", "prefix"):
        found = getattr(operation, field, None)
        if isinstance(found, str):
            return found
    return None


def right_of(operation: ops.AnyOperation) -> str:
    """Returns the right that an operation needs: ``read``, ``write`` or ``admin``."""
    if operation.admin:
        return "admin"
    return "write" if operation.writes else "read"


class Authenticator:
    """Identifies the callers of requests.

    Args:
        keys: The API keys of the store.
        settings: The server's settings.
    """

    def __init__(self, keys: KeyRing, settings: Settings) -> None:
        self.keys = keys
        self._allow_anonymous = settings.allow_anonymous

    async def identify(self, scope: Scope, session: str | None = None) -> Caller:
        """Returns the caller of a request.

        A channel has identified the caller of its requests when it was opened. Whether its key is
        still valid is checked with each batch, like that of every caller; see `renew`.

        Args:
            scope: The scope of the request.
            session: The path whose sessions may replace an API key, as a cookie or as a bearer
                token; see `sessions`.

        Raises:
            AuthenticationError: An API key is needed, and the request has no valid one.
        """
        known: Caller | None = scope.get(CALLER)
        if known is not None:
            if known.key is not None:
                self.keys.touch(known.key)
            return known
        headers = dict(scope["headers"])
        given = headers.get(b"authorization", b"").decode("latin-1").strip()
        key = None
        if given:
            secret = _secret(given) or ""
            key = await self.keys.find(secret)
            if key is None and session is not None:
                key = await sessions.find(self.keys, secret, session)
        elif session is not None and (token := _cookie(headers, session_cookie(session))):
            key = await sessions.find(self.keys, token, session)
        if key is not None:
            self.keys.touch(key)
            return Caller(key)
        if await self.keys.is_empty():
            if not self._allow_anonymous:
                self._check_local(scope, headers)
            return Caller()
        if given:
            raise AuthenticationError(
                "this API key is unknown, has expired or was revoked: send another one as "
                "`Authorization: Bearer bw_…` (in Python: api_key=, or BOTWIRE_API_KEY)"
            )
        raise AuthenticationError(_NEEDS_KEY)

    async def renew(self, caller: Caller) -> None:
        """Raises `AuthenticationError` if the caller's key is no longer valid.

        A caller without a key is refused once there is one.
        """
        if caller.key is None:
            if not await self.keys.is_empty():
                raise AuthenticationError(_NEEDS_KEY)
        elif await self.keys.find_id(caller.key.id) is None:
            raise AuthenticationError("this API key has expired or was revoked")

    def _check_local(self, scope: Scope, headers: Mapping[bytes, bytes]) -> None:
        """Raises `AuthenticationError` unless a request comes from a program on this machine.

        A browser on this machine runs web pages too. If a page's own domain resolves to this
        machine, its Host header gives it away; `origins` refuses the other pages. A proxy is
        recognized by a header that it adds, by the Host, or by HTTP/1.0: nginx speaks that to
        servers by default, and no client does. A proxy that shows none of these is not recognized.
        """
        client = scope.get("client")
        host = headers.get(b"host", b"").decode("latin-1")
        local = (
            (client is None or is_loopback(client[0]))
            and scope.get("http_version") != "1.0"
            and _FORWARDED.isdisjoint(headers)
            and not any(name.startswith(_FORWARDING) for name in headers)
            and _is_local(f"//{host}")
        )
        if not local:
            raise AuthenticationError(
                "without API keys this server answers only programs on its own machine that "
                "connect to it directly: create a key (`botwire keys create`), or start the server "
                "with --allow-anonymous"
            )


def session_cookie(path: str) -> str:
    """Returns the name of the cookie that holds the session of a path."""
    return f"botwire{path.replace('/', '_')}"


def _cookie(headers: Mapping[bytes, bytes], name: str) -> str | None:
    for pair in headers.get(b"cookie", b"").decode("latin-1").split(";"):
        found, _, value = pair.strip().partition("=")
        if found == name:
            return value
    return None


def _secret(authorization: str) -> str | None:
    """Returns the API key of an Authorization header, or None if it contains none.

    HTTP Basic carries the key as the password of any user. That is for clients that cannot send a
    header of their own but accept a URL with a password, such as the 0.2 client.
    """
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return given.strip()
    if scheme.lower() != "basic":
        return None
    try:
        pair = base64.b64decode(given, validate=True).decode("latin-1")
    except ValueError:
        return None
    return pair.partition(":")[2]


@functools.lru_cache(maxsize=256)
def _is_local(url: str) -> bool:
    try:
        name = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return is_loopback(name) or name.endswith(".localhost")
