"""Limits the size and time of request bodies, and handles gzip in both directions."""

from __future__ import annotations

import asyncio
import functools
import zlib
from collections.abc import Mapping

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from botwire.errors import InvalidRequestError, PayloadTooLargeError
from botwire_server.scopes import BODY_BYTES, BODY_READ, IS_WHOLE, WITHDRAWAL

BODY_SECONDS = 30.0
"""Time for a body to arrive; larger bodies get more."""
BODY_RATE = 16 * 1024
"""Bytes per second that a client must send once it has used up `BODY_SECONDS`."""
GZIP_FROM = 1024
"""Smallest answer, in bytes, that is compressed."""

_GZIP = 16 + zlib.MAX_WBITS
_GZIP_LEVEL = 4
_BY_A_THREAD = 64 * 1024  # bytes that take a few milliseconds to (un)compress
_BODILESS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS"})  # methods without a request body


def bounded(receive: Receive, scope: Scope, headers: Mapping[bytes, bytes], limit: int) -> Receive:
    """Returns a `receive` that refuses bodies that are too large, too slow or unreadable.

    A gzip body is decompressed, and the limit applies to what comes out.

    Args:
        receive: Where the body comes from.
        scope: The scope of the request.
        headers: The headers of the request.
        limit: Largest body, in bytes.

    Raises:
        PayloadTooLargeError: The request announces a larger body.
        InvalidRequestError: The content coding is unknown (status 415).
    """
    length = headers.get(b"content-length", b"0")
    if length.isdigit() and (len(length) > 18 or int(length) > limit):
        raise _too_large(limit)
    if WITHDRAWAL in scope:
        # A channel brings bodies whole and uncompressed, and says by itself if its client leaves.
        scope[BODY_BYTES] = int(length)
        return receive
    coding = headers.get(b"content-encoding", b"identity").strip().lower()
    if coding not in (b"identity", b"gzip"):
        raise InvalidRequestError("the Content-Encoding of a body is gzip, or none", status=415)
    if length == b"0" and b"transfer-encoding" not in headers:
        if scope["method"] in _BODILESS:
            scope[BODY_READ] = True  # no route reads it
            return receive

        async def receive_nothing() -> Message:
            message = await receive()
            scope[BODY_READ] = True
            return message

        return receive_nothing
    unpack = _Unpacker(limit) if coding == b"gzip" else None
    loop = asyncio.get_running_loop()
    start = loop.time()
    size = came = 0
    is_whole = False

    async def receive_bounded() -> Message:
        nonlocal size, came, is_whole
        if is_whole:  # only a disconnect can follow
            return await receive()
        if scope.get(IS_WHOLE):
            message = await receive()
        else:
            try:
                async with asyncio.timeout_at(start + BODY_SECONDS + came / BODY_RATE):
                    message = await receive()
            except TimeoutError:
                raise InvalidRequestError(
                    f"the body arrived too slowly: {came} bytes in {loop.time() - start:.0f} s",
                    status=408,
                ) from None
        if message["type"] != "http.request":
            return message
        is_whole = not message.get("more_body", False)
        body = message.get("body", b"")
        came += len(body)
        if unpack is not None:
            # A few bytes may decompress to a great many.
            parts = [unpack(body, is_whole, _BY_A_THREAD)]
            while unpack.is_behind:
                parts.append(await asyncio.to_thread(unpack, b"", is_whole, limit + 1))
            body = message["body"] = b"".join(parts)
        size += len(body)
        scope[BODY_BYTES] = size
        if size > limit:
            raise _too_large(limit)
        if is_whole:
            scope[BODY_READ] = True
        return message

    return receive_bounded


async def read(receive: Receive) -> bytes:
    """Returns the whole body of a request.

    Raises:
        ClientDisconnect: The client left before the body was complete.
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
    return PayloadTooLargeError(f"a body may have at most {limit:,} bytes here: send it in parts")


class _Unpacker:
    """Decompresses a gzip body as it arrives.

    Args:
        limit: Most bytes of output.
    """

    def __init__(self, limit: int) -> None:
        self._stream = zlib.decompressobj(_GZIP)
        self._room = limit + 1
        self._limit = limit
        self.is_behind = False
        """Whether the input so far may yield more output."""

    def __call__(self, packed: bytes, is_last: bool, most: int) -> bytes:
        """Takes packed bytes, and returns at most `most` bytes of output."""
        if self._room <= 0:
            raise _too_large(self._limit)
        try:
            body = self._stream.decompress(
                self._stream.unconsumed_tail + packed, min(most, self._room)
            )
        except zlib.error as error:
            raise InvalidRequestError(f"the body is not gzip: {error}") from None
        self._room -= len(body)
        self.is_behind = bool(self._stream.unconsumed_tail) or (
            len(body) == most and not self._stream.eof
        )
        if self._stream.unused_data or (is_last and not self._stream.eof and not self.is_behind):
            raise InvalidRequestError("the body is not one complete gzip stream")
        return body


@functools.lru_cache(maxsize=64)  # clients send few different values
def accepts_gzip(accepted: bytes) -> bool:
    """Returns whether an Accept-Encoding header accepts gzip."""
    for part in accepted.lower().split(b","):
        coding, _, weight = part.partition(b";")
        if coding.strip() in (b"gzip", b"*"):
            return weight.replace(b" ", b"").rstrip(b".0") != b"q="
    return False


def gzipping(send: Send) -> Send:
    """Returns a `send` that compresses answers, except those sent in several messages."""
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
    if name == b"etag":  # each representation has its own tag (RFC 9110, section 8.8.3.3)
        return name, value[:-1] + PACKED_TAG + b'"'
    return name, value


PACKED_TAG = b"-gzip"
"""Suffix of the ETag of a compressed answer."""
