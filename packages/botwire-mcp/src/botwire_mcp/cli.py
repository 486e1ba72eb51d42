"""The commands ``botwire-mcp`` and ``botwire mcp``."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from typing import Any

import anyio
from mcp.server.stdio import stdio_server

from botwire.errors import BotWireError
from botwire_mcp.server import TOOLS, create_server


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs ``botwire-mcp`` and returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="botwire-mcp", description="Serves one memory to every agent that speaks MCP."
    )
    _add_options(parser)
    options = parser.parse_args(arguments)
    try:
        code: int = options.run(options)
    except BotWireError as error:
        print(error, file=sys.stderr)
        return 2
    return code


def mcp_command(commands: Any) -> None:
    """Adds ``botwire mcp`` to the command line of botwire."""
    text = "serve memory to agents over MCP, on stdin and stdout"
    _add_options(commands.add_parser("mcp", help=text, description=text[0].upper() + text[1:]))


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", help="where memory lives (default: BOTWIRE_URL, else a file)")
    parser.add_argument("--api-key", metavar="KEY", help="API key; safer in BOTWIRE_API_KEY")
    parser.add_argument(
        "-N", "--namespace", help="namespace (default: BOTWIRE_NAMESPACE, else default)"
    )
    parser.add_argument(
        "--tools",
        type=lambda text: [name for name in text.replace(",", " ").split() if name],
        metavar="NAMES",
        help=f"tools to offer, separated by commas (default: {','.join(TOOLS)})",
    )
    parser.add_argument("--read-only", action="store_true", help="only offer tools that read")
    parser.set_defaults(run=_serve)


def _serve(options: argparse.Namespace) -> int:
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    server = create_server(
        options.namespace,
        tools=options.tools,
        read_only=options.read_only,
        url=options.url,
        api_key=options.api_key,
    )

    async def run() -> None:
        async with stdio_server() as (read, write):
            await server.run(read, write, server.create_initialization_options())

    anyio.run(run)
    return 0
