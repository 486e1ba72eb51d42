"""The command line: reads and changes memory wherever it lives; see docs/command-line.md.

Other distributions add commands through entry points in the group ``botwire.commands``. An entry
point names a function that takes the subparsers of `argparse` and adds one. The subparser's default
``run`` takes the parsed arguments and returns an exit code. botwire-server adds ``botwire serve``
this way.
"""

from botwire.cli.exits import CONFLICT, DENIED, FAILED, INTERRUPTED, NO, OK, UNREACHABLE
from botwire.cli.output import escape_output
from botwire.cli.parser import COMMANDS, main

__all__ = [
    "COMMANDS",
    "CONFLICT",
    "DENIED",
    "FAILED",
    "INTERRUPTED",
    "NO",
    "OK",
    "UNREACHABLE",
    "escape_output",
    "main",
]
