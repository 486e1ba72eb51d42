"""Options that commands share, and functions that open the place they name."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from botwire import Memory
from botwire.connection import Connection
from botwire.engines.opening import open_engine
from botwire.engines.protocol import Engine
from botwire.engines.sqlite import MEMORY
from botwire.errors import NotFoundError
from botwire.places import DEFAULT_TIMEOUT, find_place

LONG_TIMEOUT = 300.0
"""Default timeout in seconds for commands on a whole store."""

Command = Callable[[argparse.Namespace], int]


def add_command(commands: Any, name: str, run: Command, text: str) -> argparse.ArgumentParser:
    """Adds a command and returns its parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + "."
    )
    parser.set_defaults(run=run)
    return parser


def positive(text: str) -> int:
    """Parses a whole number above 0, for `argparse`."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def add_json(parser: argparse.ArgumentParser) -> None:
    """Adds ``--json``."""
    parser.add_argument("--json", action="store_true", help="print JSON, one object per line")


def add_place(parser: argparse.ArgumentParser, timeout: float = DEFAULT_TIMEOUT) -> None:
    """Adds the options that say where memory lives."""
    parser.add_argument("--url", help="where memory lives")
    parser.add_argument(
        "--api-key", metavar="KEY", help="API key for a server; safer in the environment"
    )
    add_timeout(parser, timeout)


def add_timeout(parser: argparse.ArgumentParser, timeout: float = LONG_TIMEOUT) -> None:
    """Adds ``--timeout``."""
    parser.add_argument(
        "--timeout",
        type=float,
        default=timeout,
        metavar="SECONDS",
        help="timeout per call (default: %(default)g)",
    )


def add_namespace(parser: argparse.ArgumentParser) -> None:
    """Adds ``--namespace`` for one namespace."""
    parser.add_argument("-N", "--namespace", help="namespace to use (default: default)")


def add_patterns(parser: argparse.ArgumentParser) -> None:
    """Adds ``--namespace`` for a pattern of namespaces."""
    parser.add_argument(
        "-N",
        "--namespace",
        action="append",
        default=[],
        metavar="PATTERN",
        help="only namespaces that match; * matches any characters; may be repeated",
    )


def open_memory(options: argparse.Namespace) -> Memory:
    """Returns the memory that the options name."""
    return Connection(
        options.namespace, url=options.url, api_key=options.api_key, timeout=options.timeout
    ).memory


@contextlib.contextmanager
def open_store(
    url: str | None, api_key: str | None, timeout: float, *, make: bool = False
) -> Iterator[Engine]:
    """Opens a store for a block, then closes it.

    Args:
        url: Where memory lives, as for `Memory`.
        api_key: The API key for a server, as for `Memory`.
        timeout: Seconds that a call may take.
        make: Whether to create a missing file.

    Raises:
        NotFoundError: The file does not exist. The name may be a typo, so no empty store is made.
    """
    place = find_place(url, api_key, timeout)
    if not make and place.scheme == "sqlite" and place.sqlite_path != MEMORY:
        path = Path(place.sqlite_path)
        if not path.exists():
            raise NotFoundError(f"there is no store: the file {path} does not exist")
    engine = open_engine(place)
    try:
        yield engine
    finally:
        engine.close()
