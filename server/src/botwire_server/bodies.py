"""Bodies on their way in and out: bounded in size and time, gzip on both ways."""

from __future__ import annotations

import asyncio
import functools
import zlib
from collections.abc import Mapping

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from botwire.errors import InvalidRequestError, PayloadTooLargeError
from botwire_server.working import BODY_BYTES, BODY_READ

BODY_SECONDS = 30.0
"""For a body to arrive, and more by its size."""
BODY_RATE = 16 * 1024
"""Bytes a second that a client sends at least once it has used up `BODY_SECONDS`."""
GZIP_FROM = 1024
"""Bytes of an answer from which on gzip is worth its while."""

_GZIP = 16 + zlib.MAX_WBITS
_GZIP_LEVEL = 4
_BY_A_THREAD = 64 * 1024  # bytes that take a few milliseconds
_BODILESS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS"})  # methods of ours without a body


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
        if scope["method"] in _BODILESS:
            scope[BODY_READ] = True  # nobody asks for what there is not
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
            # A few bytes may stand for very many.
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


class _Unpacker:
    """Unpacks a body in gzip as it comes.

    Args:
        limit: Most bytes that come out.
    """

    def __init__(self, limit: int) -> None:
        self._stream = zlib.decompressobj(_GZIP)
        self._room = limit + 1
        self._limit = limit
        self.is_behind = False
        """Whether more may come out of what was put in."""

    def __call__(self, packed: bytes, is_last: bool, most: int) -> bytes:
        """Returns some of what comes out, at most so many bytes."""
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
            raise InvalidRequestError("the body is not one whole gzip stream")
        return body


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
