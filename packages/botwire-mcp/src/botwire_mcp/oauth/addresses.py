"""The URLs of the authorization server, as the sender of a request sees them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from botwire.mounts import Scope

ROOT = "/mcp"
"""The path of the MCP server."""

_HOST = re.compile(rb"[A-Za-z0-9.-]+(:[0-9]+)?|\[[0-9A-Fa-f:.]+\](:[0-9]+)?")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Addresses:
    """The URLs of the authorization server.

    Attributes:
        issuer: The server itself, such as ``https://memory.example``.
    """

    issuer: str

    @classmethod
    def of(cls, scope: Scope) -> Addresses | None:
        """Returns the URLs that a request was sent to.

        None if OAuth is not offered there: tokens must not travel unencrypted, except within one
        machine. Behind a proxy, the scheme is right once the server trusts the proxy.
        """
        host = dict(scope["headers"]).get(b"host", b"")
        if not _HOST.fullmatch(host):
            return None
        issuer = f"{scope['scheme']}://{host.decode()}"
        return cls(issuer) if is_safe(issuer) else None

    @property
    def resource(self) -> str:
        """The MCP server, which tokens are for."""
        return self.issuer + ROOT

    @property
    def metadata(self) -> str:
        """The document that says where a client gets tokens for the MCP server."""
        return f"{self.issuer}/.well-known/oauth-protected-resource{ROOT}"

    def below(self, name: str) -> str:
        """Returns the URL of an endpoint."""
        return f"{self.resource}/{name}"


def is_safe(url: str) -> bool:
    """Returns whether nobody on the way to a URL can read what is sent there."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
