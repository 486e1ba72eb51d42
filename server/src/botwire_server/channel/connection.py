"""One channel: reads its frames, answers each message in it as a request, and writes the answers.

Each message is one request to `POST /v1/batch`. It passes through the whole application like such a
request, so everything that applies over HTTP applies here: keys, rights, limits, quotas, the log.
This module only reads and writes frames, and limits the memory that one connection may use;
`lines` reads and writes what is in them. No other module of the server imports websockets.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from starlette.applications import Starlette
from starlette.types import ASGIApp, Message, Scope
from uvicorn.server import ServerState
from websockets.datastructures import Headers
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from botwire import wire
from botwire.engines.http.frames import masked
from botwire.engines.http.websocket_frames import BINARY, OTHER, TEXT, Splitter, head_of
from botwire_server.channel.channels import Channels
from botwire_server.channel.exchange import Exchange
from botwire_server.channel.lines import (
    MAX_LINE,
    REQUEST_HEADERS,
    BadMessageError,
    lead_to_watch,
    line_of_answer,
    read_line,
)
from botwire_server.scopes import CALLER, CHANNEL, VIA_CHANNEL, WITHDRAWAL

IN_FLIGHT = 64
"""Most requests of a channel in flight at a time; further ones wait in the network."""

_LAST_SECONDS = 0.5  # after the last answer, for a client to read it and answer a close frame
# Headers of the opening request that its channel's requests do not inherit.
_OF_OPENING = frozenset(name.encode() for name in REQUEST_HEADERS) | {
    b"accept-encoding",
    b"connection",
    b"content-encoding",
    b"content-length",
    b"content-type",
    b"expect",
    b"if-match",
    b"if-none-match",
    b"sec-websocket-extensions",
    b"sec-websocket-key",
    b"sec-websocket-version",
    b"transfer-encoding",
    b"upgrade",
}
# What its channel's requests share with it, its caller included: nobody is identified twice.
_SHARED = ("app", "asgi", "client", "root_path", "scheme", "server", "state", CALLER)
_DATA = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)


class Channel(asyncio.Protocol):
    """One connection, starting with the request that opens it.

    Args:
        app: The application, with what uvicorn puts in front of it.
        server: uvicorn's connections and tasks, which it waits for when it stops.
        scope: The scope of the request that opens the channel.
        transport: The connection.
    """

    def __init__(
        self, app: ASGIApp, server: ServerState, scope: Scope, transport: asyncio.Transport
    ) -> None:
        self._app = app
        self._server = server
        self._scope = scope
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._headers: list[tuple[bytes, bytes]] = []  # of each request
        self._common: Scope = {}  # what is the same in the scope of each request
        self._frames = ServerProtocol()
        self._channels: Channels | None = None
        self._most_bytes = 0
        self._splitter = Splitter(masked)
        self._parts: list[bytes] = []
        self._kind = TEXT  # of the message whose parts these are
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._in_flight: dict[int | str, Exchange] = {}
        self._pushes = 0  # how many of them are pushes
        self._bytes = 0  # total size of the bodies of requests in flight
        self._writable = asyncio.Event()
        self._writable.set()
        self._reads = True
        self._ending: tuple[int, str] | None = None
        self._is_closed = False
        self._last_timer: asyncio.TimerHandle | None = None
        self.used_at = self._loop.time()

    # --- opening ----------------------------------------------------------------------------

    def open(self) -> None:
        """Answers the request that opens the channel."""
        self._server.connections.add(self)  # type: ignore[arg-type]  # it is asked to shut down
        self._balance(is_full=True)
        self._start(self._open())

    async def _open(self) -> None:
        headers = Headers()
        for name, value in self._scope["headers"]:
            headers[name.decode("latin-1")] = value.decode("latin-1")
        response = self._frames.accept(Request(self._scope["path"], headers))
        found: list[Message] = []

        opening = Exchange(b"", BINARY)
        self._in_flight[0] = opening

        async def send(message: Message) -> None:
            found.append(message)

        self._scope[CHANNEL] = self if response.status_code == 101 else None
        try:
            await self._app(self._scope, opening.receive, send)
        finally:
            del self._in_flight[0]
        if self._is_closed or not found:
            return
        status, extra = found[0]["status"], found[0]["headers"]
        if status != 101:
            self._refuse(status, extra, b"".join(part.get("body", b"") for part in found[1:]))
            return
        del response.headers["Date"]
        for name, value in (*self._server.default_headers, *extra):
            response.headers[name.decode("latin-1")] = value.decode("latin-1")
        self._transport.write(response.serialize())
        most = self._most_bytes + MAX_LINE
        self._frames = ServerProtocol(state=State.OPEN, max_size=most)
        self._splitter = Splitter(masked, most)
        self._balance()
        self._end_if_idle()

    def _refuse(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        lines = [b"HTTP/1.1 %d \r\n" % status]
        for name, value in (*self._server.default_headers, *headers):
            lines += [name, b": ", value, b"\r\n"]
        self._transport.write(b"".join([*lines, b"connection: close\r\n\r\n", body]))
        self._transport.close()

    def admit(self, channels: Channels, most_bytes: int, app: Starlette) -> None:
        """Accepts the channel.

        Args:
            channels: All channels of this process; they are notified when this one closes.
            most_bytes: The largest request body, in bytes.
            app: The application, which answers its requests. What uvicorn puts in front of it has
                seen the opening request, and each request begins where that left off.
        """
        self._channels = channels
        self._most_bytes = most_bytes
        opened = self._scope
        self._headers = [one for one in opened["headers"] if one[0] not in _OF_OPENING]
        self._headers.append((b"content-type", b"application/json"))
        self._common = {
            **{name: opened[name] for name in _SHARED},
            "type": "http",
            "http_version": "1.1",
            "method": "POST",
            "path": wire.BATCH_PATH,
            "raw_path": wire.BATCH_PATH.encode(),
            "query_string": b"",
            VIA_CHANNEL: True,
        }
        if app.middleware_stack is not None:
            self._app = app.middleware_stack

    # --- what uvicorn and the transport call --------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Starts the requests that have arrived."""
        for kind, payload in self._splitter.split(data):
            if kind == OTHER:
                self._pass_on(payload)
            elif self._ending is None:
                self._take(kind, payload)
        if self._frames.close_rcvd is not None or self._frames.parser_exc is not None:
            self._ending = self._ending or (1000, "")
            self._withdraw_all()
            self._transport.close()
            return
        self._start_waiting()

    def _pass_on(self, data: bytes) -> None:
        """Passes bytes to the state machine, and takes the messages that are complete by them."""
        frames = self._frames
        frames.receive_data(data)
        for event in frames.events_received():
            if isinstance(event, Frame) and event.opcode in _DATA and self._ending is None:
                if event.opcode is not Opcode.CONT:
                    self._kind = TEXT if event.opcode is Opcode.TEXT else BINARY
                self._parts.append(bytes(event.data))
                if event.fin:
                    self._take(self._kind, b"".join(self._parts))
                    self._parts.clear()
        if out := frames.data_to_send():  # answers to pings, and to close frames
            self._transport.write(b"".join(out))

    def eof_received(self) -> None:
        """Closes the connection: the client has left."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Withdraws the requests in flight."""
        self._is_closed = True
        self._server.connections.discard(self)
        if self._last_timer is not None:
            self._last_timer.cancel()
        if self._channels is not None:
            self._channels.leave(self)
        self._withdraw_all()
        self._writable.set()

    def pause_writing(self) -> None:
        """Stops reading from a client that does not read its answers."""
        self._writable.clear()
        self._balance()

    def resume_writing(self) -> None:
        """Resumes reading: the client reads its answers again."""
        self._writable.set()
        self._start_waiting()

    def shutdown(self) -> None:
        """Finishes the requests in flight and tells the client to reconnect."""
        self.end(1012, "the server is stopping: reconnect")

    # --- requests ---------------------------------------------------------------------------

    def _take(self, kind: int, message: bytes) -> None:
        self.used_at = self._loop.time()
        self._waiting.append((kind, message))

    def _is_full(self) -> bool:
        return (
            len(self._in_flight) - self._pushes >= IN_FLIGHT
            or self._bytes > self._most_bytes
            or not self._writable.is_set()
        )

    def _start_waiting(self) -> None:
        """Starts waiting requests while there is room, and reads more once none wait."""
        while self._waiting and self._ending is None and not self._is_full():
            kind, message = self._waiting.popleft()
            try:
                self._begin(kind, message)
            except BadMessageError as error:
                self.end(1008, str(error))
            except UnicodeDecodeError:
                self.end(1007, "a text message is not UTF-8")
        self._balance()

    def _begin(self, kind: int, message: bytes) -> None:
        if kind == TEXT:
            message.decode()
        line, _, body = message.partition(b"\n")
        head = read_line(line)
        if "cancel" in head:
            if (exchange := self._in_flight.get(head["cancel"])) is not None:
                exchange.withdraw()
            return
        name = head["id"]
        if name in self._in_flight:
            raise BadMessageError(f"request {name!r} is not answered yet: use another id")
        exchange = Exchange(body, kind)
        self._in_flight[name] = exchange
        self._bytes += exchange.size
        scope = self._scope_of(head.get("headers", {}), exchange)
        if "watch" in head:
            lead_to_watch(scope, head["watch"])
        self._start(self._answer(name, scope, exchange))

    async def _answer(self, name: int | str, scope: Scope, exchange: Exchange) -> None:
        answer: list[Message] = []

        async def send(message: Message) -> None:
            answer.append(message)
            if message["type"] == "http.response.start":
                return
            if not message.get("more_body"):
                # Now, and not at the end: the client reads it while its request is logged.
                await self._send(name, answer, exchange)
                answer.clear()
                self._leave(name, exchange)
            elif scope["method"] == "GET":
                self._begin_push(exchange)
                await self._send(name, [answer[0], answer.pop()], exchange, more=True)

        try:
            await self._app(scope, exchange.receive, send)
            if answer:  # a watch that was withdrawn
                await self._send(name, answer, exchange)
        finally:
            self._leave(name, exchange)

    def _leave(self, name: int | str, exchange: Exchange) -> None:
        """Notes that a request is no longer in flight: it was answered, or it was withdrawn."""
        if self._in_flight.get(name) is not exchange:
            return
        del self._in_flight[name]
        self._pushes -= exchange.is_push
        self._bytes -= exchange.size
        if not self._is_closed:
            if not self._reads:
                self._start_waiting()
            self._end_if_idle()

    def _begin_push(self, exchange: Exchange) -> None:
        if not exchange.is_push:
            exchange.is_push = True
            self._pushes += 1
            self._start_waiting()
        if self._ending is not None:
            exchange.withdraw()

    def _scope_of(self, given: Any, exchange: Exchange) -> Scope:
        """Returns the scope of a request, as if it had been sent over HTTP."""
        headers = [*self._headers, (b"content-length", b"%d" % exchange.size)]
        for name, value in given.items():
            headers.append((name.lower().encode(), value.encode("utf-8", "surrogatepass")))
        return {**self._common, "headers": headers, WITHDRAWAL: exchange}

    async def _send(
        self, name: int | str, answer: list[Message], exchange: Exchange, *, more: bool = False
    ) -> None:
        line = line_of_answer(name, answer[0]["status"], answer[0]["headers"], more=more)
        body = b"".join([line, *[part.get("body", b"") for part in answer[1:]]])
        while not self._writable.is_set():
            await self._writable.wait()
        if self._is_closed or self._frames.state is not State.OPEN:
            return
        self._transport.write(head_of(exchange.kind, len(body)) + body)
        self.used_at = self._loop.time()

    # --- the end ----------------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Whether no request is in flight."""
        return not self._in_flight

    def ping(self) -> None:
        """Sends a ping, which keeps proxies from closing an idle connection."""
        if self._ending is None and self._writable.is_set():
            self._frames.send_ping(b"")
            self._transport.write(b"".join(self._frames.data_to_send()))

    def end(self, code: int, reason: str) -> None:
        """Stops accepting requests, answers those in flight, and closes.

        Args:
            code: The code of the close frame; see RFC 6455, section 7.4.
            reason: The reason, in at most 123 bytes.
        """
        if self._ending is None:
            self._ending = code, reason
            self._waiting.clear()
            for exchange in self._in_flight.values():
                if exchange.is_push:
                    exchange.withdraw()
            self._end_if_idle()

    def _end_if_idle(self) -> None:
        if self._ending is None or self._in_flight or self._is_closed:
            return
        if self._frames.state is State.CONNECTING:  # the answer to the opening comes first
            return
        if self._frames.state is State.OPEN and not self._transport.is_closing():
            self._frames.send_close(*self._ending)
            self._transport.write(b"".join(self._frames.data_to_send()))
            self._balance()
            # Closing a connection with unread data at once would reset it and lose answers. The
            # wait is bounded, as an idle blocking client does not read the close frame.
            left = max(0.0, self.used_at + _LAST_SECONDS - self._loop.time())
            self._last_timer = self._loop.call_later(left, self._transport.close)

    def _withdraw_all(self) -> None:
        self._waiting.clear()
        for exchange in self._in_flight.values():
            exchange.withdraw()

    def _balance(self, *, is_full: bool = False) -> None:
        """Resumes or pauses reading, depending on the work in progress."""
        if self._ending is None:
            reads = not (is_full or self._waiting or self._is_full())
        else:  # further messages are dropped, except the answer to the close frame
            reads = self._writable.is_set()
        if reads != self._reads and not self._transport.is_closing():
            self._reads = reads
            (self._transport.resume_reading if reads else self._transport.pause_reading)()

    def _start(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._server.tasks.add(task)
        task.add_done_callback(self._server.tasks.discard)
