"""A task resumes in another process with the state that its owner stored."""

from __future__ import annotations

import signal
from datetime import UTC, datetime
from typing import Any

import pytest
from ag2 import Agent
from ag2.task import CheckpointStore, Task, TaskSpec
from ag2.testing import TestConfig
from hypothesis import given
from hypothesis import strategies as st

from botwire import AsyncMemory, ConfigurationError, Memory, NotJSONError, TransportError
from botwire.messages import UnreadableItemError
from botwire.tagged import from_json, to_json
from botwire_ag2 import BotWireCheckpointStore
from tests.waiting import until
from tests.zygote import Zygote

STATE = {
    "step": 3,
    "done": ("a", "b"),
    "raw": b"\xff",
    "at": datetime(2026, 1, 1, tzinfo=UTC),
    7: {"$set": 1, "seen": {1, 2}, "text": "\ud800 ä", "big": 10**40, "none": None},
}


async def test_a_task_is_resumed_with_what_its_owner_gave(any_url: str, namespace: str) -> None:
    store = BotWireCheckpointStore(namespace, url=any_url)
    assert isinstance(store, CheckpointStore)
    agent = Agent("a", config=TestConfig("x"))
    async with agent.task("read", checkpoint_store=store) as task:
        await task.checkpoint({"step": 1})
        await task.checkpoint(STATE)  # type: ignore[arg-type]
    again = BotWireCheckpointStore(namespace, url=any_url)
    assert await again.list_tasks() == [task.task_id]
    async with agent.task("go on", checkpoint_store=again, resume_from=task.task_id) as resumed:
        assert resumed.resumed_state == STATE
        assert resumed.task_id != task.task_id
    async with agent.task("new", checkpoint_store=again, resume_from="never") as fresh:
        assert fresh.resumed_state is None
    assert [await again.delete(task.task_id) for _ in range(2)] == [True, False]
    assert await again.read(task.task_id) is None


async def test_any_id_is_a_task_of_its_own(place_url: str, namespace: str) -> None:
    store = BotWireCheckpointStore(namespace, url=place_url)
    ids = ["a", "a/b", "/", "..", "ä 🦊", "%2F", "*"]
    for i, one in enumerate(ids):
        await store.write(one, {"i": i})
    assert [await store.read(one) for one in ids] == [{"i": i} for i in range(len(ids))]
    assert await store.list_tasks() == ids[::-1]
    await store.write("ä 🦊", {})
    assert (await store.list_tasks())[0] == "ä 🦊"
    assert await BotWireCheckpointStore(namespace, url=place_url, prefix="x").list_tasks() == []
    with pytest.raises(ConfigurationError, match="1024"):
        await store.write("a" * 2000, {})


keys = st.text(max_size=9) | st.integers() | st.none() | st.tuples(st.integers(), st.booleans())
leaves = st.none() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9) | st.binary()
states = st.dictionaries(
    keys,
    st.recursive(
        leaves,
        lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(keys, inner),
        max_leaves=6,
    ),
)


@given(states)
def test_whatever_an_owner_keeps_comes_back(state: dict[Any, Any]) -> None:
    found = from_json(to_json(state))
    assert found == state
    assert repr(found) == repr(state)


async def test_what_would_not_come_back_is_refused_and_the_last_state_stays(
    place_url: str, namespace: str
) -> None:
    store = BotWireCheckpointStore(namespace, url=place_url)
    await store.write("t", {"step": 1})
    with pytest.raises(NotJSONError, match=r"state\['deep'\]\[0\]"):
        await store.write("t", {"deep": [object()]})
    assert await store.read("t") == {"step": 1}
    good = {"framework": "ag2", "format": 1}
    for value in (
        7,
        {**good, "format": 2, "data": {}},
        {**good, "data": {"a": {"$bytes": 1}}},
        {**good, "data": [1]},
    ):
        Memory(namespace, url=place_url).set("tasks/t", value)
        with pytest.raises(UnreadableItemError, match="task 't'"):
            await store.read("t")
    with pytest.raises(ConfigurationError, match="ttl"):
        BotWireCheckpointStore(namespace, ttl=0)
    with pytest.raises(ConfigurationError, match="a prefix must be a string, not int: 5"):
        BotWireCheckpointStore(namespace, prefix=5)  # type: ignore[arg-type]
    assert await BotWireCheckpointStore(namespace, url=place_url, prefix="").list_tasks() == []


async def test_a_checkpoint_expires(place_url: str, namespace: str) -> None:
    store = BotWireCheckpointStore(namespace, url=place_url, ttl=0.05)
    await store.write("t", {"step": 1})

    async def gone() -> bool:
        return await store.read("t") is None

    await until(gone)


async def test_a_server_that_is_down_is_no_missing_checkpoint(unused_tcp_port: int) -> None:
    client = AsyncMemory("n", url=f"http://127.0.0.1:{unused_tcp_port}", timeout=0.3)
    store = BotWireCheckpointStore(client=client)
    task = Task(owner_id="a", spec=TaskSpec("x"), checkpoint_store=store, resume_from="t")
    with pytest.raises(TransportError, match=str(unused_tcp_port)):
        async with task:
            pass
    with pytest.raises(TransportError, match=str(unused_tcp_port)):
        await store.write("t", {})
    assert "bw_secret" not in repr(BotWireCheckpointStore("n", url="http://x", api_key="bw_secret"))


WORK = """
import asyncio, os, signal, sys
from ag2 import Agent
from ag2.testing import TestConfig
from botwire_ag2 import BotWireCheckpointStore

async def main(url, namespace, dies):
    store = BotWireCheckpointStore(namespace, url=url)
    before = await store.list_tasks()
    agent = Agent("a", config=TestConfig("x"))
    async with agent.task(
        "count", checkpoint_store=store, resume_from=before[0] if before else None
    ) as task:
        done = (task.resumed_state or {"done": ()})["done"]
        for step in range(len(done), 6):
            if step == int(dies):
                os.kill(os.getpid(), signal.SIGKILL)
            done += (step,)
            await task.checkpoint({"done": done})
            if before:
                await store.delete(before.pop())
    assert done == (0, 1, 2, 3, 4, 5), done

asyncio.run(main(*sys.argv[1:]))
"""


def test_a_task_that_is_killed_twice_does_each_step_once(
    zygote: Zygote, any_url: str, namespace: str
) -> None:
    assert zygote.run(WORK, any_url, namespace, "2") == -signal.SIGKILL
    assert zygote.run(WORK, any_url, namespace, "5") == -signal.SIGKILL
    assert zygote.run(WORK, any_url, namespace, "-1") == 0
