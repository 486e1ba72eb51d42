"""Runs what `Steps` ask for: with the blocking client of a connection, or with the awaited one."""

from __future__ import annotations

import asyncio
import time
from typing import TypeVar

from botwire import BotWireError
from botwire.connection import Connection
from botwire.operations import Batch
from botwire_langgraph.reading import Pause, Steps

T = TypeVar("T")


def run(connection: Connection, program: Steps[T]) -> T:
    """Runs a program; an error of the store is raised where the program asked."""
    memory = connection.memory
    try:
        operations = next(program)
        while True:
            if isinstance(operations, Pause):
                time.sleep(operations.seconds)
                operations = program.send([])
                continue
            try:
                results = memory.engine.apply(Batch(memory.namespace, operations))
            except BotWireError as error:
                operations = program.throw(error)
            else:
                operations = program.send(results)
    except StopIteration as stop:
        found: T = stop.value
        return found


async def arun(connection: Connection, program: Steps[T]) -> T:
    """As `run`, awaited."""
    memory = connection.async_memory
    try:
        operations = next(program)
        while True:
            if isinstance(operations, Pause):
                await asyncio.sleep(operations.seconds)
                operations = program.send([])
                continue
            try:
                results = await memory.engine.apply(Batch(memory.namespace, operations))
            except BotWireError as error:
                operations = program.throw(error)
            else:
                operations = program.send(results)
    except StopIteration as stop:
        found: T = stop.value
        return found
