"""``botwire serve``: looks whether it can, listens, and serves by this process or by several."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys

from botwire.engines.opening import open_async_engine
from botwire.errors import ConfigurationError
from botwire.places import without_password
from botwire_server.addresses import is_loopback
from botwire_server.api_keys import NO_WRITE, KeyStore
from botwire_server.settings import BACKLOG, Settings
from botwire_server.workers import Supervisor


def serve(settings: Settings) -> None:
    """Serves until it is told to stop.

    Raises:
        ConfigurationError: A setting is not one that can be served with.
    """
    _check_certificate(settings)
    with _listen(settings.host, settings.port) as listener:
        asyncio.run(_prepare(settings))
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        scheme = "https" if settings.tls_cert else "http"
        greeting = (
            f"BotWire serves {without_password(settings.place.url)} at {scheme}://{shown}:{port}"
        )
        if settings.workers == 1:
            from botwire_server import hosting  # noqa: PLC0415 - takes long, and is not for a supervisor

            hosting.serve_listener(settings, listener, greeting)
            return
        if sys.platform == "win32":
            raise ConfigurationError("on Windows one process serves: leave out --workers")
        listener.listen(BACKLOG)
        Supervisor(settings, listener, greeting).run()


async def _prepare(settings: Settings) -> None:
    """Says what is wrong with the database or with who could reach it, before anyone does."""
    engine = open_async_engine(settings.place)
    try:
        is_open = not await KeyStore(engine).read()
        await engine.apply(NO_WRITE)
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
