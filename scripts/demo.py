"""The main job: an agent of each framework is told something, killed, and started anew.

For each example, process A is told a fact and killed with SIGKILL as soon as it has answered;
process B is started as new and asked. What counts is what B's model was given: each scripted model
writes it down. Once over HTTP, against a server of the demo's own, and once embedded, on a file.

Ends with status 1 if one forgot.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 120  # seconds for a process to answer: imports alone take several on a small machine

FACT = "My name is Ada and my cat is called Turing."
QUESTION = "What is my cat called?"


@dataclass(frozen=True)
class Case:
    """An example, and what it shows."""

    framework: str
    interface: str
    program: str


CASES = [
    Case("LlamaIndex", "FunctionAgent, BotWireChatMemoryBuffer", "llamaindex_agent.py"),
    Case("LlamaIndex", "SimpleChatEngine, PersistentChatMemory", "llamaindex_chat_engine.py"),
    Case("LlamaIndex", "ReActAgent, Memory.history", "llamaindex_react.py"),
    Case("LangChain", "RunnableWithMessageHistory, BotWireChatMessageHistory",
         "langchain_history.py"),
    Case("LangGraph", "create_agent, BotWireSaver", "langgraph_agent.py"),
    Case("CrewAI", "Crew(memory=), BotWireStorage", "crewai_crew.py"),
    Case("AutoGen", "AssistantAgent in a team, BotWireMemory", "autogen_team.py"),
]  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What became of a case."""

    case: Case
    place: str
    remembered: str | None
    milliseconds: float | None
    problem: str = ""


class Run:
    """One process of an example, told one line."""

    def __init__(self, case: Case, url: str, folder: Path) -> None:
        self.received = folder / "received.jsonl"
        self.timings = folder / "timings.jsonl"
        environment = {
            **{name: value for name, value in os.environ.items() if "BOTWIRE" not in name},
            "BOTWIRE_URL": url,
            "SCRIPTED_LOG": str(self.received),
            "MEMORY_TIMINGS": str(self.timings),
            "CREWAI_STORAGE_DIR": str(folder),
            "CREWAI_DISABLE_TELEMETRY": "true",
            "CREWAI_TRACING_ENABLED": "false",
            "OTEL_SDK_DISABLED": "true",
            "ANONYMIZED_TELEMETRY": "false",
            "LANGSMITH_TRACING": "false",
        }
        command = [sys.executable, "-W", "ignore", str(ROOT / "scripts/run_timed.py")]
        with (folder / "errors.txt").open("w") as errors:
            self._process = subprocess.Popen(
                [*command, str(ROOT / "examples" / case.program)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment,
                cwd=folder,
            )
        self.errors = folder / "errors.txt"

    def say(self, text: str) -> str:
        """Says a line, and returns the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()
        with ThreadPoolExecutor(1) as reader:
            future = reader.submit(self._process.stdout.readline)
            try:
                answer = future.result(PATIENCE)
            except TimeoutError:
                self.kill()
                raise
        if not answer:
            tail = self.errors.read_text().strip().splitlines()[-1:] or ["no reason given"]
            raise RuntimeError(f"it ended without an answer: {tail[0]}")
        return answer.strip()

    def kill(self) -> None:
        """Kills the process with SIGKILL."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()


def play(case: Case, place: str, first_url: str, second_url: str) -> Outcome:
    """Tells, kills, starts anew and asks."""
    with tempfile.TemporaryDirectory(prefix="botwire-demo-") as folder:
        try:
            tell(f"{case.framework}: {case.program} is told a fact ({place})")
            first = Run(case, first_url, make(folder, "a"))
            try:
                first.say(FACT)
            finally:
                first.kill()
            tell(f"{case.framework}: {case.program} killed; a new process is asked ({place})")
            second = Run(case, second_url, make(folder, "b"))
            try:
                second.say(QUESTION)
                received = second.received.read_text()
                # More turns, so that the median is not that of the first call, which connects.
                for _ in range(3):
                    second.say(QUESTION)
            finally:
                second.kill()
        except (RuntimeError, TimeoutError, BrokenPipeError) as error:
            return Outcome(case, place, None, None, str(error) or "no answer in time")
        given = [line for line in received.splitlines() if QUESTION in line]
        texts = [text for line in given for text in json.loads(line)]
        remembered = next((FACT for text in texts if FACT in text), None)
        spent = [float(line) for line in second.timings.read_text().split()]
        return Outcome(case, place, remembered, statistics.median(spent) if spent else None)


def make(folder: str, name: str) -> Path:
    """Makes a folder for a process."""
    path = Path(folder) / name
    path.mkdir()
    return path


def tell(text: str) -> None:
    """Says what goes on."""
    print(f"  {text}", file=sys.stderr, flush=True)


def serve(database: Path) -> tuple[subprocess.Popen[str], str]:
    """Starts a server on a free port; returns it and its URL."""
    server = subprocess.Popen(
        [sys.executable, "-m", "botwire", "serve", "--port", "0", "--database",
         f"sqlite:///{database}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )  # fmt: skip
    assert server.stdout is not None
    line = server.stdout.readline()
    if not line:
        raise SystemExit("the server did not start; see `botwire serve`")
    tell(line.strip())
    return server, line.split()[-1]


def table(outcomes: list[Outcome]) -> str:
    """Returns what happened, for people."""
    rows = [["framework", "interface", "place", "its model received", "ms a memory call"]]
    for outcome in outcomes:
        spent = "-" if outcome.milliseconds is None else f"{outcome.milliseconds:.2f}"
        what = outcome.remembered or f"FORGOT {outcome.problem}".strip()
        rows.append([outcome.case.framework, outcome.case.interface, outcome.place, what, spent])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(line.rstrip() for line in lines)


def main(arguments: list[str] | None = None) -> int:
    """Runs the demo; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="PROGRAM", action="append", help="run only this example")
    parser.add_argument(
        "--amnesia", action="store_true", help="give B another place than A, to see it fail"
    )
    options = parser.parse_args(arguments)
    cases = [case for case in CASES if not options.only or case.program in options.only]
    with tempfile.TemporaryDirectory(prefix="botwire-demo-") as folder:
        server, url = serve(Path(folder) / "server.db")
        places = {"over HTTP": url, "embedded": f"sqlite:///{folder}/memory.db"}
        elsewhere = f"sqlite:///{folder}/elsewhere.db"
        try:
            # Two at a time, as most of the time goes into the frameworks' imports.
            with ThreadPoolExecutor(2) as pool:
                outcomes = list(
                    pool.map(
                        lambda one: play(
                            one[1], one[0], places[one[0]],
                            elsewhere if options.amnesia else places[one[0]],
                        ),
                        [(place, case) for place in places for case in cases],
                    )
                )  # fmt: skip
        finally:
            server.terminate()
            server.wait()
            assert server.stdout is not None
            server.stdout.close()
    print(table(outcomes))
    forgot = [outcome for outcome in outcomes if outcome.remembered is None]
    if forgot:
        names = ", ".join(f"{one.case.program} {one.place}" for one in forgot)
        print(f"\n{len(forgot)} of {len(outcomes)} forgot: {names}")
        return 1
    print(f"\nAll {len(outcomes)} remembered across SIGKILL.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
