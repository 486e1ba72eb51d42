"""What HTTP and channels share: the address of a server, and its answers."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Target(NamedTuple):
    """The server that a channel connects to.

    Attributes:
        secure: Whether to use TLS.
        host: The host name or address.
        port: The port.
        path: The path of the URL, including the server's prefix.
        headers: The headers of the request that opens the channel.
    """

    secure: bool
    host: str
    port: int
    path: str
    headers: Mapping[str, str]


class Watch(NamedTuple):
    """What a watcher asks for.

    Attributes:
        namespace: The namespace.
        prefix: The beginning of the names whose changes it wants.
        after: The revision after which to begin.
    """

    namespace: str
    prefix: str
    after: int


class Answer(NamedTuple):
    """The answer to a request, from a channel or over HTTP.

    Attributes:
        status: The HTTP status code.
        content: The body.
        kind: The content type.
        request_id: The server's id of the request, if it gave one.
        is_last: Whether this is the last answer to the request; a watch gets many.
        headers: The headers of an answer over HTTP.
    """

    status: int
    content: bytes
    kind: str
    request_id: str | None
    is_last: bool = True
    headers: Mapping[str, str] = MappingProxyType({})
