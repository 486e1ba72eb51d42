"""Processes with a framework already imported: forks of one that imported it once.

Some frameworks take seconds to import. A fork is a process of its own, can be killed like any one,
and shares nothing that was opened, as its parent opens nothing. It has the settings, the folder and
the pipes that it is started with, and ends as every Python program does.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib.metadata
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Self

AUTOGEN = ("autogen_agentchat.teams", "autogen_ext.models.replay", "botwire_autogen")
CREWAI = (
    *("crewai", "crewai.flow", "botwire_crewai", "tests.crews"),
    "lance_namespace_urllib3_client",  # most of lancedb; the part that starts a thread is left out
)
LANGCHAIN = ("langchain_core.runnables.history", "botwire_langchain")
LANGGRAPH = ("langgraph.graph", "botwire_langgraph")
LLAMAINDEX = ("llama_index.core.agent.workflow", "botwire_llamaindex")
SERVER = (
    *("botwire.cli", "botwire_server.app", "uvicorn"),
    *sorted({one.module for one in importlib.metadata.entry_points(group="botwire.mounts")}),
)

START_SECONDS = 250
ROOT = str(Path(__file__).parent.parent)

_PROGRAM = """
import atexit, importlib, json, os, socket, sys, threading, traceback, types

status = 0

@atexit.register  # the first, so it is the last: to take apart what was imported takes a second
def leave():
    sys.stdout.flush()
    os._exit(status)

control = socket.socket(fileno=int(sys.argv[1]))
sys.path.insert(0, sys.argv[2])
from tests import offline

offline.enforce()
for name in sys.argv[3:]:
    importlib.import_module(name)
# A fork has none of its parent's threads, and finds the locks that they held locked for ever.
threads = [one.name for one in threading.enumerate()]
assert len(threads) == len(os.listdir("/proc/self/task")) == 1, threads
control.send(b"ready")
while True:
    request, opened, _, _ = socket.recv_fds(control, 1_000_000, 4)
    if not request:
        os._exit(0)
    if os.fork() == 0:  # who waits for the program
        child = os.fork()
        if child == 0:
            control.close()
            break
        told = socket.socket(fileno=opened[3])
        for pipe in opened[:3]:
            os.close(pipe)
        told.send(str(child).encode())
        told.send(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode())
        os._exit(0)
    for one in opened:
        os.close(one)
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                break
        except ChildProcessError:
            break

code, arguments, environment, folder = json.loads(request)
for pipe, standard in zip(opened, range(3)):
    os.dup2(pipe, standard)
for one in opened:
    os.close(one)
os.environ.clear()
os.environ.update(environment)
os.chdir(folder)
sys.argv = ["-c", *arguments]
main = types.ModuleType("__main__")
main.__builtins__ = __builtins__
sys.modules["__main__"] = main
try:
    exec(compile(code, "<a test's process>", "exec"), main.__dict__)
except SystemExit as end:
    status = end.code if isinstance(end.code, int) else int(end.code is not None)
except BaseException:
    traceback.print_exc()
    status = 1
"""


class Program:
    """A process that a `Zygote` started, with what one uses of a `subprocess.Popen`."""

    def __init__(self, told: socket.socket, stdin: int, stdout: int, errors: IO[str]) -> None:
        self.stdin: IO[str] = os.fdopen(stdin, "w")
        self.stdout: IO[str] = os.fdopen(stdout)
        self.returncode: int | None = None
        self._errors = errors
        self._told = told
        self.pid = int(told.recv(20))

    @property
    def stderr(self) -> str:
        """Returns its output so far."""
        self._errors.seek(0)
        return self._errors.read()

    def poll(self) -> int | None:
        """Returns its status if it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Waits for its end; returns its status: below 0, the signal that killed it."""
        if self.returncode is None:
            self._told.settimeout(timeout)
            try:
                self.returncode = int(self._told.recv(20))
            except (BlockingIOError, TimeoutError):
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0) from None
            self._told.close()
        return self.returncode

    def send_signal(self, sent: int) -> None:
        """Sends it a signal, if it has not ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, sent)

    def terminate(self) -> None:
        """Terminates it."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kills it, if it has not ended."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, text: str = "") -> str:
        """Sends it input, waits for its end, and returns its output."""
        self.stdin.write(text)
        self.stdin.close()
        said = self.stdout.read()
        self.wait()
        return said

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *error: object) -> None:
        if kind:
            self.kill()
        self.stdin.close()
        self.wait()
        for one in (self.stdout, self._errors, self._told):
            one.close()


class Zygote:
    """Runs programs, each in a fork.

    Args:
        modules: What to import first. None of them may start a thread.
        python: The interpreter, of any environment.
    """

    def __init__(self, *modules: str, python: str = sys.executable) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [python, "-W", "ignore", "-c", _PROGRAM, str(theirs.fileno()), ROOT,
                 *modules],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                # One core is all there is for a worker, and a thread would make forks unsafe.
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            )  # fmt: skip
        self._control.settimeout(START_SECONDS)
        assert self._control.recv(10) == b"ready"

    def start(
        self,
        code: str,
        *arguments: str,
        env: dict[str, str] | None = None,
        folder: Path | None = None,
        errors: IO[str] | None = None,
    ) -> Program:
        """Starts a program, by default in this process's folder.

        Args:
            code: Its text.
            arguments: Its own.
            env: Settings, besides those of this process.
            folder: Where it runs.
            errors: A file for what it writes on standard error.
        """
        request = [code, arguments, {**os.environ, **(env or {})}, str(folder or Path.cwd())]
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        (stdin, to_it), (from_it, stdout) = os.pipe(), os.pipe()
        errors = errors or tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by the program
        opened = [stdin, stdout, errors.fileno(), theirs.fileno()]
        socket.send_fds(self._control, [json.dumps(request).encode()], opened)
        for one in (stdin, stdout):
            os.close(one)
        theirs.close()
        return Program(ours, to_it, from_it, errors)

    def run(self, code: str, *arguments: str) -> int:
        """Runs a program to its end, and returns its status: below 0, the signal that killed it."""
        with self.start(code, *arguments) as program:
            program.communicate()
            sys.stderr.write(program.stderr)
            return program.wait()

    def read(self, code: str, *arguments: str, given: str = "") -> str:
        """Runs a program that succeeds, and returns what it printed."""
        with self.start(code, *arguments) as program:
            said = program.communicate(given)
            assert program.returncode == 0, program.stderr
            return said

    def close(self) -> None:
        """Ends it."""
        self._control.close()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


@functools.cache
def zygote_of(*modules: str) -> Zygote:
    """Returns the zygote that has imported these modules: one for all tests of this process."""
    zygote = Zygote(*modules)
    atexit.register(zygote.close)
    return zygote
