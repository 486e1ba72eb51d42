"""Runs the programs of a benchmark that has one for each framework, each in its environment.

Such a benchmark is a folder here: ``races/langgraph_race.py`` is LangGraph's program of ``races``.
"""

from __future__ import annotations

import os
import subprocess
from argparse import ArgumentParser
from collections.abc import Iterable, Sequence
from pathlib import Path

from scripts import environments
from tests.offline import TELEMETRY_OFF

FOLDER = Path(__file__).parent


def programs(folder: str, kind: str) -> dict[str, Path]:
    """Returns the program of each framework, by the framework's name.

    Args:
        folder: The benchmark's folder.
        kind: What the names of its programs end with.
    """
    suffix = f"_{kind}.py"
    found = sorted((FOLDER / folder).glob(f"*{suffix}"))
    return {path.name.removesuffix(suffix): path for path in found}


def add_choice(parser: ArgumentParser, known: Iterable[str]) -> None:
    """Adds the argument by which a user chooses frameworks; none means all."""
    parser.add_argument("frameworks", nargs="*", metavar="FRAMEWORK", help=", ".join(known))


def chosen(parser: ArgumentParser, given: Iterable[str], known: dict[str, Path]) -> list[Path]:
    """Returns the programs that a user chose; leaves with a message if one is unknown."""
    if unknown := set(given) - {*known}:
        parser.error(f"no framework {min(unknown)!r}; choose from {', '.join(known)}")
    return [known[name] for name in given or known]


def run(paths: Iterable[Path], module: str | None = None, *arguments: str) -> int:
    """Runs programs one after the other; returns the first exit code that is not 0.

    Args:
        paths: The programs.
        module: What runs each of them, given its name; unset, each runs by itself.
        *arguments: Further arguments.
    """
    code = 0
    for path in paths:
        python = environments.python(environments.environment_of_program(path))
        name = path.stem
        program = [f"benchmarks.{path.parent.name}.{name}"] if module is None else [module, name]
        done = subprocess.run(
            [python, "-m", *program, *arguments],
            check=False,
            cwd=FOLDER.parent,
            env={**os.environ, **TELEMETRY_OFF},
        )
        code = code or done.returncode
    return code


def measure(benchmark: str, head: str, arguments: Sequence[str]) -> int:
    """Runs the programs of a benchmark below one table; returns the exit code.

    Args:
        benchmark: The benchmark's folder, with which the names of its programs end too.
        head: The table's head.
        arguments: The command line.
    """
    known = programs(benchmark, benchmark)
    parser = ArgumentParser(f"hatch run bench {benchmark}")
    add_choice(parser, known)
    paths = chosen(parser, parser.parse_args(arguments).frameworks, known)
    print(f"\n{head}", flush=True)
    return run(paths)
