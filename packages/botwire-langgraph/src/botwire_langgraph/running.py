"""What the checkpointer does, as programs that either client of a connection runs.

A program is a generator without I/O. It yields the operations of a batch, and is sent their
results.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from typing import NamedTuple, TypeVar

from botwire import programs
from botwire.connection import Connection
from botwire.operations import AnyOperation, Batch, Results

T = TypeVar("T")


class Pause(NamedTuple):
    """Yielded instead of operations to wait before continuing; no results are sent.

    Attributes:
        seconds: How long to wait.
    """

    seconds: float


BatchProgram = Generator[tuple[AnyOperation, ...] | Pause, Results, T]
"""A program whose steps are batches: yields operations, receives their results."""


def run(connection: Connection, program: BatchProgram[T]) -> T:
    """Runs a program and returns its result; raises errors of the store inside the program."""
    memory = connection.memory

    def perform(step: tuple[AnyOperation, ...] | Pause) -> Results:
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return []
        return memory.engine.apply(Batch(memory.namespace, step, author=memory.author))

    return programs.run(program, perform)


async def arun(connection: Connection, program: BatchProgram[T]) -> T:
    """Like `run`, awaited."""
    memory = connection.async_memory

    async def perform(step: tuple[AnyOperation, ...] | Pause) -> Results:
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
            return []
        return await memory.engine.apply(Batch(memory.namespace, step, author=memory.author))

    return await programs.arun(program, perform)
