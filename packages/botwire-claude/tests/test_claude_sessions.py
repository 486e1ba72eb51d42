"""Sessions: the SDK's own contract, and what the contract leaves open."""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from typing import Any

import pytest
from claude_agent_sdk import fold_session_summary, list_sessions_from_store
from claude_agent_sdk.testing import run_session_store_conformance

from botwire import ConfigurationError, Memory, NotJSONError
from botwire.messages import Message, ToolCall
from botwire_claude import BotWireSessionStore
from botwire_claude.convert import from_items
from tests.waiting import until
from tests.zygote import Zygote

KEY: Any = {"project_key": "project", "session_id": "session"}


@pytest.fixture
def store(place_url: str, namespace: str) -> BotWireSessionStore:
    return BotWireSessionStore(namespace, url=place_url)


def prompt(text: str, id: str | None = None, **more: Any) -> Any:
    uuids = {} if id is None else {"uuid": id}
    return {"type": "user", "message": {"role": "user", "content": text}, **uuids, **more}


async def test_the_sdks_own_suite(place_url: str) -> None:
    await run_session_store_conformance(
        lambda: BotWireSessionStore(f"test-{uuid.uuid4().hex}", url=place_url)
    )


async def test_an_entry_with_a_uuid_lands_once_and_counts_once(store: Any) -> None:
    first, second = prompt("hi", "u1", customTitle="old"), {"type": "x", "customTitle": "new"}
    await store.append(KEY, [first, first])
    await store.append(KEY, [second])
    await store.append(KEY, [first])  # a retry, late
    await store.append(KEY, [second])  # without a uuid: another one
    assert await store.load(KEY) == [first, second, second]
    await store.append(KEY, [first, prompt("more", "u2")])
    (summary,) = await store.list_session_summaries("project")
    assert summary["data"]["custom_title"] == "new"
    assert len(await store.load(KEY)) == 4


async def test_keys_never_collide(store: Any) -> None:
    parts = ("a", "b", "a/b", "a%2Fb", "b/c", "~", "..", "ä", "claude")
    keys: list[Any] = [
        {"project_key": project, "session_id": session}
        for project, session in itertools.product(parts, parts)
    ]
    keys += [{**KEY, "subpath": part} for part in ("subagents/agent-1", *parts)]
    for number, key in enumerate(keys):
        await store.append(key, [{"type": "x", "n": number}])
    for number, key in enumerate(keys):
        assert await store.load(key) == [{"type": "x", "n": number}]
    for project in parts:
        assert {one["session_id"] for one in await store.list_sessions(project)} == set(parts)
    assert set(await store.list_subkeys(KEY)) == {"subagents/agent-1", *parts}


async def test_a_long_key_is_listed_as_it_is(store: Any) -> None:
    key: Any = {"project_key": "p" * 300, "session_id": "s" * 300, "subpath": "x/" * 200}
    session = {"project_key": key["project_key"], "session_id": key["session_id"]}
    await store.append(session, [{"type": "x"}])
    await store.append(key, [{"type": "x"}])
    assert [one["session_id"] for one in await store.list_sessions("p" * 300)] == ["s" * 300]
    assert await store.list_subkeys(session) == [key["subpath"]]


_WRITER = """
import asyncio, sys
from botwire_claude import BotWireSessionStore

async def main():
    name, namespace, url = sys.argv[1:]
    store = BotWireSessionStore(namespace, url=url)
    key = {"project_key": "project", "session_id": "session"}
    for n in range(20):
        entries = [{"type": "x", "uuid": f"{name}-{n}"}, {"type": "tag", "tag": f"{name}-{n}"}]
        await store.append(key, entries)

asyncio.run(main())
"""


def test_two_processes_lose_nothing_and_the_summary_is_that_of_all(
    store: Any, zygote: Zygote, place_url: str, namespace: str
) -> None:
    with (
        zygote.start(_WRITER, "a", namespace, place_url) as one,
        zygote.start(_WRITER, "b", namespace, place_url) as other,
    ):
        assert [one.wait(), other.wait()] == [0, 0]
    entries = asyncio.run(store.load(KEY))
    ids = {entry["uuid"] for entry in entries if "uuid" in entry}
    assert ids == {f"{name}-{n}" for name in "ab" for n in range(20)}
    assert len(entries) == 80
    (summary,) = asyncio.run(store.list_session_summaries("project"))
    assert summary["data"] == fold_session_summary(None, KEY, entries)["data"]


async def test_times_are_those_of_the_store(store: Any) -> None:
    before = time.time() * 1000
    await store.append(KEY, [prompt("hi", timestamp="2001-01-01T00:00:00Z")])
    (listed,) = await store.list_sessions("project")
    (summary,) = await store.list_session_summaries("project")
    assert before - 60_000 < listed["mtime"] == summary["mtime"] < before + 60_000
    (info,) = await list_sessions_from_store(store, directory=None) or [None]
    assert info is None or info.summary == "hi"


async def test_what_another_framework_stored_is_continued(store: Any, place: Any) -> None:
    history = Memory(**place).history(store.history_name(KEY))
    history.extend(
        [
            Message("system", "Be kind.").to_item(),
            Message("user", "And in Oslo?").to_item(),
            Message("assistant", "", tool_calls=[ToolCall("c", "look", {"at": 1})]).to_item(),
            Message("tool", "12 degrees", tool_call_id="c").to_item(),
        ]
    )
    entries = await store.load(KEY)
    assert entries == await store.load(KEY)
    assert [entry["type"] for entry in entries] == ["system", "user", "assistant", "user"]
    assert [entry["parentUuid"] for entry in entries] == [
        None,
        *(entry["uuid"] for entry in entries[:3]),
    ]
    assert entries[2]["message"]["content"] == [
        {"type": "tool_use", "id": "c", "name": "look", "input": {"at": 1}}
    ]
    assert entries[3]["message"]["content"] == [
        {"type": "tool_result", "tool_use_id": "c", "content": "12 degrees"}
    ]
    await store.append(KEY, [prompt("go on", "u1", parentUuid=entries[3]["uuid"])])
    assert (await store.load(KEY))[:4] == entries
    (summary,) = await store.list_session_summaries("project")
    assert summary["data"]["first_prompt"] == "And in Oslo?"


async def test_an_entry_with_several_results_is_several_messages(store: Any, place: Any) -> None:
    results = [
        {"type": "tool_result", "tool_use_id": "a", "content": "one"},
        {"type": "tool_result", "tool_use_id": "b", "content": [{"type": "text", "text": "two"}]},
        {"type": "text", "text": "and?"},
    ]
    entry: Any = {"type": "user", "uuid": "u", "message": {"role": "user", "content": results}}
    for _ in range(2):
        await store.append(KEY, [entry])
    items = Memory(**place).history(store.history_name(KEY)).read()
    messages = [Message.from_item(item.value) for item in items]
    assert [(m.role, m.text, m.tool_call_id) for m in messages] == [
        ("tool", "one", "a"),
        ("tool", "two", "b"),
        ("user", "and?", None),
    ]
    assert await store.load(KEY) == from_items(items, "session") == [entry]


async def test_a_transcript_expires_with_its_summary(place_url: str, namespace: str) -> None:
    store = BotWireSessionStore(namespace, ttl=0.2, url=place_url)
    await store.append(KEY, [{"type": "x"}])

    async def is_gone() -> bool:
        return await store.load(KEY) is None

    await until(is_gone)
    assert await store.list_sessions("project") == []


async def test_a_deleted_session_can_be_written_again(store: Any) -> None:
    await store.append(KEY, [prompt("old", "u1")])
    await store.append({**KEY, "subpath": "s"}, [{"type": "x"}])
    await store.delete(KEY)
    assert await store.list_subkeys(KEY) == []
    await store.append(KEY, [prompt("new", "u1")])
    assert await store.load(KEY) == [prompt("new", "u1")]
    (summary,) = await store.list_session_summaries("project")
    assert summary["data"]["first_prompt"] == "new"


async def test_a_session_of_many_subagents_is_deleted_in_several_requests(
    server_url: str, namespace: str
) -> None:
    store = BotWireSessionStore(namespace, url=server_url)
    await store.append({**KEY, "subpath": "0"}, [{"type": "x"}])
    memory = Memory(namespace, url=server_url)
    ((name, metadata),) = [(one.name, one.metadata) for one in memory.list_histories()]
    for start in (1, 2_501, 5_001, 7_501, 10_001):  # and one more than a server takes at once
        with memory.transaction() as tx:
            for number in range(start, min(start + 2_500, 10_002)):
                history = tx.history(name.removesuffix("0") + str(number))
                history.append({})
                history.set_metadata({**metadata, "subpath": str(number)})
    await store.delete(KEY)
    assert memory.list_histories() == []


async def test_what_is_wrong_is_refused_before_anything_is_stored(store: Any) -> None:
    wrong: list[Any] = [{"project_key": "p"}, {**KEY, "project_key": ""}, {**KEY, "subpath": ""}]
    for key in wrong:
        with pytest.raises(ConfigurationError, match=r"session_id|project_key|subpath"):
            await store.append(key, [{"type": "x"}])
    for call in (store.append(5, [{"type": "x"}]), store.load(5), store.delete(5)):
        with pytest.raises(ConfigurationError, match="key must be a dict, not int: 5"):
            await call
    for entries in (5, None, "text"):
        with pytest.raises(ConfigurationError, match="entries must be a list"):
            await store.append(KEY, entries)
    with pytest.raises(NotJSONError):
        await store.append(KEY, [{"type": "x"}, {"type": "y", "value": {1, 2}}])
    with pytest.raises(NotJSONError, match=r"entries\[0\]"):
        await store.append(KEY, ["text"])
    with pytest.raises(ConfigurationError, match="ttl"):
        BotWireSessionStore("n", ttl=-1)
    assert await store.load(KEY) is None
