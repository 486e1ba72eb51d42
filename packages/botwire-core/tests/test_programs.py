"""Programs do the same with either client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from botwire import AsyncMemory, ConflictError, Memory, programs
from botwire.connection import Connection

Step = Callable[[Any], Any]


def take_turn(key: str) -> programs.Program[Step, str]:
    """Sets a key unless it exists, and returns its value."""
    try:
        yield lambda memory: memory.set(key, "mine", if_version=0)
    except ConflictError:
        return f"was {(yield lambda memory: memory.get(key))}"
    return "mine"


async def test_a_program_runs_with_either_client_and_may_handle_an_error() -> None:
    connection = Connection(client=Memory("n", url="sqlite:///:memory:"))
    memory: Memory = connection.memory
    async_memory: AsyncMemory = connection.async_memory
    assert programs.run(take_turn("a"), lambda step: step(memory)) == "mine"
    assert programs.run(take_turn("a"), lambda step: step(memory)) == "was mine"
    assert await programs.arun(take_turn("b"), lambda step: step(async_memory)) == "mine"
    assert await programs.arun(take_turn("b"), lambda step: step(async_memory)) == "was mine"


async def test_an_error_that_a_program_does_not_handle_is_raised() -> None:
    def fails() -> programs.Program[Step, None]:
        yield lambda _: 1 / 0

    async def perform(step: Step) -> Any:
        return step(None)

    with pytest.raises(ZeroDivisionError):
        programs.run(fails(), lambda step: step(None))
    with pytest.raises(ZeroDivisionError):
        await programs.arun(fails(), perform)
