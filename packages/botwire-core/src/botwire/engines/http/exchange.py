"""What the two ways to a server have in common: where it is, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Target(NamedTuple):
    """Where a channel leads.

    Attributes:
        secure: Whether it is inside TLS.
        host: A name or an address.
        port: The port.
        path: The path of the URL, with the prefix of the server.
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
        status: The HTTP status.
        content: The body.
        kind: The content type.
        request_id: The server's id of the request, if it gave one.
        is_last: Whether no other message answers the same request; a watch has many.
    """

    status: int
    content: bytes
    kind: str
    request_id: str | None
    is_last: bool = True
