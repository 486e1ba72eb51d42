"""Options that commands share, and functions that open the place they name."""

from __future__ import annotations

import argparse
import contextlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from botwire import Memory
from botwire.connection import Connection
from botwire.engines.opening import open_engine
from botwire.engines.protocol import Engine
from botwire.engines.sqlite import MEMORY
from botwire.errors import ConfigurationError, NotFoundError
from botwire.pieces import unique
from botwire.places import DEFAULT_TIMEOUT, find_place

LONG_TIMEOUT = 300.0
"""Default timeout in seconds for commands on a whole store."""

Command = Callable[[argparse.Namespace], int]


class CommandParser(argparse.ArgumentParser):
    """A parser that takes options before, between and after the arguments of a command.

    Before Python 3.13, argparse itself refuses ``set KEY --text VALUE``, where VALUE is optional.
    """

    _is_inner = False

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parses arguments; see `argparse`."""
        # `parse_known_intermixed_args` calls this method, and takes no subcommands.
        if self._is_inner or self._subparsers is not None:
            return super().parse_known_args(args, namespace)
        self._is_inner = True
        try:
            found, unknown = self.parse_known_intermixed_args(args, namespace)
        finally:
            self._is_inner = False
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown


_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400, "y": 365 * 86_400}


def add_command(commands: Any, name: str, run: Command, text: str) -> argparse.ArgumentParser:
    """Adds a command and returns its parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + "."
    )
    parser.set_defaults(run=run)
    return parser


def add_memory_command(
    commands: Any, name: str, run: Command, text: str, *, as_json: bool = True
) -> argparse.ArgumentParser:
    """Adds a command on one namespace, and returns its parser."""
    parser = add_command(commands, name, run, text)
    add_place(parser)
    add_namespace(parser)
    if as_json:
        add_json(parser)
    return parser


def positive(text: str) -> int:
    """Parses a whole number above 0, for `argparse`."""
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a whole number, not {text!r}") from None
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def duration(text: str) -> float:
    """Parses a number and a unit, for `argparse`; returns seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdwy])", text)
    if found is None:
        units = ", ".join(_SECONDS)
        raise argparse.ArgumentTypeError(f"must be a number and one of {units}: 12h, 90d, 52w, 2y")
    return float(found[1]) * _SECONDS[found[2]]


def read_json(text: str, what: str, hint: str = "") -> Any:
    """Parses JSON that was given for `what`."""
    try:
        return json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{what} is not JSON ({error}){hint}") from None


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


def open_store(
    options: argparse.Namespace, *, make: bool = False
) -> contextlib.AbstractContextManager[Engine]:
    """Opens the store that the options name; see `open_store_at`."""
    return open_store_at(options.url, options.api_key, options.timeout, make=make)


@contextlib.contextmanager
def open_store_at(
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
