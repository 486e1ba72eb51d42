"""One process per environment that has imported its framework, for all tests across frameworks."""

from __future__ import annotations

import ast
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import pytest

import environments
from demo_interfaces import INTERFACES
from demo_trial import EXAMPLES
from tests.programs import RUN
from tests.zygote import Program, Zygote


class Forks:
    """Starts programs as forks of processes that have imported the frameworks of the examples.

    A zygote has only imported modules, so the programs share no other state.
    """

    def __init__(self, opened: ExitStack) -> None:
        self._opened = opened
        self._lock = threading.Lock()
        self._modules: dict[str, set[str]] = {}
        programs = {EXAMPLES / name for interface in INTERFACES for name in interface.programs}
        for program in (*programs, *EXAMPLES.glob("recipes_*.py")):
            name = environments.environment_of_program(program)
            self._modules.setdefault(name, set()).update(_imports(program))
        self._zygotes: dict[str, Zygote] = {}

    def zygote(self, name: str) -> Zygote:
        """Returns the process that has imported the framework of an environment."""
        with self._lock:
            if name not in self._zygotes:
                modules = sorted(self._modules.get(name, ()))
                opened = Zygote(*modules, python=environments.python(name))
                self._zygotes[name] = self._opened.enter_context(opened)
        return self._zygotes[name]

    def start(
        self, command: list[str], folder: Path, environment: dict[str, str], stderr: IO[str]
    ) -> Program:
        """Starts a program like `demo_trial.start`."""
        _python, *arguments = command
        zygote = self.zygote(environments.environment_of_program(Path(arguments[-1])))
        return zygote.start(RUN, *arguments, env=environment, folder=folder, errors=stderr)


def _imports(program: Path) -> set[str]:
    """Returns what a program imports from outside `examples`."""
    found = set()
    for node in ast.parse(program.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            inner = EXAMPLES / node.module.replace(".", "/")
            if inner.with_suffix(".py").exists():
                found |= _imports(inner.with_suffix(".py"))
            elif not inner.exists():
                found.add(node.module)
    return found


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """Starts programs that need not import their framework first."""
    with ExitStack() as opened:
        yield Forks(opened)
