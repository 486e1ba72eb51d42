"""The server's commands: ``botwire serve``, ``ready``, ``config`` and ``keys``."""

from __future__ import annotations

import argparse
import json
import os
from typing import Any

from botwire.cli import NO, OK
from botwire.cli.options import add_command
from botwire_server import settings
from botwire_server.key_commands import keys_command


def serve_command(commands: Any) -> None:
    """Adds the server's commands to the command line; see `botwire.cli`."""
    text = "serve a store to other processes and machines"
    settings.add_options(add_command(commands, "serve", _serve, text))

    text = "ask the server on this machine whether it is ready"
    parser = add_command(commands, "ready", _ready, text)
    parser.add_argument(
        "--wait",
        metavar="SECONDS",
        type=float,
        default=0.0,
        help="keep asking until it is ready, for up to this long (default: ask once)",
    )
    settings.add_options(parser)

    text = "show the settings of `botwire serve` and the source of each"
    parser = add_command(commands, "config", _config, text)
    parser.add_argument("--json", action="store_true", help="print JSON")
    settings.add_options(parser)

    keys_command(commands)


def _serve(options: argparse.Namespace) -> int:
    # Every botwire command imports this module, and the server is slow to import.
    from botwire_server import serving  # noqa: PLC0415

    serving.serve(settings.load(options, os.environ).settings)
    return OK


def _ready(options: argparse.Namespace) -> int:
    from botwire_server import readiness  # noqa: PLC0415 - see `_serve`

    server = settings.load(options, os.environ).settings
    is_ready, line = readiness.wait_until_ready(server, options.wait)
    print(line)
    return OK if is_ready else NO


def _config(options: argparse.Namespace) -> int:
    described = settings.load(options, os.environ).describe()
    if options.json:
        found = {name: {"value": value, "from": source} for name, value, source in described}
        print(json.dumps(found, indent=2))
        return OK
    for name, value, source in described:
        text = ",".join(value) if isinstance(value, tuple) else str(value)
        print(f"{name:18} {'-' if value in (None, ()) else text:32} {source}")
    return OK
