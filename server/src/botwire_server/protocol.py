"""HTTP/1.1 on a connection: uvicorn's protocol, with limits against slow and hostile clients.

uvicorn accepts request heads of any size. It waits without limit for a head, and for a client that
does not read its answer. `botwire_server.bodies` limits bodies.
"""

from __future__ import annotations

import asyncio
import json
import socket

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from botwire import wire
from botwire.errors import APIError, InvalidRequestError
from botwire_server.channel.connection import Channel
from botwire_server.problems import MEDIA_TYPE
from botwire_server.scopes import IS_WHOLE

MAX_HEAD = 64 * 1024
"""Largest request line with headers, in bytes."""


class GuardedProtocol(HttpToolsProtocol):
    """A connection that is closed if its client is too slow or sends too much."""

    head_seconds = 20.0
    """Seconds that the request line and the headers may take."""
    unread_seconds = 60.0
    """Seconds that a client may go without reading any of its answer."""

    _head = 0
    _trailers = 0
    _in_head = False
    _deadline: asyncio.TimerHandle | None = None
    _is_channel = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the deadline for a request."""
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        if connection is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            # This also counts while the client's receive window is closed; see tcp(7).
            milliseconds = round(self.unread_seconds * 1000)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        self._start_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the deadline."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parses the data that arrived."""
        super().data_received(data)
        if self._is_channel:
            return
        if self._in_head:
            self._head += len(data)
            if self._head > MAX_HEAD:
                self.refuse(
                    InvalidRequestError(
                        f"a request line and its headers are at most {MAX_HEAD:,} bytes", status=431
                    )
                )
        if self._deadline is None and (self.cycle is None or self.cycle.response_complete):
            # Any data between requests stops uvicorn's own timeout: a part of the next head, or the
            # rest of a body that was refused.
            self._start_waiting()

    def on_message_begin(self) -> None:
        """Records that a request head begins."""
        self._in_head = True
        self._trailers = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Accepts a header; ignores trailers, and refuses too many."""
        if self._in_head:
            super().on_header(name, value)
            return
        self._trailers += len(name) + len(value)
        if self._trailers > MAX_HEAD:
            self.refuse(InvalidRequestError(f"trailers are at most {MAX_HEAD:,} bytes", status=431))

    def on_headers_complete(self) -> None:
        """Records that the request head is complete."""
        self._in_head = False
        self._head = 0
        self._stop_waiting()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Records that the body is complete."""
        self.scope[IS_WHOLE] = True  # type: ignore[literal-required]
        super().on_message_complete()

    def _should_upgrade(self) -> bool:
        """Returns whether the request opens a channel; other upgrades are ignored (RFC 9110)."""
        return (
            self.parser.get_method() == b"GET"
            and self._get_upgrade() == b"websocket"
            and (self.cycle is None or self.cycle.response_complete)
            and httptools.parse_url(self.url).path == wire.CHANNEL_PATH.encode()
        )

    def _unsupported_upgrade_warning(self) -> None:
        """Logs nothing: clients may ask for upgrades that a server does not know."""

    def handle_websocket_upgrade(self) -> None:
        """Hands the connection over to a channel."""
        self._is_channel = True
        self.connections.discard(self)
        url = httptools.parse_url(self.url)
        self.scope["path"] = self.root_path + wire.CHANNEL_PATH
        self.scope["raw_path"] = self.scope["path"].encode()
        self.scope["query_string"] = url.query or b""
        channel = Channel(self.app, self.server_state, dict(self.scope), self.transport)
        self.transport.set_protocol(channel)
        channel.open()

    def send_400_response(self, msg: str) -> None:
        """Refuses a request that is not valid HTTP."""
        self.refuse(InvalidRequestError("this is not an HTTP/1.1 request"))

    def refuse(self, error: APIError) -> None:
        """Answers with a problem document before any request is handled, and closes."""
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
                    f"the headers did not arrive within {self.head_seconds:g} seconds", status=408
                )
            )
        else:
            self.transport.close()
