"""Runs the tests of each package in its environment, and prints one summary line at the end.

    python scripts/run_tests.py [--alone [--record]] [--cover] [PYTEST ARGUMENTS]

The tests are divided into parts, each a run of pytest: one per adapter, and one per folder of the
default environment. By default, three parts per core run at once; ``-n`` sets another number. Paths
select parts, and all other arguments go to pytest. With ``-n0``, the parts run one after another
and print as they go, so that a debugger works. The exit code is pytest's: 0, 1 if a test failed, 5
if no test was selected.

``--alone`` runs the tests of each package in two environments of its own instead, with the oldest
and the newest supported releases. The environments run one after another, after a failure too. A
line for each then says which releases passed. ``hatch run ENVIRONMENT:test`` repeats one.
``--record`` writes the releases into the READMEs of the packages that passed with both.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import check_floors
import environments
import tested_releases
from environments import ROOT, EnvironmentMissingError
from parts import RESOLUTIONS, Order, Part, read_order, within

SUMMARY = "WORKSHOP_SUMMARY"
"""The environment variable that tells a part where to write its results; see conftest.py."""
COLUMNS = 80
OK, FAILED, INTERRUPTED, NOTHING = 0, 1, 2, 5
"""Exit codes, as pytest has them."""
WORDS = (
    "collected", "failed", "passed", "skipped", "deselected", "xfailed", "xpassed", "warnings",
    "errors",
)  # fmt: skip
"""What the closing line counts, in pytest's order."""
AS_COUNTED = {"warnings": "warnings", "error": "errors"}


@dataclass
class Result:
    """The result of a part, or of all parts.

    Attributes:
        code: The exit code of pytest.
        counts: How many tests passed, failed, and so on.
        failed: A line for each failure.
        lines: With ``--alone``, a line for each part.
    """

    code: int = NOTHING
    counts: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def add(self, other: Result) -> None:
        """Adds another result; the worst part determines the exit code."""
        rank = (NOTHING, OK, FAILED)
        if self.code in rank and other.code not in rank[: rank.index(self.code)]:
            self.code = other.code
        self.counts += other.counts
        self.failed += other.failed
        self.lines += other.lines

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
            *(f"--ignore={inner}" for path in part.paths for inner in within(Path(path))),
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


def run_alone(order: Order, folder: Path) -> Result:
    """Runs each part after the other; returns their combined result, with a line for each."""
    total = Result()
    passed: dict[Path, list[Mapping[str, str]]] = {}
    for part in order.parts:
        print(f"\n{f' {part.name} '.center(COLUMNS, '-')}", flush=True)
        start = time.monotonic()
        releases, result = "no environment", Result(FAILED, Counter(errors=1))
        try:
            installed = tested_releases.installed(part.environment)
        except EnvironmentMissingError as error:
            result.failed = [f"ERROR {error}"]
        else:
            releases = tested_releases.tell(part.packages, installed)
            floors = part.packages if part.is_oldest else ()
            too_new = check_floors.check(floors, installed.__getitem__)
            result.failed = [f"ERROR {problem}" for problem in too_new]
            if not too_new:
                result = Runner(replace(order, parts=[part]), folder).run()
        result.failed = [f"{part.name}: {line}" for line in result.failed]
        counts = closing_line(result.counts, time.monotonic() - start).strip("= ")
        word = "passed" if result.code in (OK, NOTHING) else "FAILED"
        result.lines = [f"{word} {part.name} with {releases}: {counts}"]
        total.add(result)
        for package in part.packages if result.code == OK else ():
            passed.setdefault(package, []).append(installed)
    for package, ends in passed.items():
        if order.record and len(ends) == len(RESOLUTIONS):
            tested_releases.write(package, *ends)
    return total


def main(arguments: Sequence[str]) -> int:
    """Runs the requested tests; returns the exit code."""
    start = time.monotonic()
    order = read_order(arguments)
    with tempfile.TemporaryDirectory(prefix="tests-") as folder:
        try:
            if order.alone:
                total = run_alone(order, Path(folder))
            else:
                total = Runner(order, Path(folder)).run()
        except KeyboardInterrupt:
            return INTERRUPTED
    if order.cover:
        for command in (["combine"], ["report"]):
            subprocess.run([sys.executable, "-m", "coverage", *command], cwd=ROOT, check=False)
    if len(order.parts) == 1 and not order.alone:
        return total.code  # pytest has printed its own closing line
    if total.failed:
        print(f"\n{' short test summary info '.center(COLUMNS, '=')}")
        print("\n".join(total.failed))
    if total.lines:
        print(f"\n{' oldest and newest releases '.center(COLUMNS, '=')}")
        print("\n".join(total.lines))
    print(closing_line(total.counts, time.monotonic() - start), flush=True)
    return total.code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
