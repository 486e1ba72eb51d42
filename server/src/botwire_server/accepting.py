"""Accepts many connections at a time, so that new clients of a busy server do not starve.

libuv, on which uvloop runs, accepts one connection per turn of its loop. A turn answers every
request that has arrived, so with hundreds of clients it takes tens of milliseconds, and the last of
300 clients that came together waited for four seconds.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable

logger = logging.getLogger("botwire.server")

SHARE = 32
"""Connections that one of several workers accepts per turn, so as to leave some to the others."""
_PAUSE_SECONDS = 1.0
_LAST_SECONDS = 1.0  # for handshakes, when the server stops
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Acceptor:
    """Accepts the connections of a listener; uvicorn uses it like an `asyncio.Server`.

    Args:
        listener: A bound socket, which the caller closes.
        protocol: Makes the protocol of a connection.
        tls: The certificates; None serves without TLS.
        backlog: Connections that may wait to be accepted.
        at_once: The most connections to accept per turn.
    """

    def __init__(
        self,
        listener: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        tls: ssl.SSLContext | None,
        backlog: int,
        at_once: int,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._protocol = protocol
        self._tls = tls
        self._at_once = at_once
        self._opening: set[asyncio.Task[object]] = set()
        self._accepting: asyncio.Task[None] | None = None
        self._is_closed = False
        listener.setblocking(False)
        listener.listen(backlog)
        self._start()

    def _start(self) -> None:
        if not self._is_closed:
            try:
                self._loop.add_reader(self._listener, self._accept)
            except NotImplementedError:  # on Windows, event loops watch operations, not sockets
                self._accepting = self._loop.create_task(self._accept_one_by_one())

    def _accept(self) -> None:
        for _ in range(self._at_once):
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                # The listener stays readable, so the loop would spin.
                logger.error("no connection can be accepted: %s", error)  # noqa: TRY400
                self._loop.remove_reader(self._listener)
                self._loop.call_later(_PAUSE_SECONDS, self._start)
                return
            self._begin(connection)

    async def _accept_one_by_one(self) -> None:
        while True:
            try:
                connection, _ = await self._loop.sock_accept(self._listener)
            except ConnectionError:
                continue
            except OSError as error:
                logger.error("no connection can be accepted: %s", error)  # noqa: TRY400
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            self._begin(connection)

    def _begin(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        opening = self._loop.create_task(self._open(connection))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)

    async def _open(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection, ssl=self._tls)
        except OSError:  # the client has left, or does not speak TLS
            connection.close()

    def close(self) -> None:
        """Stops accepting connections."""
        if not self._is_closed:
            self._is_closed = True
            if self._accepting is None:
                self._loop.remove_reader(self._listener)
            else:
                self._accepting.cancel()

    async def wait_closed(self) -> None:
        """Waits until the accepted connections are open; drops those that take long (TLS)."""
        if self._opening:
            _, slow = await asyncio.wait(self._opening, timeout=_LAST_SECONDS)
            for opening in slow:
                opening.cancel()
