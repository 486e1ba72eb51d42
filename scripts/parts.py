"""Reads the command line of `run_tests`: which tests to run, in which environments."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import environments
from environments import DEFAULT, ROOT

ACROSS = ROOT / "tests/across"
"""Tests that start programs in all environments."""
FOLDERS = {
    "tests": ROOT / "tests",
    "tests/places": ROOT / "tests/places",
    "server": ROOT / "server/tests",
    "packages/botwire-core": ROOT / "packages/botwire-core/tests",
    "tests/across": ACROSS,
}
"""The parts of the default environment, longest first; the last one needs all environments.

A folder within another folder is a separate part.
"""
HEAVY = {"crewai": 4}
"""By how much the tests of an adapter take longer than their size suggests.

CrewAI takes ten seconds to import, in each process that a test starts.
"""
CORES = os.cpu_count() or 1
TAKES_A_VALUE = {
    *("-c", "-k", "-m", "-n", "-o", "-p", "-r", "-W"),
    *("--deselect", "--durations", "--ignore", "--junit-xml", "--maxfail", "--places", "--tb"),
}
"""Options whose value may be a separate argument, which is then not a path."""
OLDEST = "lowest-direct"
RESOLUTIONS = (OLDEST, "highest")
"""The ends of the range of supported releases, as uv calls them."""


@dataclass(frozen=True)
class Part:
    """Tests that one run of pytest runs.

    Attributes:
        name: The name to print.
        environment: The environment to run in.
        paths: The paths to pass to pytest.
        is_across: Whether the tests start programs in all environments.
        packages: With ``--alone``, the packages whose releases are tested.
    """

    name: str
    environment: str
    paths: tuple[str, ...]
    is_across: bool = False
    packages: tuple[Path, ...] = ()

    @property
    def is_oldest(self) -> bool:
        """Whether the oldest supported releases are tested."""
        return self.name.endswith(OLDEST)


@dataclass(frozen=True)
class Order:
    """The command line's request.

    Attributes:
        parts: What to run.
        options: Arguments for pytest.
        at_once: How many processes run tests at a time; 0 to watch a single one.
        cover: Whether to measure coverage.
        alone: Whether the parts test the oldest and the newest releases, one after another.
        record: Whether READMEs are to name the releases that passed.
    """

    parts: list[Part]
    options: list[str]
    at_once: int
    cover: bool
    alone: bool
    record: bool

    @property
    def is_watched(self) -> bool:
        """Whether parts print directly to this process's output."""
        return self.at_once == 0 or len(self.parts) == 1


def read_order(arguments: Sequence[str]) -> Order:
    """Parses the command line."""
    paths: list[str] = []
    options: list[str] = []
    # Three per core, because tests spend much of their time waiting for processes they started.
    at_once, before = CORES * 3, ""
    flags = dict.fromkeys(("--alone", "--cover", "--record"), False)
    for argument in arguments:
        if argument in flags:
            flags[argument] = True
        elif before in ("-n", "--numprocesses"):
            at_once = _processes(argument)
        elif argument in ("-n", "--numprocesses"):
            pass
        elif argument.startswith(("-n", "--numprocesses=")):
            at_once = _processes(argument.removeprefix("--numprocesses=").removeprefix("-n"))
        elif (
            not argument.startswith("-")
            and before not in TAKES_A_VALUE
            and Path(argument.partition("::")[0]).exists()
        ):
            paths.append(argument)
        else:
            options.append(argument)
        before = argument
    if "--pdb" in options:
        at_once = 0
    cover, alone, record = flags["--cover"], flags["--alone"], flags["--record"]
    parts = alone_parts(choose(paths)) if alone else choose(paths)
    if record and not (alone and not options and all(Path(path).is_dir() for path in paths)):
        raise SystemExit("--record goes with --alone and whole packages, without other arguments")
    return Order(parts, options, at_once, cover, alone, record)


def _processes(said: str) -> int:
    return int(said) if said.isdigit() else CORES


def choose(paths: Sequence[str]) -> list[Part]:
    """Returns the parts that contain tests under some paths; without paths, all parts."""
    folders = {name: (DEFAULT, folder) for name, folder in FOLDERS.items()}
    adapters = environments.adapters().items()
    # The longest first, so that a short part ends last.
    for name, folder in sorted(adapters, key=lambda one: _weight(*one), reverse=True):
        folders[folder.relative_to(ROOT).as_posix()] = (name, folder / "tests")
    chosen = []
    for name, (environment, folder) in folders.items():
        inside: list[str] = []
        for path in paths or [str(ROOT)]:
            file, separator, test = path.partition("::")
            absolute = Path(file).resolve()
            if any(inner in (absolute, *absolute.parents) for inner in within(folder)):
                continue
            if absolute == folder or absolute in folder.parents:
                inside.append(str(folder))
            elif folder in absolute.parents:
                inside.append(f"{absolute}{separator}{test}")
        if inside:
            chosen.append(Part(name, environment, tuple(inside), is_across=folder == ACROSS))
    return chosen


def alone_parts(parts: Sequence[Part]) -> list[Part]:
    """Returns parts that test the same packages with their oldest and their newest releases."""
    groups: dict[str, list[Part]] = {}
    for part in parts:
        if (ROOT / part.name / "pyproject.toml").exists():
            group = "base" if part.environment == DEFAULT else f"alone.{part.environment}"
            groups.setdefault(group, []).append(part)
    return [
        Part(
            name := f"{group}{'.' if group == 'base' else '-'}{resolution}",
            name,
            tuple(path for part in together for path in part.paths),
            packages=tuple(ROOT / part.name for part in together),
        )
        for group, together in groups.items()
        for resolution in RESOLUTIONS
    ]


def within(folder: Path) -> list[Path]:
    """Returns the folders of other parts within the folder of a part."""
    return [inner for inner in FOLDERS.values() if folder in inner.parents]


def _weight(name: str, folder: Path) -> int:
    return HEAVY.get(name, 1) * sum(path.stat().st_size for path in folder.glob("tests/**/*.py"))
