"""What pages of other sites may ask of a server, through the browser of someone who can reach it.

A browser sends some requests of any page to any address, without asking the server first. On a
server without API keys, such as one on somebody's own machine, they could write memory.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from botwire.errors import PermissionDeniedError

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def check_origin(method: str, headers: Mapping[bytes, bytes], allowed: Collection[str]) -> None:
    """Refuses what a page of another site sends to change something.

    Args:
        method: Of the request.
        headers: Of the request.
        allowed: Origins whose pages may, for example ``https://console.example``; ``*``: all.

    Raises:
        PermissionDeniedError: The page is of an origin that may not.
    """
    origin = headers.get(b"origin")
    if origin is None or method in _SAFE:
        return
    text = origin.decode("latin-1")
    if "*" in allowed or text in allowed:
        return
    if text.partition("://")[2] != headers.get(b"host", b"").decode("latin-1"):
        raise PermissionDeniedError(
            "pages of this origin may not write here; the setting cors_origins says which may"
        )
