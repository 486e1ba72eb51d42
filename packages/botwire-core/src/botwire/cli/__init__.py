"""The command line, which reads and changes memory wherever it lives; see docs/command-line.md.

Other distributions add commands by entry points in the group ``botwire.commands``. The function
that an entry point names takes the subparsers of `argparse` and adds one. Its default ``run`` takes
the parsed arguments and returns an exit code. botwire-server adds ``botwire serve`` in this way.
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
