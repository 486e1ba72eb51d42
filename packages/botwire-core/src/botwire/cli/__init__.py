"""The command line: looks at and changes memory wherever it lives; see docs/command-line.md.

Other distributions add commands: an entry point in the group ``botwire.commands`` names a function
that is given the subparsers of `argparse` and adds one, with a default ``run`` that takes the
parsed arguments and returns an exit code. ``botwire serve`` comes this way from botwire-server.
"""

from botwire.cli.exits import CONFLICT, DENIED, FAILED, INTERRUPTED, NO, OK, UNREACHABLE
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
    "main",
]
