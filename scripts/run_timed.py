"""Runs a program and writes down how long each of its memory calls takes.

    python scripts/run_timed.py RESULT MODULE:CLASS.METHOD,METHOD… PROGRAM [ARGUMENT…]

RESULT is written at the end: the milliseconds of each call of these methods, a list in JSON. A call
that another one of them makes is part of that one. The program itself is run as it is.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import json
import runpy
import sys
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

measuring: ContextVar[bool] = ContextVar("measuring", default=False)
milliseconds: list[float] = []


@contextlib.contextmanager
def stopwatch() -> Iterator[None]:
    """Measures a call, unless one that is being measured makes it."""
    if measuring.get():
        yield
        return
    token = measuring.set(True)
    start = time.perf_counter()
    try:
        yield
    finally:
        milliseconds.append((time.perf_counter() - start) * 1000)
        measuring.reset(token)


def timed(method: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a method that does the same and is measured."""
    if inspect.iscoroutinefunction(method):

        @functools.wraps(method)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            with stopwatch():
                return await method(*args, **kwargs)

        return awaited

    @functools.wraps(method)
    def called(*args: Any, **kwargs: Any) -> Any:
        with stopwatch():
            return method(*args, **kwargs)

    return called


def main() -> None:
    """Runs the program that the command line names."""
    result, calls, program, *arguments = sys.argv[1:]
    path, _, methods = calls.rpartition(".")
    module, _, name = path.partition(":")
    owner = getattr(importlib.import_module(module), name)
    for method in methods.split(","):
        setattr(owner, method, timed(getattr(owner, method)))
    sys.argv = [program, *arguments]
    sys.path[0] = str(Path(program).parent)
    try:
        runpy.run_path(program, run_name="__main__")
    finally:
        Path(result).write_text(json.dumps(milliseconds))


if __name__ == "__main__":
    main()
