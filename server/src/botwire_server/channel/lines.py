"""The messages of a channel, and the request that each of them makes.

A message consists of a line and the body of the request. The line is a JSON object with the `id` of
the request, and optionally `headers`. The answer consists of a line with the same `id`, the
`status` and the `headers`, and the body of the answer. ``{"cancel": 7}`` withdraws request 7.

A line with `watch` is a request to the `watch` route of a namespace instead. Its answer comes in
many messages, each a page of changes; those before the last have `more`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote as quote_in_url
from urllib.parse import urlencode

from starlette.types import Scope

from botwire import wire
from botwire.operations.codecs import quote
from botwire.pieces import unique

MAX_LINE = 16 * 1024
"""Largest line before a body, in bytes."""
REQUEST_HEADERS = frozenset(
    {
        wire.AUTHOR_HEADER.lower(),
        wire.IDEMPOTENCY_HEADER.lower(),
        wire.REQUEST_ID_HEADER.lower(),
        "traceparent",
        "tracestate",
    }
)
"""Headers that a request may send; it inherits the others from the opening request."""

_UNTOLD = frozenset({b"content-length", b"content-type", b"vary"})
_APART = wire.APART.encode()  # the only content type told: all others are JSON
_FIELDS = frozenset({"id", "headers", "watch"})
_WATCH_FIELDS = frozenset({"namespace", "prefix", "after"})
_decode = json.JSONDecoder(object_pairs_hook=unique).decode


class BadMessageError(Exception):
    """A message that cannot be answered, because it does not name its request."""


def read_line(line: bytes) -> dict[str, Any]:
    """Parses the line before a body.

    Raises:
        BadMessageError: The line is not valid.
    """
    try:
        head = _decode(line.decode()) if len(line) <= MAX_LINE else None
    except (ValueError, RecursionError):
        head = None
    if not isinstance(head, dict):
        raise BadMessageError("a message begins with a line of JSON, an object with an id")
    is_cancel = "cancel" in head
    name = head["cancel"] if is_cancel else head.get("id")
    is_name = type(name) is int or (isinstance(name, str) and len(name) <= 64)
    if not is_name or not (len(head) == 1 if is_cancel else head.keys() <= _FIELDS):
        raise BadMessageError("a line has an id, which is a number or a short string, and headers")
    if "headers" in head:
        _check_headers(head["headers"])
    if "watch" in head and not _is_watch(head["watch"]):
        raise BadMessageError("watch is an object with a namespace, and perhaps prefix and after")
    return head


def _check_headers(given: Any) -> None:
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise BadMessageError("headers must be an object of strings")
    for header in given:
        if header.lower() not in REQUEST_HEADERS:
            raise BadMessageError(f"unknown header {header.lower()!r:.40}")


def _is_watch(given: Any) -> bool:
    return (
        isinstance(given, dict)
        and given.keys() <= _WATCH_FIELDS
        and isinstance(given.get("namespace"), str)
        and isinstance(given.get("prefix", ""), str)
        and type(given.get("after", 0)) is int
    )


def lead_to_watch(scope: Scope, watch: dict[str, Any]) -> None:
    """Turns a request into one that watches a namespace."""
    name = quote_in_url(watch["namespace"], safe="", errors="surrogatepass").replace(".", "%2E")
    given: dict[str, Any] = {field: watch[field] for field in ("prefix", "after") if field in watch}
    path = f"/v1/namespaces/{name}/watch"
    scope["method"] = "GET"
    scope["path"], scope["raw_path"] = path, path.encode()
    scope["query_string"] = urlencode(given, errors="surrogatepass").encode()


def line_of_answer(
    name: int | str, status: int, headers: Iterable[tuple[bytes, bytes]], *, more: bool
) -> bytes:
    """Returns the line before the body of an answer.

    Args:
        name: The `id` of the request.
        status: The HTTP status code.
        headers: The headers of the answer.
        more: Whether more messages will answer the same request.
    """
    told = ", ".join(
        [
            f"{quote(key.decode('latin-1'))}: {quote(value.decode('latin-1'))}"
            for key, value in headers
            if key not in _UNTOLD or value == _APART
        ]
    )
    shown = name if isinstance(name, int) else quote(name)
    line = f'{{"id": {shown}, "status": {status}, "headers": {{{told}}}'
    return (line + (', "more": true}\n' if more else "}\n")).encode()
