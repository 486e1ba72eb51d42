"""Processes that have a framework imported already: forks of one that imported it once.

Some frameworks take seconds to import. A fork is a process of its own, can be killed like any one,
and shares nothing that was opened, as its parent opens nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Self

_PROGRAM = """
import importlib, json, os, sys, traceback

for name in sys.argv[1:]:
    importlib.import_module(name)
for line in sys.stdin:
    code, arguments = json.loads(line)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            sys.argv = ["-c", *arguments]
            exec(compile(code, "<a test's process>", "exec"), {"__name__": "__main__"})
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Zygote:
    """Runs programs, each in a fork.

    Args:
        modules: What to import first.
    """

    def __init__(self, *modules: str) -> None:
        command = [sys.executable, "-W", "ignore", "-c", _PROGRAM, *modules]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, code: str, *arguments: str) -> int:
        """Runs a program to its end, and returns its status: below 0, the signal that killed it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([code, arguments]) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()
