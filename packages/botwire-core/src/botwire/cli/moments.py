"""The option ``--at``, which reads memory as of a past moment."""

from __future__ import annotations

import argparse
from datetime import datetime

from botwire import Memory
from botwire.cli.options import open_memory


def add_at(parser: argparse.ArgumentParser) -> None:
    """Adds ``--at`` to a command that reads."""
    parser.add_argument(
        "--at",
        type=read_moment,
        metavar="MOMENT",
        help="read as of this revision or time (ISO 8601), if the past is kept",
    )


def memory_at(options: argparse.Namespace) -> Memory:
    """Returns the memory that the options name, as of the moment they name."""
    memory = open_memory(options)
    return memory if options.at is None else memory.at(options.at)


def read_moment(text: str) -> datetime | int:
    """Parses a revision or a time, for `argparse`."""
    if text.isdecimal():
        return int(text)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a revision nor a time such as 2026-11-29T12:00:00Z"
        ) from None
