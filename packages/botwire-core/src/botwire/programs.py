"""Runs work that is written once, with a blocking or an asynchronous client.

A program is a generator that does no I/O. It yields steps and receives the result of each. If a
step fails, its error is raised at that ``yield``. `run` performs the steps with a blocking client,
`arun` with an asynchronous one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

S = TypeVar("S")
T = TypeVar("T")

Program = Generator[S, Any, T]
"""A generator that yields steps, receives their results and returns its own."""


def run(program: Program[S, T], perform: Callable[[S], Any]) -> T:
    """Runs a program and returns its result.

    Args:
        program: The program.
        perform: Performs a step and returns its result. The program may handle what it raises.
    """
    try:
        step = next(program)
        while True:
            try:
                result = perform(step)
            except Exception as error:  # noqa: BLE001 - the program decides
                step = program.throw(error)
            else:
                step = program.send(result)
    except StopIteration as end:
        returned: T = end.value
        return returned


async def arun(program: Program[S, T], perform: Callable[[S], Awaitable[Any]]) -> T:
    """Runs a program and returns its result; see `run`."""
    try:
        step = next(program)
        while True:
            try:
                result = await perform(step)
            except Exception as error:  # noqa: BLE001 - the program decides
                step = program.throw(error)
            else:
                step = program.send(result)
    except StopIteration as end:
        returned: T = end.value
        return returned
