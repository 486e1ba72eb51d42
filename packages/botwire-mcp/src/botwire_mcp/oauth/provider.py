"""The clients, codes and tokens of the authorization server, kept in the server's own namespace.

A code or refresh token is stored under its digest, so reading the store does not allow using it. An
access token is a session of the server (`botwire.mounts.Host.issue_token`) and is not stored.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from typing import Any

from mcp.server.auth.provider import (
    AccessToken,
    AuthorizationCode,
    AuthorizationParams,
    AuthorizeError,
    OAuthAuthorizationServerProvider,
    RefreshToken,
    RegistrationError,
    TokenError,
)
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from mcp.shared.auth_utils import check_resource_allowed

from botwire.mounts import Host, Scope
from botwire_mcp.oauth.addresses import Addresses, is_safe

ACCESS_SECONDS = 3_600
REFRESH_SECONDS = 90 * 86_400
"""How long a client may stay unused before its user must enter the API key again."""
REQUEST_SECONDS = 900
"""How long the page to enter an API key may stay open."""
CODE_SECONDS = 300
NEW_SECONDS = 3_600
"""How long a client without access stays registered."""
MOST_NEW = 1_000
"""The most clients without access, and the most open pages.

Anyone can register, so this keeps them from filling the store.
"""

_RETRY_SECONDS = 60  # how long a refresh token works after its first use: the answer may be lost
_LONGEST_METADATA = 8_000  # characters
_SCRIPTING = ("javascript", "data", "vbscript", "file", "blob", "about", "ws", "wss", "ftp")


class Client(OAuthClientInformationFull):
    """A registered client."""

    def validate_scope(self, requested_scope: str | None) -> list[str] | None:
        """Accepts any scope, because none grants anything: the API key has all the rights."""
        return None if requested_scope is None else requested_scope.split()


class Provider(OAuthAuthorizationServerProvider[AuthorizationCode, RefreshToken, AccessToken]):
    """The authorization server, as the SDK's endpoints use it for one request.

    Args:
        host: The server.
        scope: The scope of the request.
        addresses: The URLs that the sender uses.
    """

    def __init__(self, host: Host, scope: Scope, addresses: Addresses) -> None:
        self._host = host
        self._scope = scope
        self._addresses = addresses
        self._state = host.state(scope)

    # --- clients ----------------------------------------------------------------------------

    async def get_client(self, client_id: str) -> Client | None:
        """Returns a registered client."""
        for kind in ("clients", "new-clients"):
            stored = await self._state.get(_name(kind, client_id))
            if stored is not None:
                return Client.model_validate(stored)
        return None

    async def register_client(self, client_info: OAuthClientInformationFull) -> None:
        """Stores a new client until a user grants it access.

        Raises:
            RegistrationError: The client may not be registered.
        """
        for uri in client_info.redirect_uris or ():
            scheme = uri.scheme.lower()
            if scheme in _SCRIPTING or (scheme == "http" and not is_safe(str(uri))):
                raise RegistrationError(
                    "invalid_redirect_uri",
                    "a redirect URI must use https, http on this machine, or an app's own scheme",
                )
        stored = client_info.model_dump(mode="json", exclude_none=True)
        if len(str(stored)) > _LONGEST_METADATA:
            raise RegistrationError("invalid_client_metadata", "the metadata are too long")
        if await self._state.count("new-clients/") >= MOST_NEW:
            raise RegistrationError(
                "invalid_client_metadata", "too many clients are registering: try again in an hour"
            )
        await self._state.set(_name("new-clients", client_info.client_id), stored, ttl=NEW_SECONDS)

    async def _keep_client(self, client: OAuthClientInformationFull) -> None:
        """Stores a client to which a user has granted access."""
        stored = client.model_dump(mode="json", exclude_none=True)
        # Longer than its tokens, so that the client still exists when it refreshes them.
        ttl = REFRESH_SECONDS + 86_400
        await self._state.set(_name("clients", client.client_id), stored, ttl=ttl)

    # --- the user's consent -----------------------------------------------------------------

    async def authorize(
        self, client: OAuthClientInformationFull, params: AuthorizationParams
    ) -> str:
        """Stores a request for access, and returns the URL of the page that asks the user.

        Raises:
            AuthorizeError: The client wants tokens for another server.
        """
        resource = self._addresses.resource
        if params.resource is not None and not check_resource_allowed(params.resource, resource):
            raise AuthorizeError("invalid_target", f"tokens of this server are for {resource}")
        if await self._state.count("requests/") >= MOST_NEW:
            raise AuthorizeError("temporarily_unavailable", "too many requests: try again later")
        request = secrets.token_urlsafe(32)
        stored = {"client_id": client.client_id, "params": params.model_dump(mode="json")}
        await self._state.set(_name("requests", request), stored, ttl=REQUEST_SECONDS)
        return f"{self._addresses.below('consent')}?request={request}"

    async def find_request(
        self, request: str
    ) -> tuple[OAuthClientInformationFull, AuthorizationParams] | None:
        """Returns a client and its request; None if the request no longer exists."""
        stored = await self._state.get(_name("requests", request))
        if stored is None:
            return None
        client = await self.get_client(stored["client_id"])
        if client is None:
            return None
        return client, AuthorizationParams.model_validate(stored["params"])

    async def find_key(self, secret: str) -> str | None:
        """Returns the id of a valid API key."""
        return await self._host.find_key(self._scope, secret)

    async def end_request(self, request: str) -> bool:
        """Ends a request; returns False if it had already ended."""
        return await self._state.take(_name("requests", request)) is not None

    async def grant(
        self, client: OAuthClientInformationFull, params: AuthorizationParams, key_id: str
    ) -> str:
        """Grants a client the rights of an API key; returns the authorization code."""
        await self._keep_client(client)
        code = secrets.token_urlsafe(32)
        stored = AuthorizationCode(
            code="",
            scopes=params.scopes or [],
            expires_at=time.time() + CODE_SECONDS,
            client_id=client.client_id,
            code_challenge=params.code_challenge,
            redirect_uri=params.redirect_uri,
            redirect_uri_provided_explicitly=params.redirect_uri_provided_explicitly,
            resource=params.resource,
            subject=key_id,
        )
        await self._state.set(
            _name("codes", code), stored.model_dump(mode="json"), ttl=CODE_SECONDS
        )
        return code

    # --- codes and tokens -------------------------------------------------------------------

    async def load_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: str
    ) -> AuthorizationCode | None:
        """Returns a code that `grant` returned."""
        stored = await self._state.get(_name("codes", authorization_code))
        if stored is None:
            return None
        return AuthorizationCode.model_validate({**stored, "code": authorization_code})

    async def exchange_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: AuthorizationCode
    ) -> OAuthToken:
        """Returns tokens for a code, once.

        Raises:
            TokenError: The code was already used, or the API key was revoked or has expired.
        """
        taken = await self._state.take(_name("codes", authorization_code.code))
        if taken is None:
            raise TokenError("invalid_grant", "this authorization code was already used")
        grant = {
            "id": secrets.token_hex(16),
            "client_id": client.client_id,
            "key_id": authorization_code.subject,
            "scopes": authorization_code.scopes,
            "resource": authorization_code.resource,
        }
        return await self._issue(client, grant)

    async def load_refresh_token(
        self, client: OAuthClientInformationFull, refresh_token: str
    ) -> RefreshToken | None:
        """Returns a refresh token that is still valid."""
        grant = await self._grant_of(refresh_token)
        if grant is None:
            return None
        return RefreshToken(
            token=refresh_token,
            client_id=grant["client_id"],
            scopes=grant["scopes"],
            resource=grant["resource"],
            subject=grant["key_id"],
        )

    async def exchange_refresh_token(
        self, client: OAuthClientInformationFull, refresh_token: RefreshToken, scopes: list[str]
    ) -> OAuthToken:
        """Returns new tokens; the old refresh token ends a minute later.

        Raises:
            TokenError: The API key was revoked or has expired, or the client's access was revoked.
        """
        grant = await self._grant_of(refresh_token.token)
        if grant is None:
            raise TokenError("invalid_grant", "this refresh token was revoked")
        tokens = await self._issue(client, grant)
        name = _name("refresh-tokens", refresh_token.token)
        stored = await self._state.get(name)
        if stored is not None and not stored.get("used"):
            await self._state.set(name, {**stored, "used": True}, ttl=_RETRY_SECONDS)
        return tokens

    async def load_access_token(self, token: str) -> AccessToken | None:
        """Returns None: the server checks access tokens itself, and they expire by themselves."""
        return None

    async def revoke_token(self, token: AccessToken | RefreshToken) -> None:
        """Ends the access of a client that sends one of its refresh tokens."""
        stored = await self._state.get(_name("refresh-tokens", token.token))
        if stored is not None:
            await self._state.delete(f"grants/{stored['grant']}")

    async def _grant_of(self, refresh_token: str) -> dict[str, Any] | None:
        stored = await self._state.get(_name("refresh-tokens", refresh_token))
        if stored is None:
            return None
        grant: dict[str, Any] | None = await self._state.get(f"grants/{stored['grant']}")
        return grant

    async def _issue(self, client: OAuthClientInformationFull, grant: dict[str, Any]) -> OAuthToken:
        access = await self._host.issue_token(self._scope, grant["key_id"], ACCESS_SECONDS)
        if access is None:
            raise TokenError("invalid_grant", "the API key has expired or was revoked")
        refresh = secrets.token_urlsafe(32)
        await self._keep_client(client)
        await self._state.set(f"grants/{grant['id']}", grant, ttl=REFRESH_SECONDS)
        await self._state.set(
            _name("refresh-tokens", refresh), {"grant": grant["id"]}, ttl=REFRESH_SECONDS
        )
        return OAuthToken(
            access_token=access,
            expires_in=ACCESS_SECONDS,
            scope=" ".join(grant["scopes"]) or None,
            refresh_token=refresh,
        )


def _name(kind: str, secret: str) -> str:
    return f"{kind}/{hashlib.sha256(secret.encode('utf-8', 'surrogatepass')).hexdigest()}"
