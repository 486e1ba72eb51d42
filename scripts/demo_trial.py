"""Tries one interface at one place: tells facts to process A, kills it, and asks process B."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import statistics
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import environments
from demo_interfaces import Interface
from environments import ROOT

EXAMPLES = ROOT / "examples"
TIMING = ROOT / "scripts" / "run_timed.py"

PATIENCE_SECONDS = 120
"""Seconds that a process may take; imports alone take up to ten."""

ANSWERS = ("Noted.", "You told me: ")
"""How the answers of the scripted models begin; frameworks may print other lines."""
ASKED = 5
"""Questions to process B, so that the median is not a first call, which also connects."""
QUESTION = "What is my project called, and what is its budget?"

QUIET = {
    "ANONYMIZED_TELEMETRY": "false",
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "LANGSMITH_TRACING": "false",
    "OTEL_SDK_DISABLED": "true",
}
"""Settings that turn the frameworks' telemetry off."""


class DemoError(Exception):
    """A process failed; the message says which one, and quotes its output."""


@dataclass(frozen=True)
class Facts:
    """What the demo tells an agent: texts, and the made-up word in each."""

    project: str = field(default_factory=lambda: f"heron-{secrets.token_hex(3)}")
    budget: int = field(default_factory=lambda: 100_000 + secrets.randbelow(900_000))

    @property
    def texts(self) -> tuple[str, str]:
        """The facts, word for word."""
        return f"My project is called {self.project}.", f"Its budget is {self.budget} euros."

    def reached(self, calls: Sequence[Sequence[str]]) -> bool:
        """Returns whether the messages of any one call of a model contain all facts."""
        return any(
            all(any(text in message for message in messages) for text in self.texts)
            for messages in calls
        )

    def __str__(self) -> str:
        return f"{self.project}, {self.budget}"


@dataclass(frozen=True)
class Outcome:
    """The result of a trial at one place.

    Attributes:
        problem: What went wrong; None if all facts reached the model.
        milliseconds: The median time of a memory call in process B; None if it made none.
        ran: Whether both processes completed.
    """

    problem: str | None
    milliseconds: float | None = None
    ran: bool = True

    def __str__(self) -> str:
        if self.problem:
            return "FORGOT" if self.ran else "FAILED"
        return "-" if self.milliseconds is None else f"{self.milliseconds:.1f}"


def start(
    command: list[str], folder: Path, environment: dict[str, str], stderr: IO[str]
) -> subprocess.Popen[str]:
    """Starts one of the two processes, with pipes to and from it."""
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )


class Trial:
    """Tries one interface at one place.

    Args:
        interface: The interface.
        urls: Where memory lives, for process A and for process B.
        facts: The facts to tell process A.
        folder: A separate folder for everything that the processes write.
        report: Called with each event.
    """

    def __init__(
        self,
        interface: Interface,
        urls: tuple[str, str],
        facts: Facts,
        folder: Path,
        report: Callable[[str], None],
    ) -> None:
        self._interface = interface
        self._urls = dict(zip("AB", urls, strict=True))
        self._facts = facts
        self._folder = folder
        self._report = report
        self._late = False

    def run(self) -> Outcome:
        """Tells the facts to process A, kills it, asks process B, and returns the outcome."""
        try:
            self._tell_and_kill()
            received, times = self._ask()
        except DemoError as error:
            return Outcome(str(error), ran=False)
        milliseconds = statistics.median(times) if times else None
        if self._facts.reached(received):
            return Outcome(None, milliseconds)
        given = received[0] if received else "nothing"
        problem = f"not both facts reached the model in process B; it was given {given}"
        return Outcome(problem, milliseconds)

    def _tell_and_kill(self) -> None:
        program = EXAMPLES / self._interface.programs[0]
        with self._start("A", [interpreter(program), str(program)]) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            for number, text in enumerate(self._facts.texts):
                with contextlib.suppress(BrokenPipeError):  # it ended, so no answer will come
                    process.stdin.write(text + "\n")
                    process.stdin.flush()
                if not any(line.startswith(ANSWERS) for line in process.stdout):
                    raise DemoError(f"process A took note of {number} facts. {self._said('A')}")
            process.kill()
            if process.wait() != -signal.SIGKILL:
                raise DemoError(f"process A ended by itself with status {process.returncode}")
        self._report(f"process {process.pid} was told two facts and killed; asking a new one")

    def _ask(self) -> tuple[list[list[str]], list[float]]:
        times = self._folder / "times.json"
        program = EXAMPLES / self._interface.programs[1]
        timed = [str(TIMING), str(times), self._interface.calls, str(program)]
        command = [interpreter(program), *timed]
        with self._start("B", command) as process:
            process.communicate(f"{QUESTION}\n" * ASKED)
        if process.returncode:
            raise DemoError(f"process B ended with {process.returncode}. {self._said('B')}")
        log = self._folder / "B.model"
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        received = [json.loads(line) for line in lines]
        return received, json.loads(times.read_text())

    @contextlib.contextmanager
    def _start(self, name: str, command: list[str]) -> Iterator[subprocess.Popen[str]]:
        # A separate home, so that B finds nothing that A stored outside of the URL.
        home = self._folder / f"{name}.home"
        home.mkdir()
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("BOTWIRE_")},
            **QUIET,
            "BOTWIRE_URL": self._urls[name],
            "CREWAI_STORAGE_DIR": str(home / "crewai"),
            "HOME": str(home),
            "SCRIPTED_LOG": str(self._folder / f"{name}.model"),
            "PYTHONWARNINGS": "ignore",  # LangChain warns about a deprecated interface
            "XDG_CACHE_HOME": str(home / "cache"),
            "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_DATA_HOME": str(home / "data"),
        }
        with (
            (self._folder / f"{name}.stderr").open("w") as stderr,
            start(command, home, environment, stderr) as process,
        ):
            # Kills a process that hangs, which also ends reading from it.
            watchdog = threading.Timer(PATIENCE_SECONDS, self._end, [process])
            watchdog.start()
            try:
                yield process
            finally:
                watchdog.cancel()
                process.kill()

    def _end(self, process: subprocess.Popen[str]) -> None:
        self._late = True
        process.kill()

    def _said(self, name: str) -> str:
        if self._late:
            return f"It was ended after {PATIENCE_SECONDS} s."
        said = (self._folder / f"{name}.stderr").read_text().strip()
        return f"It said: {said[-2000:]}" if said else "It said nothing."


def interpreter(program: Path) -> str:
    """Returns the interpreter that has the framework of a program."""
    return environments.python(environments.environment_of_program(program))
