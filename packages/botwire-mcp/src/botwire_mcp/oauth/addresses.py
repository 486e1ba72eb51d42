"""The URLs of the authorization server, as the client sees them."""

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
        """Returns the URLs under which a request reached the server.

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
        """The URL of the MCP server, for which tokens are issued."""
        return self.issuer + ROOT

    @property
    def metadata(self) -> str:
        """The URL of the document that tells clients where to get tokens for the MCP server."""
        return f"{self.issuer}/.well-known/oauth-protected-resource{ROOT}"

    def below(self, name: str) -> str:
        """Returns the URL of an endpoint."""
        return f"{self.resource}/{name}"


def is_safe(url: str) -> bool:
    """Returns whether data sent to a URL cannot be read on the way."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
