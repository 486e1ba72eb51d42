"""Runs the application: a place to listen, an HTTP server, and an end without loss."""

from __future__ import annotations

import asyncio
import importlib
import socket
import sys

import uvicorn

from botwire.engines.opening import open_async_engine
from botwire.errors import ConfigurationError
from botwire.places import Place, default_path, find_place, without_password
from botwire_server import logs
from botwire_server.addresses import is_loopback
from botwire_server.api_keys import KeyStore
from botwire_server.app import create_app
from botwire_server.protocol import GuardedProtocol
from botwire_server.settings import Settings
from botwire_server.watching import Watchers


def serve(settings: Settings) -> None:
    """Serves until it is told to stop.

    Raises:
        ConfigurationError: A setting is not one that can be served with.
    """
    place = find_database(settings)
    with (
        _listen(settings.host, settings.port) as listener,
        asyncio.Runner(loop_factory=_new_loop) as runner,
    ):
        runner.run(_serve(place, listener, settings))


def find_database(settings: Settings) -> Place:
    """Returns the place of the memory that is served."""
    place = find_place(settings.database or f"sqlite:///{default_path()}")
    if place.scheme in ("http", "https"):
        raise ConfigurationError("--database is a sqlite or postgresql URL")
    return place


def _new_loop() -> asyncio.AbstractEventLoop:
    if sys.platform == "win32":
        return asyncio.new_event_loop()
    uvloop = importlib.import_module("uvloop")  # is not made for Windows
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


async def _serve(place: Place, listener: socket.socket, settings: Settings) -> None:
    engine = open_async_engine(place)
    # What is wrong with the database is said now, and not to the first caller.
    is_open = not await KeyStore(engine).read()
    if is_open and not settings.allow_anonymous and not is_loopback(settings.host):
        raise ConfigurationError(
            f"there are no API keys, so anyone who can reach {settings.host} could read and write "
            "everything: make one (`botwire keys create`), listen at 127.0.0.1, or say "
            "--allow-anonymous"
        )
    logs.log_to_stderr()
    app = create_app(engine, settings)
    config = uvicorn.Config(
        app,
        http=GuardedProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=round(settings.grace),
    )
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    server = _Server(
        config,
        app.state.watchers,
        f"BotWire serves {without_password(place.url)} at http://{shown}:{port}",
    )
    await server.serve(sockets=[listener])


class _Server(uvicorn.Server):
    """Says where it serves when, and not before, it does; ends streams when it stops."""

    def __init__(self, config: uvicorn.Config, watchers: Watchers, greeting: str) -> None:
        super().__init__(config)
        self._watchers = watchers
        self._greeting = greeting

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Streams without end would be waited for until the grace is over.
        self._watchers.close()
        await super().shutdown(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
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
