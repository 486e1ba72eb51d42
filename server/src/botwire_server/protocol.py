"""HTTP/1.1 on a connection: uvicorn's, made patient with networks and impatient with attackers.

uvicorn waits for ever for the head of a request, of any size, and for a client that does not read
its answer. Bodies are bounded later, where their limit is known; see `botwire_server.bodies`.
"""

from __future__ import annotations

import asyncio
import json
import socket

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from botwire.errors import APIError, InvalidRequestError
from botwire_server.bodies import IS_WHOLE
from botwire_server.problems import MEDIA_TYPE

MAX_HEAD = 64 * 1024
"""Most bytes of a request line and its headers."""


class GuardedProtocol(HttpToolsProtocol):
    """A connection whose client has to come to the point."""

    head_seconds = 20.0
    """For the request line and the headers, in all."""
    unread_seconds = 60.0
    """For which an answer may wait without the client reading any of it."""

    _head = 0
    _trailers = 0
    _in_head = False
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts to wait for a request."""
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        if connection is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            # Counts while the other side's window is closed, too; see tcp(7).
            milliseconds = round(self.unread_seconds * 1000)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        self._start_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops waiting."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parses what came."""
        super().data_received(data)
        if self._in_head:
            self._head += len(data)
            if self._head > MAX_HEAD:
                self.refuse(
                    InvalidRequestError(
                        f"a request line and its headers are at most {MAX_HEAD} bytes", status=431
                    )
                )
        if self._deadline is None and (self.cycle is None or self.cycle.response_complete):
            # What comes between requests stops uvicorn's own clock: the next head, a part of it,
            # or the rest of a body that was refused.
            self._start_waiting()

    def on_message_begin(self) -> None:
        """Notes that a head begins."""
        self._in_head = True
        self._trailers = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Takes a header; a trailer is none, whatever it is called."""
        if self._in_head:
            super().on_header(name, value)
            return
        self._trailers += len(name) + len(value)
        if self._trailers > MAX_HEAD:
            self.refuse(InvalidRequestError(f"trailers are at most {MAX_HEAD} bytes", status=431))

    def on_headers_complete(self) -> None:
        """Notes that a head is whole."""
        self._in_head = False
        self._head = 0
        self._stop_waiting()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Notes that a body is whole."""
        self.scope[IS_WHOLE] = True  # type: ignore[literal-required]
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answers what is not HTTP."""
        self.refuse(InvalidRequestError("this is not an HTTP/1.1 request"))

    def refuse(self, error: APIError) -> None:
        """Answers with a problem document outside of any request, and closes."""
        if self.transport.is_closing():
            return
        body = json.dumps(error.to_problem()).encode()
        lines = [STATUS_LINE[error.status]]
        for name, value in (
            *self.server_state.default_headers,
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ):
            lines += [name, b": ", value, b"\r\n"]
        self.transport.write(b"".join([*lines, b"\r\n", body]))
        self.transport.close()

    def _start_waiting(self) -> None:
        if not self.transport.is_closing():
            self._deadline = self.loop.call_later(self.head_seconds, self._waited)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _waited(self) -> None:
        self._deadline = None
        if self._in_head:
            self.refuse(
                InvalidRequestError(
                    f"a request's headers come within {self.head_seconds:g} seconds", status=408
                )
            )
        else:
            self.transport.close()
