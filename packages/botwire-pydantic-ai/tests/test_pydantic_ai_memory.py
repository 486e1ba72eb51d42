"""The harness's memory: every file has a version, and an operation is applied once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import FunctionModel
from pydantic_ai_harness.memory import (
    InMemoryStore,
    Memory,
    MemoryConflictError,
    MemoryOperation,
    MemoryStore,
)

from botwire import ConfigurationError
from botwire_pydantic_ai import BotWireMemoryStore

PATHS = st.sampled_from(["a", "a/b", "a/c", "b"])
OPERATIONS = st.none() | st.builds(
    MemoryOperation, id=st.sampled_from("123"), fingerprint=st.sampled_from("xy")
)
STEPS = st.tuples(st.sampled_from(["write", "delete"]), PATHS, st.booleans(), OPERATIONS)


async def _apply(store: Any, step: Any, number: int) -> Any:
    """Applies a step, and returns the state that every store must then show."""
    does, path, is_current, operation = step
    kept = await store.read(path, max_chars=100)
    expected = kept.version if kept is not None and is_current else None
    options: Any = {"expected_version": expected, "operation": operation}
    try:
        if does == "write":
            done = await store.write(path, f"text {number}", **options)
        else:
            done = await store.delete(path, **options)
        outcome: Any = done.replayed, done.existed, done.version is None
    except RuntimeError as error:
        outcome = type(error)
    paths = await store.list_paths(limit=10)
    files = [await store.read(one, max_chars=5) for one in paths]
    contents = [(one.content, one.truncated, one.operation_id) for one in files]
    return outcome, paths, contents, await store.list_paths("a/", limit=1)


@settings(max_examples=40)
@given(st.lists(STEPS, max_size=8))
def test_it_does_what_the_harness_own_store_does(steps: list[Any]) -> None:
    async def compare() -> None:
        ours, stock = BotWireMemoryStore("compared", url="sqlite://"), InMemoryStore()
        assert isinstance(ours, MemoryStore)
        for number, step in enumerate(steps):
            assert await _apply(ours, step, number) == await _apply(stock, step, number)

    asyncio.run(compare())


async def test_of_two_writes_at_once_one_is_refused_and_repeats_are_applied_once(
    namespace: str, place_url: str
) -> None:
    stores = [BotWireMemoryStore(namespace, url=place_url) for _ in range(2)]
    operation = MemoryOperation(id="op", fingerprint="f")
    for operations, kinds in (
        ((None, None), ["MemoryConflictError", "MemoryMutation"]),
        ((operation, operation), ["MemoryMutation", "MemoryMutation"]),
    ):
        kept = await stores[0].read("notes", max_chars=100)
        expected = None if kept is None else kept.version
        done = await asyncio.gather(
            *(
                store.write("notes", "text", expected_version=expected, operation=one)
                for store, one in zip(stores, operations, strict=True)
            ),
            return_exceptions=True,
        )
        assert sorted(type(one).__name__ for one in done) == kinds
    replayed = await stores[1].get_operation(operation)
    assert replayed is not None
    assert replayed.replayed


async def test_an_agent_remembers_in_another_process(namespace: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'memory.db'}"
    shown: list[str] = []

    def model(messages: list[ModelMessage], info: Any) -> ModelResponse:
        shown.append(repr((info.instructions, messages)))
        if len(shown) == 1:
            (write,) = [one for one in info.function_tools if one.name.startswith("write")]
            args = {
                name: "MEMORY.md" if name in ("file", "path", "name") else "Ada likes tea."
                for name in write.parameters_json_schema["required"]
            }
            return ModelResponse([ToolCallPart(write.name, args)])
        return ModelResponse([TextPart("fine")])

    for said in ("remember it", "what do I like?"):
        store = BotWireMemoryStore(namespace, url=url)
        agent = Agent(FunctionModel(model), capabilities=[Memory(store=store)])
        await agent.run(said)
    assert "Ada likes tea." in shown[-1]


async def test_wrong_arguments_are_refused(namespace: str, tmp_path: Path) -> None:
    store = BotWireMemoryStore(namespace, url=f"sqlite:///{tmp_path / 'memory.db'}")
    for path in ("", "/a", "a//b", "a/../b", "./a"):
        with pytest.raises(ConfigurationError, match="path"):
            await store.write(path, "text", expected_version=None)
    with pytest.raises(ConfigurationError, match="max_chars"):
        await store.read("a", max_chars=0)
    with pytest.raises(ConfigurationError, match="limit"):
        await store.list_paths(limit=0)
    wrong: Any = 5
    for call, says in (
        (store.read(wrong, max_chars=1), "a memory path must be a string, not int: 5"),
        (store.read("a", max_chars="x"), "max_chars must be an int, not str"),  # type: ignore[arg-type]
        (store.list_paths(wrong, limit=1), "a prefix must be a string, not int: 5"),
        (store.list_paths(limit="x"), "limit must be an int, not str"),  # type: ignore[arg-type]
        (store.write("a", wrong, expected_version=None), "content must be a string, not int: 5"),
        (store.delete(wrong, expected_version=None), "a memory path must be a string"),
        (store.get_operation(wrong), "operation must be a MemoryOperation, not int: 5"),
        (
            store.write("a", "text", expected_version=None, operation=wrong),
            "operation must be a MemoryOperation, not int: 5",
        ),
    ):
        with pytest.raises(ConfigurationError, match=says):
            await call
    assert await store.list_paths(limit=9) == []
    with pytest.raises(MemoryConflictError):
        await store.delete("a", expected_version="1")
