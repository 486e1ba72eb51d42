"""``botwire serve``: a server that one command starts."""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import json
import logging
import socket
import sys
import time
from typing import Any

import uvicorn

from botwire import operations as ops
from botwire.cli import OK
from botwire.engines.opening import open_async_engine
from botwire.errors import ConfigurationError
from botwire.places import Place, default_path, find_place, without_password
from botwire_server.app import MAX_BODY, create_app

HOST, PORT = "127.0.0.1", 8700


def serve_command(commands: Any) -> None:
    """Adds ``serve`` to the command line; see `botwire.cli`."""
    text = "serve memory to other processes and machines"
    parser: argparse.ArgumentParser = commands.add_parser("serve", help=text, description=text)
    parser.add_argument("--host", default=HOST, help="address to listen at (%(default)s)")
    parser.add_argument("--port", type=_port, default=PORT, help="0 takes a free one (%(default)s)")
    parser.add_argument(
        "--database", metavar="URL", help="sqlite:///path (the user's own file) or postgresql://…"
    )
    parser.add_argument(
        "--max-body", type=int, default=MAX_BODY, metavar="BYTES", help="of a request (%(default)s)"
    )
    parser.add_argument(
        "--allow-anonymous",
        action="store_true",
        help="listen beyond this machine although anyone who can connect reads and writes all",
    )
    parser.set_defaults(run=serve)


def serve(options: argparse.Namespace) -> int:
    """Serves until it is told to stop; returns the exit code."""
    if not options.allow_anonymous and not _is_loopback(options.host):
        raise ConfigurationError(
            f"there are no API keys, so anyone who can reach {options.host} could read and write "
            "everything: listen at 127.0.0.1, or say --allow-anonymous"
        )
    place = find_place(options.database or f"sqlite:///{default_path()}")
    if place.scheme in ("http", "https"):
        raise ConfigurationError("--database is a sqlite or postgresql URL")
    with _listen(options.host, options.port) as listener:
        asyncio.run(_serve(place, listener, options.max_body))
    return OK


async def _serve(place: Place, listener: socket.socket, max_body: int) -> None:
    engine = open_async_engine(place)
    # What is wrong with the database is said now, and not to the first caller.
    await engine.apply(ops.Batch("botwire", (ops.CountKeys(),)))
    _log_to_stderr()
    config = uvicorn.Config(
        create_app(engine, max_body=max_body),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=30,
    )
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    server = _Server(
        config, f"BotWire serves {without_password(place.url)} at http://{shown}:{port}"
    )
    await server.serve(sockets=[listener])


class _Server(uvicorn.Server):
    """Says where it serves when, and not before, it does."""

    def __init__(self, config: uvicorn.Config, greeting: str) -> None:
        super().__init__(config)
        self._greeting = greeting

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(self._greeting, flush=True)


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


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port < 65536:
        raise ValueError
    return port


class _JSONLines(logging.Formatter):
    """A log line as a JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields)


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JSONLines())
    for name, level in (("botwire", logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(level)
        logger.propagate = False
