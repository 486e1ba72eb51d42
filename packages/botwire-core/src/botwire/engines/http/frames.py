"""The channel without I/O: bytes in, answers out. Only this module imports websockets.

`docs/http-api.md` has the form of messages.
"""

from __future__ import annotations

import json
from typing import Any

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import WebSocketURI

from botwire import wire
from botwire.engines.http.exchange import Answer, Target
from botwire.engines.http.traces import trace_headers

_DATA = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)
_ID_HEADER = wire.REQUEST_ID_HEADER.lower()


class Frames:
    """The state of one connection.

    Args:
        target: Where it leads.

    Attributes:
        is_open: Whether the server has agreed to a channel.
        is_over: Whether nothing more comes: it has refused, closed, or broken the rules.
        out: Bytes to send, such as answers to pings.
    """

    def __init__(self, target: Target) -> None:
        address = WebSocketURI(target.secure, target.host, target.port, target.path, "", None, None)
        self._protocol = ClientProtocol(address, max_size=None)
        self._headers = target.headers
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
        """Takes what came; empty means that the connection has ended.

        Returns:
            The answers in it, each with the number of its request.
        """
        protocol = self._protocol
        if not data:
            self.is_over = True
            return []
        protocol.receive_data(data)
        answers: list[tuple[int, Answer]] = []
        for event in protocol.events_received():
            if isinstance(event, Frame) and event.opcode in _DATA:
                self._parts.append(bytes(event.data))
                if event.fin:
                    parts, self._parts = self._parts, []
                    answer = _read(b"".join(parts))
                    if answer is None:
                        self.is_over = True
                        return answers
                    answers.append(answer)
        self.out += b"".join(protocol.data_to_send())
        self.is_open = self.is_open or protocol.state is State.OPEN
        self.is_over = (
            protocol.handshake_exc is not None
            or protocol.parser_exc is not None
            or protocol.close_rcvd is not None
        )
        return answers


def request(number: int, content: str, name: str | None) -> bytes:
    """Returns the frame of a request.

    Args:
        number: What the answer is recognized by.
        content: The body.
        name: The idempotency id, if it has one.
    """
    headers = trace_headers()
    if name is not None:
        headers[wire.IDEMPOTENCY_HEADER] = name
    told = f',"headers":{json.dumps(headers)}' if headers else ""
    return _frame(f'{{"id":{number}{told}}}\n{content}'.encode())


def watch(number: int, namespace: str, after: int) -> bytes:
    """Returns the frame that asks for the changes of a namespace after a revision."""
    watched = {"namespace": namespace, "after": after}
    return _frame(json.dumps({"id": number, "watch": watched}).encode())


def withdrawal(number: int) -> bytes:
    """Returns the frame that withdraws a request."""
    return _frame(b'{"cancel":%d}' % number)


def closing() -> bytes:
    """Returns a close frame."""
    return Frame(Opcode.CLOSE, b"\x03\xe8").serialize(mask=True)  # 1000


def _frame(payload: bytes) -> bytes:
    return Frame(Opcode.BINARY, payload).serialize(mask=True)


def _read(message: bytes) -> tuple[int, Answer] | None:
    """Returns the answer in a message; None if it is not one."""
    line, _, content = message.partition(b"\n")
    try:
        head: Any = json.loads(line)
        number, status = head["id"], head["status"]
        name = head.get("headers", {}).get(_ID_HEADER)
        is_last = head.get("more") is not True
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        number = status = None
    if type(number) is not int or type(status) is not int:
        return None
    return number, Answer(status, content, "application/json", name, is_last)
