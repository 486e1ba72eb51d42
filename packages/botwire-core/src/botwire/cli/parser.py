"""Parses the command line, runs the command and reports its errors."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from botwire._version import __version__
from botwire.cli import admin, histories, keys, moving, past, records, retention
from botwire.cli.exits import FAILED, INTERRUPTED, OK, exit_code
from botwire.cli.options import CommandParser
from botwire.cli.output import escape_output, say
from botwire.errors import BotWireError, PermissionDeniedError, TransportError
from botwire.places import API_KEY_VARIABLE, NAMESPACE_VARIABLE, URL_VARIABLE

COMMANDS = "botwire.commands"
"""The entry point group in which other distributions declare commands."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code; see `botwire.cli.exits`."""
    given = sys.argv[1:] if arguments is None else arguments
    if sys.stdin is None:  # closed by the caller, as some schedulers do
        sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115 - it stays open
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - it stays open
    escape_output()
    options = _parser(given).parse_args(given)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        code = run(options)
        sys.stdout.flush()
    except BotWireError as error:
        say(str(error) + _hint(error))
        return exit_code(error)
    except BrokenPipeError:
        # The reader closed the pipe. Without this, Python would report that at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except OSError as error:
        say(f"{error.filename or 'standard input or output'}: {error.strerror or error}")
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return code


def _hint(error: BotWireError) -> str:
    if isinstance(error, TransportError) and error.url.startswith("http"):
        return "; is `botwire serve` running there?"
    if isinstance(error, PermissionDeniedError) and "in all namespaces" in str(error):
        return ". Name the namespaces that the key allows with -N NAME"
    return ""


def _parser(given: Sequence[str]) -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="botwire",
        description="Memory for agents that outlives their process.",
        epilog=f"Memory lives at --url, else at {URL_VARIABLE}, else in a file in your data "
        f"folder. {API_KEY_VARIABLE} and {NAMESPACE_VARIABLE} replace --api-key and --namespace. "
        "Exit codes: 0 success; 1 not found, or different; 2 failure; 3 conflict with newer data; "
        "4 no answer; 5 access denied.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (keys, histories, records, past, moving, admin, retention):
        module.add_commands(commands)
    if given and given[0] in commands.choices:
        return parser  # skips loading the server's modules, which takes a second
    found = importlib.metadata.entry_points(group=COMMANDS)
    for entry_point in found:
        entry_point.load()(commands)
    if "serve" not in found.names:
        text = "serve memory to other processes"
        commands.add_parser("serve", help=text).set_defaults(run=_no_server)
    return parser


def _no_server(options: Any) -> int:
    say('the server is not installed: pip install "botwire[server]"')
    return FAILED
