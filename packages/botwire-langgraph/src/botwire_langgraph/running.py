"""Runs `BatchProgram` with the blocking or the asynchronous client of a connection."""

from __future__ import annotations

import asyncio
import time
from typing import TypeVar

from botwire import programs
from botwire.connection import Connection
from botwire.operations import AnyOperation, Batch, Results
from botwire_langgraph.reading import BatchProgram, Pause

T = TypeVar("T")


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
