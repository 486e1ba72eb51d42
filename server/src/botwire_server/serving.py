"""``botwire serve``: checks the settings, listens, and serves with one process or several."""

from __future__ import annotations

import asyncio
import contextlib
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
    """Serves until told to stop.

    Raises:
        ConfigurationError: The server cannot run with these settings.
    """
    _check_certificate(settings)
    if settings.workers > 1 and not settings.place.shareable:
        raise ConfigurationError(
            "each worker would have a memory of its own: name a file or a database, or omit "
            "--workers"
        )
    _allow_many_connections()
    with _listen(settings.host, settings.port) as listener:
        asyncio.run(_prepare(settings))
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        scheme = "https" if settings.tls_cert else "http"
        greeting = (
            f"BotWire serves {without_password(settings.place.url)} at {scheme}://{shown}:{port}"
        )
        if settings.workers == 1:
            from botwire_server import hosting  # noqa: PLC0415 - slow to import, and a supervisor does not need it

            hosting.serve_listener(settings, listener, greeting)
            return
        if sys.platform == "win32":
            raise ConfigurationError("on Windows only one process serves: omit --workers")
        listener.listen(BACKLOG)
        Supervisor(settings, listener, greeting).run()


async def _prepare(settings: Settings) -> None:
    """Raises `ConfigurationError` if the store is not writable, or open to everyone by accident."""
    engine = open_async_engine(settings.place)
    try:
        is_open = not await KeyStore(engine).read()
        await engine.apply(NO_WRITE)
    finally:
        await engine.aclose()
    if is_open and not settings.allow_anonymous and not is_loopback(settings.host):
        raise ConfigurationError(
            f"there are no API keys, so anyone who can reach {settings.host} could read and write "
            "everything: create a key (`botwire keys create`), listen on 127.0.0.1, or pass "
            "--allow-anonymous"
        )


def _allow_many_connections() -> None:
    """Raises the soft limit on open files to the hard limit, as each connection takes one.

    The soft limit is often 1,024 (256 on macOS), for the sake of programs that call ``select``.
    Once it is reached, no client can connect, and the store cannot open its files either.
    """
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 - Windows has no such module

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    # macOS says "unlimited" and then refuses more than the kernel's own limit: the soft one stays.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _check_certificate(settings: Settings) -> None:
    if settings.tls_cert is None:
        return
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(settings.tls_cert, settings.tls_key)
    except OSError as error:  # includes ssl.SSLError
        raise ConfigurationError(
            f"the certificate {settings.tls_cert} with the key {settings.tls_key} cannot be used: "
            f"{error}"
        ) from error


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only if the protocol is named; without it, an answer waits 40 ms for
    # an ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform != "win32":  # where two servers could then listen on one port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"cannot listen on {host}:{port} ({error.strerror}): choose another --host or --port"
        ) from error
    return listener
