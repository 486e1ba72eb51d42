"""Keeps web pages of other sites from writing through the browser of someone with access.

A browser sends some requests of any page to any address, without asking the server first. So any
page could write to a server without API keys, for example on a developer's own machine.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from botwire.errors import PermissionDeniedError

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def check_origin(method: str, headers: Mapping[bytes, bytes], allowed: Collection[str]) -> None:
    """Refuses writes by pages of other sites.

    Args:
        method: The method of the request.
        headers: The headers of the request.
        allowed: Origins whose pages may write, such as ``https://console.example``; ``*``: all.

    Raises:
        PermissionDeniedError: The request comes from a page whose origin is not allowed.
    """
    origin = headers.get(b"origin")
    if origin is None or method in _SAFE:
        return
    text = origin.decode("latin-1")
    if "*" in allowed or text in allowed:
        return
    if text.partition("://")[2] != headers.get(b"host", b"").decode("latin-1"):
        raise PermissionDeniedError(
            "pages of this origin may not write here: add the origin to the setting cors_origins"
        )
