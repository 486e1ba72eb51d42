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
import json
import os
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import environments
from environments import ROOT, EnvironmentMissingError

EXAMPLES = ROOT / "examples"
TIMING = ROOT / "scripts" / "run_timed.py"

PATIENCE_SECONDS = 120
"""Seconds that a process may take; imports alone take up to ten."""
AT_ONCE = 2
"""Interfaces tried concurrently; importing a framework keeps a core busy."""

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


@dataclass(frozen=True)
class Interface:
    """A framework's interface that BotWire implements, and a program that uses it.

    Attributes:
        framework: The framework's name.
        name: The name of the interface in code.
        calls: The memory calls to measure: ``module:Class.method,method``.
        program: What runs in process A, a file in `examples`.
        other_program: What runs in process B; defaults to `program`.
    """

    framework: str
    name: str
    calls: str
    program: str
    other_program: str | None = None

    @property
    def programs(self) -> tuple[str, str]:
        """The programs of process A and process B."""
        return self.program, self.other_program or self.program

    def __str__(self) -> str:
        return f"{self.framework}, {self.name}"


LLAMAINDEX_CALLS = (
    "botwire_llamaindex:BotWireChatMemoryBuffer.get,aget,put,aput,put_messages,aput_messages"
)

INTERFACES = (
    Interface(
        "LlamaIndex",
        "FunctionAgent, BotWireChatMemoryBuffer",
        LLAMAINDEX_CALLS,
        "llamaindex_agent.py",
    ),
    Interface(
        "LlamaIndex",
        'ReActAgent, chat_with_memory, Memory("user-session-123")',
        "botwire:History.tail,extend",
        "llamaindex_react.py",
    ),
    Interface(
        "LlamaIndex",
        'SimpleChatEngine, PersistentChatMemory("user-456")',
        LLAMAINDEX_CALLS,
        "llamaindex_chat_engine.py",
    ),
    Interface(
        "LangChain",
        "RunnableWithMessageHistory, BotWireChatMessageHistory",
        "botwire_langchain:BotWireChatMessageHistory.get_messages,add_messages",
        "langchain_history.py",
    ),
    Interface(
        "LangGraph",
        "create_agent, BotWireSaver",
        "botwire_langgraph:BotWireSaver.get_tuple,put,put_writes",
        "langgraph_agent.py",
    ),
    Interface(
        "CrewAI",
        "Crew(memory=…), BotWireMemory on BotWireStorage",
        "botwire_crewai:BotWireStorage."
        "search,list_scopes,get_scope_info,list_categories,touch_records,save",
        "crewai_crew.py",
    ),
    Interface(
        "AutoGen",
        "AssistantAgent in RoundRobinGroupChat, BotWireMemory",
        "botwire_autogen:BotWireMemory.update_context,add",
        "autogen_team.py",
    ),
    Interface(
        "Agent Framework",
        "Agent, BotWireHistoryProvider and BotWireContextProvider",
        "botwire_agent_framework:BotWireHistoryProvider.get_messages,save_messages",
        "agent_framework_agent.py",
    ),
    Interface(
        "AG2",
        "Agent, BotWireStorage and BotWireKnowledgeStore",
        "botwire_ag2:BotWireStorage.get_history,save_event",
        "ag2_agent.py",
    ),
    Interface(
        "OpenAI Agents SDK",
        "Runner.run, BotWireSession",
        "botwire_openai_agents:BotWireSession.get_items,add_items",
        "openai_agents_agent.py",
    ),
    Interface(
        "Claude Agent SDK",
        "ClaudeSDKClient, BotWireSessionStore",
        "botwire_claude:BotWireSessionStore.load,append",
        "claude_session.py",
    ),
    Interface(
        "Anthropic SDK",
        "tool_runner, BotWireMemoryTool",
        "botwire_claude:BotWireMemoryTool.call",
        "claude_memory.py",
    ),
    Interface(
        "Pydantic AI",
        "Agent.run, BotWireConversationStore",
        "botwire_pydantic_ai:BotWireConversationStore.load,save",
        "pydantic_ai_agent.py",
    ),
    Interface(
        "Strands Agents",
        "Agent, BotWireSessionManager",
        "botwire_strands:BotWireSessionManager.initialize,append_message",
        "strands_agent.py",
    ),
    Interface(
        "Google ADK",
        "Runner, BotWireSessionService",
        "botwire_google_adk:BotWireSessionService.get_session,append_event",
        "google_adk_agent.py",
    ),
    Interface(
        "two in one",
        "told in LangChain, asked in LlamaIndex",
        LLAMAINDEX_CALLS,
        "langchain_history.py",
        "llamaindex_continues_langchain.py",
    ),
)


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


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Runs a server with a fresh database in `folder` and yields its URL."""
    command = [sys.executable, "-m", "botwire", "serve", "--port", "0"]
    with (
        (folder / "server.log").open("w") as log,
        subprocess.Popen(
            [*command, "--database", f"sqlite:///{folder / 'server.db'}"],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as server,
    ):
        try:
            assert server.stdout is not None
            line = server.stdout.readline()  # printed once the server listens
            if not line:
                said = (folder / "server.log").read_text().strip()
                raise DemoError(f"the server did not start: {said[-2000:]}")
            yield line.split()[-1]
        finally:
            server.terminate()


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
        with serve(folder) as url:
            progress.say(f"a server listens at {url}, its database is empty")
            programs = sorted({one for interface in interfaces for one in interface.programs})
            for name in sorted({environments.environment_of_program(Path(p)) for p in programs}):
                environments.python(name)
                progress.say(f"the environment {name} is ready")

            def attempt(number: int, place: str) -> Outcome:
                own = folder / f"{place}-{number}"
                own.mkdir()
                interface = interfaces[number]
                here = url if place == "HTTP" else f"sqlite:///{own / 'memory.db'}"
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
    except (DemoError, EnvironmentMissingError) as error:
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
