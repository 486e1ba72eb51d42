"""Bodies on their way in and out: bounded in size and time, gzip on both ways."""

from __future__ import annotations

import asyncio
import functools
import zlib
from collections.abc import Callable, Mapping

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from botwire.errors import InvalidRequestError, PayloadTooLargeError

BODY_SECONDS = 30.0
"""For a body to arrive, and more by its size."""
BODY_RATE = 16 * 1024
"""Bytes a second that a client sends at least once it has used up `BODY_SECONDS`."""
GZIP_FROM = 1024
"""Bytes of an answer from which on gzip is worth its while."""

_GZIP = 16 + zlib.MAX_WBITS
_GZIP_LEVEL = 4
_BY_A_THREAD = 256 * 1024  # bytes that take a few milliseconds


IS_WHOLE = "botwire.body_is_whole"
"""Set in a request's scope by a server that has all of the body already."""


def bounded(receive: Receive, scope: Scope, headers: Mapping[bytes, bytes], limit: int) -> Receive:
    """Returns a `receive` that refuses bodies that are too large, too slow or not readable.

    A body in gzip is unpacked, and bounded as it comes out.

    Args:
        receive: Where the body comes from.
        scope: Of the request.
        headers: Of the request.
        limit: Most bytes of a body.

    Raises:
        PayloadTooLargeError: The request says that its body is larger than that.
        InvalidRequestError: Its coding is none that is known; of status 415.
    """
    length = headers.get(b"content-length", b"0")
    if length.isdigit() and (len(length) > 18 or int(length) > limit):
        raise _too_large(limit)
    coding = headers.get(b"content-encoding", b"identity").strip().lower()
    if coding not in (b"identity", b"gzip"):
        raise InvalidRequestError("a body may have the Content-Encoding gzip, or none", status=415)
    if length == b"0" and b"transfer-encoding" not in headers:
        return receive
    unpack = _unpacker(limit) if coding == b"gzip" else None
    loop = asyncio.get_running_loop()
    start = loop.time()
    size = came = 0
    is_whole = False

    async def receive_bounded() -> Message:
        nonlocal size, came, is_whole
        if is_whole:  # what comes now is that the client went
            return await receive()
        if scope.get(IS_WHOLE):
            message = await receive()
        else:
            try:
                async with asyncio.timeout_at(start + BODY_SECONDS + came / BODY_RATE):
                    message = await receive()
            except TimeoutError:
                raise InvalidRequestError(
                    f"the body came too slowly: {came} bytes in {loop.time() - start:.0f} seconds",
                    status=408,
                ) from None
        if message["type"] != "http.request":
            return message
        is_whole = not message.get("more_body", False)
        body = message.get("body", b"")
        came += len(body)
        if unpack is not None:
            body = message["body"] = unpack(body, is_whole)
        size += len(body)
        if size > limit:
            raise _too_large(limit)
        return message

    return receive_bounded


async def read(receive: Receive) -> bytes:
    """Returns the whole body of a request.

    Raises:
        ClientDisconnect: The client went before it was whole.
    """
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _too_large(limit: int) -> PayloadTooLargeError:
    return PayloadTooLargeError(f"a body is at most {limit} bytes here: send it in parts")


def _unpacker(limit: int) -> Callable[[bytes, bool], bytes]:
    stream = zlib.decompressobj(_GZIP)

    def unpack(packed: bytes, is_last: bool) -> bytes:
        try:
            body = stream.decompress(packed, limit + 1)
        except zlib.error as error:
            raise InvalidRequestError(f"the body is not gzip: {error}") from None
        if stream.unconsumed_tail:
            raise _too_large(limit)
        if stream.unused_data or (is_last and not stream.eof):
            raise InvalidRequestError("the body is not one whole gzip stream")
        return body

    return unpack


@functools.lru_cache(maxsize=64)  # clients of one kind say the same
def accepts_gzip(accepted: bytes) -> bool:
    """Reads an Accept-Encoding header."""
    for part in accepted.lower().split(b","):
        coding, _, weight = part.partition(b";")
        if coding.strip() in (b"gzip", b"*"):
            return weight.replace(b" ", b"").rstrip(b".0") != b"q="
    return False


def gzipping(send: Send) -> Send:
    """Returns a `send` that packs answers; those sent in parts stay as they are."""
    start: Message | None = None

    async def send_packed(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start":
            start = message
            return
        if start is None:
            await send(message)
            return
        first, start = start, None
        body = message.get("body", b"")
        if len(body) >= GZIP_FROM and not message.get("more_body", False):
            pack = asyncio.to_thread(_pack, body) if len(body) >= _BY_A_THREAD else None
            body = _pack(body) if pack is None else await pack
            message = {**message, "body": body}
            first["headers"] = [
                *[_of_packed(name, value, len(body)) for name, value in first["headers"]],
                (b"content-encoding", b"gzip"),
                (b"vary", b"accept-encoding"),
            ]
        await send(first)
        await send(message)

    return send_packed


def _pack(body: bytes) -> bytes:
    packer = zlib.compressobj(_GZIP_LEVEL, wbits=_GZIP)
    return packer.compress(body) + packer.flush()


def _of_packed(name: bytes, value: bytes, length: int) -> tuple[bytes, bytes]:
    if name == b"content-length":
        return name, str(length).encode()
    if name == b"etag":  # another representation has another tag (RFC 9110, section 8.8.3.3)
        return name, value[:-1] + PACKED_TAG + b'"'
    return name, value


PACKED_TAG = b"-gzip"
"""What the ETag of an answer in gzip ends with, before its quote."""
