"""Reads answers: the results of a server, its refusals, and what others answer instead of it."""

from __future__ import annotations

import html
import re
from typing import Any

from botwire import wire
from botwire.engines import retry
from botwire.engines.http.exchange import Answer
from botwire.errors import (
    BotWireError,
    PayloadTooLargeError,
    ProtocolError,
    QuotaExceededError,
    TransportError,
    from_problem,
)
from botwire.exact import decode
from botwire.operations import Batch, Results

_TITLE = re.compile(r"<title>\s*(.{1,200}?)\s*</title>", re.IGNORECASE | re.DOTALL)
_REFUSING = {401, 403, 407}


def read(url: str, batch: Batch, answer: Answer, size: int) -> Results:
    """Returns the results in an answer.

    Args:
        url: The server's URL, for errors.
        batch: The request.
        answer: The answer.
        size: Bytes of the request's body.

    Raises:
        APIError: The server refused the request, or a proxy its size or its rate.
        TransportError: A proxy has no answer.
        ProtocolError: The answer is not from a BotWire server.
    """
    values = None
    try:
        text = answer.content.decode()
        if answer.kind == wire.APART:
            text, _, values = text.partition("\n")
        document: Any = decode(text)
    except (ValueError, RecursionError):
        document = None
    is_json = isinstance(document, dict) and answer.kind.endswith("json")
    if answer.status >= 400 and is_json:
        raise from_problem(document, status=answer.status, request_id=answer.request_id)
    if answer.status != 200 or not isinstance(document, dict):
        raise _explain(url, answer, size)
    return wire.decode_results(batch.operations, document, values)


def _explain(url: str, answer: Answer, size: int) -> BotWireError:
    """Returns the error for an answer that no BotWire server gave."""
    if answer.status in retry.RETRIED_STATUSES:
        return TransportError(
            f"no answer from {url}: a gateway returned HTTP status {answer.status}", url=url
        )
    if answer.status == 413:
        return PayloadTooLargeError(
            f"a proxy in front of {url} refuses a request of {size:,} bytes: raise its limit "
            "(client_max_body_size in nginx) to that of the server (--max-body)"
        )
    if answer.status == 429:
        return QuotaExceededError(
            f"a proxy in front of {url} allows no more requests now", retry_after=_seconds(answer)
        )
    said = _TITLE.search(answer.content[:100_000].decode(errors="replace"))
    title = f" ({html.unescape(said[1])!r})" if said else ""
    found = f"HTTP status {answer.status} and content type {answer.kind}{title}"
    if location := answer.headers.get("Location"):
        return ProtocolError(
            f"{url} is not a BotWire server: it redirects {wire.BATCH_PATH} to {location[:500]!r}, "
            f"with {found}. Redirects are not followed: use the server's own URL, and check "
            "whether a proxy or a login page of the network answered instead"
        )
    if answer.status == 200 and answer.kind in (wire.APART, "application/json"):
        return ProtocolError(
            f"{url} answered {wire.BATCH_PATH} with JSON that cannot be read: a value may be "
            "damaged where it is stored (`botwire check`, on the server's machine, lists which)"
        )
    refuses = answer.status in _REFUSING
    hint = "; or a proxy or firewall in front of one refuses this client" if refuses else ""
    return ProtocolError(
        f"{url} is not a BotWire server: it answered {wire.BATCH_PATH} with {found}{hint}"
    )


def _seconds(answer: Answer) -> float | None:
    given = answer.headers.get("Retry-After", "")
    return float(given) if given.isascii() and given.isdigit() else None
