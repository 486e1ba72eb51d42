"""Deleting many keys and histories takes several requests, in an order that allows a repetition."""

from __future__ import annotations

from typing import Any

import pytest

from botwire import AsyncMemory, Memory
from botwire import operations as ops
from botwire.deleting import adelete_in_parts, delete_in_parts


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_histories_are_deleted_before_keys_and_the_last_key_last(asynchronous: bool) -> None:
    parts: list[tuple[ops.AnyOperation, ...]] = []
    memory = Memory("n", url="sqlite://")
    keys = [f"k{number}" for number in range(1_500)]
    for start in (0, 1_000):
        memory.set_many(dict.fromkeys(keys[start : start + 1_000]))
    for name in ("a", "b"):
        memory.history(name).append(1)

    class Recording:
        def apply(self, batch: ops.Batch) -> ops.Results:
            parts.append(batch.operations)
            return memory.engine.apply(batch)

    class AsyncRecording(Recording):
        async def apply(self, batch: ops.Batch) -> Any:  # type: ignore[override]
            return super().apply(batch)

    if asynchronous:
        await adelete_in_parts(AsyncMemory("n", engine=AsyncRecording()), keys, ["a", "b"])  # type: ignore[arg-type]
    else:
        delete_in_parts(Memory("n", engine=Recording()), keys, ["a", "b"])  # type: ignore[arg-type]
    assert (memory.list_keys(), memory.list_histories()) == ([], [])
    deleted = [getattr(one, "name", None) or getattr(one, "key", None) for one in sum(parts, ())]
    assert ([len(part) for part in parts], deleted) == ([1000, 502], ["a", "b", *keys])
