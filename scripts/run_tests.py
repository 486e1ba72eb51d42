"""Runs the tests of each package in its environment, and prints one summary line at the end.

    python scripts/run_tests.py [--cover] [PYTEST ARGUMENTS]

The tests are divided into parts, each a run of pytest: one per adapter, and one per folder of the
default environment. By default, three parts per core run at once; ``-n`` sets another number. Paths
select parts, and all other arguments go to pytest. With ``-n0``, the parts run one after another
and print as they go, so that a debugger works. The exit code is pytest's: 0, 1 if a test failed, 5
if no test was selected.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import environments
from environments import DEFAULT, ROOT, EnvironmentMissingError

SUMMARY = "WORKSHOP_SUMMARY"
"""The environment variable that tells a part where to write its results; see conftest.py."""
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
COLUMNS = 80
OK, FAILED, INTERRUPTED, NOTHING = 0, 1, 2, 5
"""Exit codes, as pytest has them."""
WORDS = (
    "collected", "failed", "passed", "skipped", "deselected", "xfailed", "xpassed", "warnings",
    "errors",
)  # fmt: skip
"""What the closing line counts, in pytest's order."""
AS_COUNTED = {"warnings": "warnings", "error": "errors"}


@dataclass(frozen=True)
class Part:
    """Tests that one run of pytest runs.

    Attributes:
        name: The name to print.
        environment: The environment to run in.
        paths: The paths to pass to pytest.
        is_across: Whether the tests start programs in all environments.
    """

    name: str
    environment: str
    paths: tuple[str, ...]
    is_across: bool = False


@dataclass
class Result:
    """The result of a part, or of all parts."""

    code: int = NOTHING
    counts: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)

    def add(self, other: Result) -> None:
        """Adds another result; the worst part determines the exit code."""
        rank = (NOTHING, OK, FAILED)
        if self.code in rank and other.code not in rank[: rank.index(self.code)]:
            self.code = other.code
        self.counts += other.counts
        self.failed += other.failed

    @classmethod
    def read(cls, file: Path, code: int, part: Part) -> Result:
        """Reads the result that a part wrote; a missing result counts as an error."""
        if not file.exists():
            return cls(code or FAILED, Counter(errors=1), [f"ERROR {part.name}: pytest broke off"])
        said = json.loads(file.read_text(encoding="utf-8"))
        counts = {AS_COUNTED.get(word, word): count for word, count in said["counts"].items()}
        return cls(code, Counter(counts), said["failed"])


def closing_line(counts: Mapping[str, int], seconds: float) -> str:
    """Returns the last line, in pytest's form."""
    said = [
        f"{counts[word]} {word[:-1] if counts[word] == 1 and word.endswith('s') else word}"
        for word in WORDS
        if counts.get(word)
    ]
    took = f"{seconds:.2f}s"
    if seconds >= 60:
        took += f" ({timedelta(seconds=int(seconds))})"
    return f" {', '.join(said) or 'no tests ran'} in {took} ".center(COLUMNS, "=")


# --- what to run


@dataclass(frozen=True)
class Order:
    """The command line's request."""

    parts: list[Part]
    options: list[str]
    at_once: int
    cover: bool

    @property
    def is_watched(self) -> bool:
        """Whether parts print directly to this process's output."""
        return self.at_once == 0 or len(self.parts) == 1


def read_order(arguments: Sequence[str]) -> Order:
    """Parses the command line."""
    paths: list[str] = []
    options: list[str] = []
    # Three per core, because tests spend much of their time waiting for processes they started.
    at_once, cover, before = CORES * 3, False, ""
    for argument in arguments:
        if argument == "--cover":
            cover = True
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
    return Order(choose(paths), options, at_once, cover)


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
            if any(inner in (absolute, *absolute.parents) for inner in _within(folder)):
                continue
            if absolute == folder or absolute in folder.parents:
                inside.append(str(folder))
            elif folder in absolute.parents:
                inside.append(f"{absolute}{separator}{test}")
        if inside:
            chosen.append(Part(name, environment, tuple(inside), is_across=folder == ACROSS))
    return chosen


def _within(folder: Path) -> list[Path]:
    """Returns the folders of other parts within the folder of a part."""
    return [inner for inner in FOLDERS.values() if folder in inner.parents]


def _weight(name: str, folder: Path) -> int:
    return HEAVY.get(name, 1) * sum(path.stat().st_size for path in folder.glob("tests/**/*.py"))


# --- running it


class Runner:
    """Runs parts.

    Args:
        order: What to run.
        folder: A separate folder for the output of the parts.
    """

    def __init__(self, order: Order, folder: Path) -> None:
        self._order = order
        self._folder = folder
        self._printing = threading.Lock()
        self._stopped = False
        self._processes: set[subprocess.Popen[bytes]] = set()
        # Two threads create environments; more would wait for the disk.
        self._makers = ThreadPoolExecutor(2)
        self._pythons: dict[str, Future[str]] = {}

    def run(self) -> Result:
        """Runs all parts; returns their combined result."""
        parts = self._order.parts
        across = any(part.is_across for part in parts)
        for name in [part.environment for part in parts] + environments.with_frameworks() * across:
            if name not in self._pythons:
                self._pythons[name] = self._makers.submit(environments.python, name)
        total = Result()
        with ThreadPoolExecutor(max(1, self._order.at_once)) as pool:
            running = [pool.submit(self._run_part, part) for part in parts]
            try:
                for done in as_completed(running):
                    total.add(done.result())
            except BaseException:
                self._stop()
                raise
        return total

    def _stop(self) -> None:
        self._stopped = True
        for process in list(self._processes):
            process.terminate()

    def _run_part(self, part: Part) -> Result:
        if self._stopped:
            return Result()
        start = time.monotonic()
        summary, log = (self._folder / f"{id(part)}.{kind}" for kind in ("json", "log"))
        try:
            for future in self._pythons.values() if part.is_across else ():
                future.result()
            command = self._command(part, self._pythons[part.environment].result())
        except EnvironmentMissingError as error:
            log.write_text(f"{error}\n", encoding="utf-8")
            result = Result(FAILED, Counter(errors=1), [f"ERROR {part.name}: no environment"])
            self._print(part, result, time.monotonic() - start, log)
            return result
        environment = {**environments.settings(part.environment), SUMMARY: str(summary)}
        if part.is_across:
            environment |= environments.known(self._pythons)
        with contextlib.ExitStack() as opened:
            output = None if self._order.is_watched else opened.enter_context(log.open("wb"))
            process = opened.enter_context(
                subprocess.Popen(
                    command,
                    cwd=ROOT,
                    env=environment,
                    stdout=output,
                    stderr=output and subprocess.STDOUT,
                )
            )
            self._processes.add(process)
            code = process.wait()
            self._processes.discard(process)
        result = Result.read(summary, code, part)
        if result.code not in (OK, NOTHING) and _wants_to_stop(self._order.options):
            self._stopped = True
        if not self._order.is_watched:
            self._print(part, result, time.monotonic() - start, log)
        return result

    def _command(self, part: Part, python: str) -> list[str]:
        order = self._order
        workers = order.at_once and max(1, order.at_once // len(order.parts))
        program = ["coverage", "run", "-m", "pytest"] if order.cover else ["pytest"]
        return [
            *(python, "-m", *program),
            *("-o", f"cache_dir=.cache/pytest/{part.name}"),
            *(["-n", str(workers), "--dist", "worksteal"] if workers > 1 else ["-n0"]),
            *(["--color", "yes"] if sys.stdout.isatty() else []),
            *(f"--ignore={inner}" for path in part.paths for inner in _within(Path(path))),
            *order.options,
            *part.paths,
        ]

    def _print(self, part: Part, result: Result, seconds: float, log: Path) -> None:
        counts = closing_line(result.counts, seconds).strip("= ")
        with self._printing:
            if self._order.options or result.code not in (OK, NOTHING):
                print(f"\n{f' {part.name} '.center(COLUMNS, '-')}", flush=True)
                sys.stdout.flush()
                sys.stdout.buffer.write(log.read_bytes())
                sys.stdout.flush()
            print(f"{part.name}: {counts}", flush=True)


def _wants_to_stop(options: Sequence[str]) -> bool:
    return any(one in ("-x", "--exitfirst") or one.startswith("--maxfail") for one in options)


def main(arguments: Sequence[str]) -> int:
    """Runs the requested tests; returns the exit code."""
    start = time.monotonic()
    order = read_order(arguments)
    with tempfile.TemporaryDirectory(prefix="tests-") as folder:
        try:
            total = Runner(order, Path(folder)).run()
        except KeyboardInterrupt:
            return INTERRUPTED
    if order.cover:
        for command in (["combine"], ["report"]):
            subprocess.run([sys.executable, "-m", "coverage", *command], cwd=ROOT, check=False)
    if len(order.parts) == 1:
        return total.code  # pytest has printed its own closing line
    if total.failed:
        print(f"\n{' short test summary info '.center(COLUMNS, '=')}")
        print("\n".join(total.failed))
    print(closing_line(total.counts, time.monotonic() - start), flush=True)
    return total.code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
