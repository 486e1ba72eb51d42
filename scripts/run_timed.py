"""Runs a program and records how long each of its memory calls takes.

    python scripts/run_timed.py RESULT MODULE:CLASS.METHOD,METHOD… PROGRAM [ARGUMENT…]

At the end, it writes the milliseconds of each call of these methods to RESULT, as a JSON list. A
call made by another measured call counts as part of that one. The program itself runs unchanged.
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
    """Measures a call, unless another measured call makes it."""
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
    """Wraps a method to measure its calls."""
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
