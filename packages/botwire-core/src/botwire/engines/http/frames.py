"""The channel without I/O: bytes in, answers out. Only this module imports websockets.

`docs/http-api.md` describes the messages.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import WebSocketURI

from botwire import wire
from botwire.engines.http.exchange import Answer, Target, Watch
from botwire.engines.http.traces import trace_headers
from botwire.engines.http.websocket_frames import BINARY, OTHER, Splitter, head_of
from botwire.exact import decode
from botwire.operations.codecs import quote

try:
    from websockets.speedups import apply_mask
except ImportError:  # no wheel for this platform
    from websockets.utils import apply_mask

masked: Callable[[bytes, bytes], bytes] = apply_mask
"""Applies a mask to a payload, or removes it."""

_DATA = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)
_ID_HEADER = wire.REQUEST_ID_HEADER.lower()
_END_OF_HEAD, _MOST_HEAD = b"\r\n\r\n", 64 * 1024


class Frames:
    """The state of one connection.

    Args:
        target: The server to connect to.

    Attributes:
        is_open: Whether the server has agreed to a channel.
        is_over: Whether nothing more will come: the server refused, closed, or broke the protocol.
        out: Bytes to send, such as answers to pings.
    """

    def __init__(self, target: Target) -> None:
        address = WebSocketURI(target.secure, target.host, target.port, target.path, "", None, None)
        self._protocol = ClientProtocol(address, max_size=None)
        self._headers = target.headers
        self._splitter = Splitter()
        self._head: bytes | None = b""  # of the answer to the opening request; None: it is complete
        self._parts: list[bytes] = []
        self.is_open = False
        self.is_over = False
        self.out = b""

    def opening(self) -> bytes:
        """Returns the request that opens the channel."""
        request = self._protocol.connect()
        for name, value in self._headers.items():
            request.headers[name] = value
        return request.serialize()

    def receive(self, data: bytes) -> list[tuple[int, Answer]]:
        """Processes incoming bytes; an empty string means that the connection has ended.

        Returns:
            The answers in them, each with the number of its request.
        """
        if not data:
            self.is_over = True
            return []
        messages: list[bytes] = []
        if not self.is_open:
            data = self._receive_opening(data)
        for kind, payload in self._splitter.split(data):
            if kind != OTHER:
                messages.append(payload)
            elif not self.is_over:
                self._receive_other(payload, messages)
        answers = []
        for message in messages:
            answer = _read(message)
            if answer is None:
                self.is_over = True
                break
            answers.append(answer)
        return answers

    def _receive_opening(self, data: bytes) -> bytes:
        """Takes the answer to the opening request; returns what belongs to frames after it."""
        rest = data
        if self._head is not None:
            self._head += data
            head, end, rest = self._head.partition(_END_OF_HEAD)
            if not end and len(head) < _MOST_HEAD:
                return b""
            self._head = None
            self._receive_other(head + end, [])
            self.is_open = self._protocol.state is State.OPEN
        if self.is_open:
            return rest
        if rest:  # of a refusal
            self._receive_other(rest, [])
        return b""

    def _receive_other(self, data: bytes, messages: list[bytes]) -> None:
        """Passes bytes to the state machine, and adds the messages that are complete by them."""
        protocol = self._protocol
        protocol.receive_data(data)
        for event in protocol.events_received():
            if isinstance(event, Frame) and event.opcode in _DATA:
                self._parts.append(bytes(event.data))
                if event.fin:
                    messages.append(b"".join(self._parts))
                    self._parts.clear()
        self.out += b"".join(protocol.data_to_send())
        self.is_over = (
            self.is_over
            or protocol.handshake_exc is not None
            or protocol.parser_exc is not None
            or protocol.close_rcvd is not None
        )


def request(number: int, content: str, name: str | None) -> bytes:
    """Returns the frame of a request.

    Args:
        number: The number that the answer will carry.
        content: The request body.
        name: The idempotency id, if any.
    """
    headers, told = trace_headers(), ""
    if name is not None:
        headers[wire.IDEMPOTENCY_HEADER] = name
    if headers:
        pairs = [f"{quote(key)}:{quote(value)}" for key, value in headers.items()]
        told = f',"headers":{{{",".join(pairs)}}}'
    return _frame(f'{{"id":{number}{told}}}\n{content}'.encode())


def watch(number: int, wanted: Watch) -> bytes:
    """Returns the frame that asks for changes."""
    return _frame(json.dumps({"id": number, "watch": wanted._asdict()}).encode())


def withdrawal(number: int) -> bytes:
    """Returns the frame that withdraws a request."""
    return _frame(b'{"cancel":%d}' % number)


def closing() -> bytes:
    """Returns a close frame."""
    return Frame(Opcode.CLOSE, b"\x03\xe8").serialize(mask=True)  # 1000


def _frame(payload: bytes) -> bytes:
    mask = os.urandom(4)
    return head_of(BINARY, len(payload), mask) + masked(payload, mask)


def _read(message: bytes) -> tuple[int, Answer] | None:
    """Returns the answer in a message; None if it is not one."""
    line, _, content = message.partition(b"\n")
    try:
        head: Any = decode(line.decode())
        number, status = head["id"], head["status"]
        headers = head.get("headers", {})
        name, kind = headers.get(_ID_HEADER), headers.get("content-type", "application/json")
        is_last = head.get("more") is not True
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        number = status = None
    if type(number) is not int or type(status) is not int:
        return None
    return number, Answer(status, content, str(kind), name, is_last)
