"""Shows that agents of every framework remember after their process was killed.

For each interface, the demo starts a program from `examples` as process A, tells it two facts made
up for this run, and kills it with SIGKILL once it has answered. Then the demo starts process B from
the same program and asks about the facts. B's model is scripted and logs every message it receives.
An interface has remembered if both facts, word for word, reached the model in B. The output of
programs proves nothing.

Each program runs in the environment of its framework; see `environments`.

The demo does all of this twice: on its own server with a fresh database, and without a server, each
time on a fresh SQLite file. The exit code is 1 if any interface forgot.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import environments
from demo_interfaces import INTERFACES, Interface
from demo_trial import Facts, Outcome, Trial
from environments import ROOT, EnvironmentMissingError
from serving import NotServingError, serve

AT_ONCE = 2
"""Interfaces tried concurrently; importing a framework keeps a core busy."""


class Progress:
    """Reports events on standard error, one per line, from any thread."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._start = time.monotonic()
        self._lock = threading.Lock()

    def say(self, text: str, *, steps: int = 0) -> None:
        """Prints a line, and counts `steps` more trials as done."""
        with self._lock:
            self._done += steps
            seconds = time.monotonic() - self._start
            print(
                f"[{self._done:2}/{self._total} {seconds:5.1f} s] {text}",
                file=sys.stderr,
                flush=True,
            )


@dataclass(frozen=True)
class Row:
    """An interface and its outcomes."""

    interface: Interface
    facts: Facts
    embedded: Outcome
    http: Outcome

    @property
    def problems(self) -> list[str]:
        """The problems, each with the place where it occurred."""
        places = {"embedded": self.embedded, "HTTP": self.http}
        return [f"{place}: {it.problem}" for place, it in places.items() if it.problem]


def try_out(interfaces: Sequence[Interface], *, amnesia: bool = False) -> list[Row]:
    """Tries every interface at both places; with amnesia, A and B get different places."""
    progress = Progress(2 * len(interfaces))
    facts = [Facts() for _ in interfaces]
    with tempfile.TemporaryDirectory(prefix="botwire-demo-") as temporary:
        folder = Path(temporary)
        with serve(f"sqlite:///{folder / 'server.db'}", log=folder / "server.log") as server:
            progress.say(f"a server listens at {server.url}, its database is empty")
            programs = sorted({one for interface in interfaces for one in interface.programs})
            for name in sorted({environments.environment_of_program(Path(p)) for p in programs}):
                environments.python(name)
                progress.say(f"the environment {name} is ready")

            def attempt(number: int, place: str) -> Outcome:
                own = folder / f"{place}-{number}"
                own.mkdir()
                interface = interfaces[number]
                here = server.url if place == "HTTP" else f"sqlite:///{own / 'memory.db'}"
                there = f"sqlite:///{own / 'elsewhere.db'}" if amnesia else here
                trial = Trial(
                    interface,
                    (here, there),
                    facts[number],
                    own,
                    lambda text: progress.say(f"{interface}; {place}: {text}"),
                )
                outcome = trial.run()
                result = str(outcome) if outcome.problem else "its model received both facts"
                progress.say(f"{interface}; {place}: {result}", steps=1)
                return outcome

            with ThreadPoolExecutor(AT_ONCE) as pool:
                numbers = range(len(interfaces))
                http = list(pool.map(lambda number: attempt(number, "HTTP"), numbers))
                progress.say("and now once more without the server")
                embedded = list(pool.map(lambda number: attempt(number, "embedded"), numbers))
    return [Row(*row) for row in zip(interfaces, facts, embedded, http, strict=True)]


def table(rows: Sequence[Row]) -> str:
    """Returns the table of all interfaces."""
    lines = [("framework", "interface", "remembered", "embedded", "HTTP")]
    lines += [
        (
            row.interface.framework,
            row.interface.name,
            str(row.facts) if not row.problems else "not all",
            str(row.embedded),
            str(row.http),
        )
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    ruler = tuple("-" * width for width in widths)
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < 3 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in [lines[0], ruler, *lines[1:]]
    )


def demonstrate(interfaces: Sequence[Interface], *, amnesia: bool = False) -> int:
    """Tries interfaces, and prints the table and the problems; returns the exit code."""
    start = time.monotonic()
    try:
        rows = try_out(interfaces, amnesia=amnesia)
    except (NotServingError, EnvironmentMissingError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"\n{table(rows)}\n")
    print("remembered: the made-up words in the facts that reached the model of the new process")
    print("embedded, HTTP: milliseconds that a memory call took in it, the median\n")
    for row in rows:
        for problem in row.problems:
            print(f"{row.interface}; {problem}\n")
    seconds = time.monotonic() - start
    if failed := [str(row.interface) for row in rows if row.problems]:
        print(f"{len(failed)} of {len(rows)} forgot ({seconds:.0f} s): {'; '.join(failed)}")
        return 1
    print(f"All {len(rows)} remembered across SIGKILL, embedded and over HTTP ({seconds:.0f} s).")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the demo; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", metavar="PROGRAM", action="append", help="run only this example")
    parser.add_argument(
        "--amnesia", action="store_true", help="give B another place than A, to see it fail"
    )
    parser.add_argument(
        "--console", action="store_true", help="leave a server with a lively store running"
    )
    options = parser.parse_args(arguments)
    if options.console:
        command = [environments.python("console"), str(ROOT / "scripts/console_demo.py")]
        with contextlib.suppress(KeyboardInterrupt):
            return subprocess.run(command, check=False).returncode
        return 0
    known = {program for interface in INTERFACES for program in interface.programs}
    if unknown := set(options.only or ()) - known:
        parser.error(f"no example is called {unknown.pop()}; there are {', '.join(sorted(known))}")
    chosen = [
        interface
        for interface in INTERFACES
        if not options.only or set(interface.programs) <= set(options.only)
    ]
    if not chosen:
        parser.error("llamaindex_continues_langchain.py needs langchain_history.py too")
    return demonstrate(chosen, amnesia=options.amnesia)


if __name__ == "__main__":
    sys.exit(main())
