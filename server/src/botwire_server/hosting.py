"""Runs the application on a socket until told to stop, then finishes accepted requests."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import json
import logging
import os
import signal
import socket
import sys
import threading
from types import FrameType
from typing import Any, cast

import uvicorn

from botwire.engines.opening import open_async_engine
from botwire.engines.sqlite import AsyncSQLiteEngine
from botwire.errors import BotWireError
from botwire_server import logs
from botwire_server.accepting import SHARE, Acceptor
from botwire_server.app import create_app
from botwire_server.limits import RateTable, rates_path
from botwire_server.protocol import GuardedProtocol
from botwire_server.settings import BACKLOG, Settings
from botwire_server.workers import ALIVE, ALIVE_SECONDS, READY

logger = logging.getLogger("botwire.workers")

_SWITCH_SECONDS = 0.0005
_LAST_SECONDS = 3.0  # after the grace period, before the process ends by force


def serve_listener(
    settings: Settings,
    listener: socket.socket,
    greeting: str,
    *,
    alive_seconds: float = ALIVE_SECONDS,
) -> None:
    """Serves on a socket until it is told to stop.

    Args:
        settings: The server's settings.
        listener: A bound socket.
        greeting: What to print once it serves.
        alive_seconds: How often a worker reports that its event loop runs.
    """
    with asyncio.Runner(loop_factory=_new_loop) as runner:
        runner.run(_serve(settings, listener, greeting, alive_seconds))


def _new_loop() -> asyncio.AbstractEventLoop:
    if sys.platform == "win32":
        return asyncio.new_event_loop()
    uvloop = importlib.import_module("uvloop")  # unavailable on Windows
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


async def _serve(
    settings: Settings, listener: socket.socket, greeting: str, alive_seconds: float
) -> None:
    logs.log_to_stderr()
    # The event loop waits this long for a busy thread, instead of the default of 5 ms.
    sys.setswitchinterval(_SWITCH_SECONDS)
    engine = open_async_engine(settings.place)
    if isinstance(engine, AsyncSQLiteEngine):
        engine.commits_on_loop = True  # nothing else runs on it
    app = create_app(engine, settings, rates=RateTable(rates_path(settings.place)))
    config = uvicorn.Config(
        app,
        http=GuardedProtocol,
        ws="none",  # the channel is a WebSocket of `protocol`
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        proxy_headers=bool(settings.trust_proxy),
        forwarded_allow_ips=list(settings.trust_proxy),
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
        timeout_graceful_shutdown=round(settings.grace),
    )
    server = _Server(config, app.state, greeting, alive_seconds)
    await server.serve(sockets=[listener])


class _Server(uvicorn.Server):
    """Prints the greeting once it serves, and keeps serving for a while when told to stop."""

    def __init__(
        self, config: uvicorn.Config, state: Any, greeting: str, alive_seconds: float
    ) -> None:
        super().__init__(config)
        self._state = state
        self._greeting = greeting
        self._alive_seconds = alive_seconds
        self._loop: asyncio.AbstractEventLoop | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begins to stop: /readyz reports it at once, and the server stops after the drain time."""
        is_first = not self._state.is_stopping
        self._state.is_stopping = True
        settings: Settings = self._state.settings
        drain = settings.drain if sig == signal.SIGTERM else 0
        if is_first:
            last = threading.Timer(drain + settings.grace + _LAST_SECONDS, _end_now)
            last.daemon = True
            last.start()
        if is_first and drain > 0 and self._loop is not None:
            stop = super().handle_exit
            self._loop.call_soon_threadsafe(self._loop.call_later, drain, stop, sig, frame)
        else:
            super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finishes the requests that were accepted."""
        self._state.is_stopping = True
        # Streams would otherwise last until the end of the grace period.
        self._state.watchers.close()
        self._state.mounts.stop()
        # uvicorn tells only open connections to close, and would wait for the others in vain.
        for acceptor in self.servers:
            acceptor.close()
            await acceptor.wait_closed()
        await super().shutdown(sockets)
        # uvicorn raises the signal again after this, which ends the process at once.
        for handler in logging.getLogger("botwire").handlers:
            handler.flush()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begins to serve, and reports it."""
        self._loop = asyncio.get_running_loop()
        await super().startup([])
        at_once = SHARE if self._state.settings.workers > 1 else self.config.backlog
        # uvicorn closes them, and nothing else.
        self.servers = [
            cast(
                "asyncio.Server",
                Acceptor(
                    listener, self._new_protocol, self.config.ssl, self.config.backlog, at_once
                ),
            )
            for listener in sockets or ()
        ]
        # All objects so far are permanent, so the garbage collector need not visit them again.
        gc.collect()
        gc.freeze()
        if self._greeting == READY:
            self._loop.call_later(self._alive_seconds, self._say_alive)
        elif hasattr(signal, "SIGHUP"):
            self._loop.add_signal_handler(signal.SIGHUP, self._read_certificates)
        print(self._greeting, flush=True)  # noqa: T201 - the program that started it waits for this

    def _new_protocol(self) -> asyncio.Protocol:
        return GuardedProtocol(self.config, self.server_state, self.lifespan.state)

    def _say_alive(self) -> None:
        """Reports to the supervisor that this event loop runs."""
        assert self._loop is not None
        with contextlib.suppress(OSError):  # the supervisor has ended, so this process ends too
            print(ALIVE, flush=True)  # noqa: T201 - see `workers`
        self._loop.call_later(self._alive_seconds, self._say_alive)

    def _read_certificates(self) -> None:
        """Reloads the certificates for new connections, in a server of one process."""
        if self.config.ssl is None or self.config.ssl_certfile is None:
            logger.info("SIGHUP: there is no certificate to reload")
            return
        try:
            self.config.ssl.load_cert_chain(self.config.ssl_certfile, self.config.ssl_keyfile)
        except OSError as error:
            logger.error("SIGHUP: the certificate cannot be loaded, the old one stays: %s", error)  # noqa: TRY400


def _end_now() -> None:
    """Ends this process by force; the store holds everything acknowledged."""
    logger.error("requests did not end in time: the process ends anyway")
    for handler in logger.parent.handlers if logger.parent else ():
        handler.flush()
    os._exit(1)


def _follow_supervisor() -> None:
    """Shuts this process down in order once its supervisor has ended."""
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> int:
    """Serves as a worker, and returns the exit code.

    The command line holds the listener's file descriptor, and the interval at which to report that
    this process is alive. The first line of standard input holds the settings.
    """
    given = json.loads(sys.stdin.readline())
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in given.items()
    }
    threading.Thread(target=_follow_supervisor, daemon=True).start()
    with socket.socket(fileno=int(sys.argv[1])) as listener:
        try:
            serve_listener(Settings(**fields), listener, READY, alive_seconds=float(sys.argv[2]))
        except BotWireError as error:
            logger.error("%s", error)  # noqa: TRY400 - the message is enough
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
