"""Runs the application: a place to listen, an HTTP server, and an end without loss."""

from __future__ import annotations

import asyncio
import importlib
import signal
import socket
import ssl
import sys
from collections.abc import Coroutine
from types import FrameType
from typing import Any

import uvicorn

from botwire.engines.opening import open_async_engine
from botwire.errors import ConfigurationError
from botwire.places import Place, default_path, find_place, without_password
from botwire_server import logs
from botwire_server.addresses import is_loopback
from botwire_server.api_keys import KeyStore
from botwire_server.app import create_app
from botwire_server.limits import RateTable
from botwire_server.protocol import GuardedProtocol
from botwire_server.settings import Settings

_BACKLOG = 2048  # connections that wait to be accepted


def serve(settings: Settings) -> None:
    """Serves until it is told to stop.

    Raises:
        ConfigurationError: A setting is not one that can be served with.
    """
    place = find_database(settings)
    _check_certificate(settings)
    with _listen(settings.host, settings.port) as listener:
        _run(_prepare(place, settings))
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        scheme = "https" if settings.tls_cert else "http"
        greeting = f"BotWire serves {without_password(place.url)} at {scheme}://{shown}:{port}"
        if settings.workers == 1:
            serve_listener(settings, listener, greeting)
            return
        if sys.platform == "win32":
            raise ConfigurationError("on Windows one process serves: leave out --workers")
        from botwire_server.workers import Supervisor  # noqa: PLC0415 - it imports this module

        listener.listen(_BACKLOG)
        Supervisor(settings, listener, greeting).run()


def find_database(settings: Settings) -> Place:
    """Returns the place of the memory that is served."""
    place = find_place(settings.database or f"sqlite:///{default_path()}")
    if place.scheme in ("http", "https"):
        raise ConfigurationError("--database is a sqlite or postgresql URL")
    return place


def _run(work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=_new_loop) as runner:
        runner.run(work)


def _new_loop() -> asyncio.AbstractEventLoop:
    if sys.platform == "win32":
        return asyncio.new_event_loop()
    uvloop = importlib.import_module("uvloop")  # is not made for Windows
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


async def _prepare(place: Place, settings: Settings) -> None:
    """Says what is wrong with the database or with who could reach it, before anyone does."""
    engine = open_async_engine(place)
    try:
        is_open = not await KeyStore(engine).read()
    finally:
        await engine.aclose()
    if is_open and not settings.allow_anonymous and not is_loopback(settings.host):
        raise ConfigurationError(
            f"there are no API keys, so anyone who can reach {settings.host} could read and write "
            "everything: make one (`botwire keys create`), listen at 127.0.0.1, or say "
            "--allow-anonymous"
        )


def _check_certificate(settings: Settings) -> None:
    if settings.tls_cert is None:
        return
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(settings.tls_cert, settings.tls_key)
    except OSError as error:  # of which the errors of TLS are some
        raise ConfigurationError(
            f"HTTPS is not possible with {settings.tls_cert} and {settings.tls_key}: {error}"
        ) from error


def serve_listener(
    settings: Settings, listener: socket.socket, greeting: str, *, rates: str | None = None
) -> None:
    """Serves at a socket until it is told to stop.

    Args:
        settings: The server's.
        listener: A bound socket.
        greeting: What to print when it serves.
        rates: The file in which requests are counted together with other processes.
    """
    _run(_serve(settings, listener, greeting, rates))


async def _serve(
    settings: Settings, listener: socket.socket, greeting: str, rates: str | None
) -> None:
    logs.log_to_stderr()
    engine = open_async_engine(find_database(settings))
    app = create_app(engine, settings, rates=RateTable(rates))
    config = uvicorn.Config(
        app,
        http=GuardedProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=_BACKLOG,
        proxy_headers=bool(settings.trust_proxy),
        forwarded_allow_ips=list(settings.trust_proxy),
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
        timeout_graceful_shutdown=round(settings.grace),
    )
    await _Server(config, app.state, settings.drain, greeting).serve(sockets=[listener])


class _Server(uvicorn.Server):
    """Says where it serves when, and not before, it does; goes on for a while when it stops."""

    def __init__(self, config: uvicorn.Config, state: Any, drain: float, greeting: str) -> None:
        super().__init__(config)
        self._state = state
        self._drain = drain
        self._greeting = greeting
        self._loop: asyncio.AbstractEventLoop | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begins to stop: /readyz says so at once, and the rest follows when all have seen it."""
        is_first = not self._state.is_stopping
        self._state.is_stopping = True
        if is_first and self._drain > 0 and self._loop is not None and sig == signal.SIGTERM:
            stop = super().handle_exit
            self._loop.call_soon_threadsafe(self._loop.call_later, self._drain, stop, sig, frame)
        else:
            super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finishes what was accepted."""
        self._state.is_stopping = True
        # Streams without end would be waited for until the grace is over.
        self._state.watchers.close()
        await super().shutdown(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begins to serve, and says so."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        print(self._greeting, flush=True)  # noqa: T201 - whoever started it waits for this line


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named asyncio sets TCP_NODELAY; without, an answer waits 40 ms for an ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"cannot listen at {host}:{port}: {error.strerror}; choose another --port"
        ) from error
    return listener
