"""Files of AG2's agents: the in-memory store's contract, many processes, change notifications."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from ag2 import Agent, KnowledgeConfig
from ag2.events import ModelRequest, TextInput
from ag2.knowledge import (
    DefaultBootstrap,
    EventLogWriter,
    KnowledgeStore,
    MemoryKnowledgeStore,
)
from ag2.network import CONSULTING_TYPE, EV_CHANNEL_CLOSED, Hub
from ag2.policies import WorkingMemoryPolicy
from ag2.testing import TestConfig
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from botwire import AsyncMemory, ConfigurationError, Memory, TransportError
from botwire_ag2 import BotWireKnowledgeStore
from conftest import read_url, start_server
from tests.zygote import Zygote

PATIENCE = 30  # seconds


@pytest.fixture
def store(place_url: str, namespace: str) -> BotWireKnowledgeStore:
    """An empty store that polls for changes often."""
    return BotWireKnowledgeStore(namespace, url=place_url, poll=0.02)


names = st.sampled_from(["a", "b", "a/b", "/a//b/", "a_b", "a%b", "ä", "x y.txt", "/", "a/b/c.md"])
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
operations = st.lists(
    st.one_of(
        st.tuples(st.just("write"), names, texts),
        st.tuples(st.just("append"), names, texts),
        st.tuples(st.just("delete"), names),
        st.tuples(st.just("read"), names),
        st.tuples(st.just("list"), names),
        st.tuples(st.just("exists"), names),
    ),
    max_size=12,
)
ROUNDS = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@ROUNDS
@given(operations)
def test_it_answers_as_ag2s_own_store_in_memory(tmp_path: Path, calls: list[Any]) -> None:
    async def main() -> None:
        stock = MemoryKnowledgeStore()
        memory = AsyncMemory("n", url="sqlite://")
        ours = BotWireKnowledgeStore(client=memory)
        for name, *arguments in calls:
            expected = await getattr(stock, name)(*arguments)
            assert await getattr(ours, name)(*arguments) == expected, (name, arguments)
        for path in ("/a", "/b", "/a/b"):
            content = await stock.read(path) or ""
            cuts = [0]  # where characters begin
            for character in content:
                cuts.append(cuts[-1] + len(character.encode()))
            for start in cuts:
                for end in [*cuts, None, 1000]:
                    expected = await stock.read_range(path, start, end)
                    assert await ours.read_range(path, start, end) == expected
        await memory.aclose()

    asyncio.run(main())


async def test_it_is_a_store_and_another_object_reads_it(
    store: BotWireKnowledgeStore, place_url: str, namespace: str
) -> None:
    assert isinstance(store, KnowledgeStore)
    await store.write("/notes/ada.md", "likes tea \U0001f600")
    again = BotWireKnowledgeStore(namespace, url=place_url)
    assert await again.read("notes//ada.md/") == "likes tea \U0001f600"
    assert await again.list() == ["notes/"]
    assert await again.read("/notes") is None
    other = BotWireKnowledgeStore(namespace, url=place_url, prefix="other/")
    assert await other.list() == []
    await other.write("/x", "")
    assert (await other.read("/x"), await other.exists("/x")) == ("", True)
    assert "bw_secret" not in repr(BotWireKnowledgeStore("n", url=place_url, api_key="bw_secret"))


async def test_an_append_writes_what_is_new_and_a_range_reads_what_it_shows(
    store: BotWireKnowledgeStore, namespace: str, place_url: str
) -> None:
    for i in range(500):
        assert await store.append("/log.jsonl", f"{i:09}\n") == 10 * i
    history = Memory(namespace, url=place_url).history("knowledge/log.jsonl")
    assert history.count() == 500
    asked: list[int] = []
    memory = store.connection.async_memory
    apply = memory.engine.apply

    class Counting:
        async def apply(self, batch: Any) -> Any:
            answers = await apply(batch)
            asked.append(sum(len(getattr(answer, "items", ())) for answer in answers))
            return answers

    counted = BotWireKnowledgeStore(client=AsyncMemory(namespace, engine=Counting()))  # type: ignore[arg-type]
    assert await counted.read_range("/log.jsonl", 4990) == "000000499\n"
    assert await counted.read_range("/log.jsonl", 0, 10) == "000000000\n"
    assert sum(asked) <= 2 * (200 + 1)  # a page each, of 500
    asked.clear()
    await counted.append("/log.jsonl", "x")
    await counted.append("/log.jsonl", "y")
    assert len(asked) == 4  # two to find the end, once


async def test_a_folder_of_many_files_is_deleted_in_several_requests(
    server_url: str, namespace: str
) -> None:
    store = BotWireKnowledgeStore(namespace, url=server_url)
    memory = Memory(namespace, url=server_url)
    await store.write("/notes/0", "x")
    ((name, items),) = [
        (one.name, memory.history(one.name).tail(1)) for one in memory.list_histories()
    ]
    with memory.transaction() as tx:
        for number in range(1, 5_001):  # deleting each takes two operations of at most 10,000
            tx.history(name.removesuffix("0") + str(number)).extend(items)
    assert len(await store.list("/notes")) == 5_001
    await store.delete("/notes")
    assert await store.list("/") == []


async def test_what_another_store_does_to_a_file_is_noticed_by_the_next_append(
    store: BotWireKnowledgeStore, place_url: str, namespace: str
) -> None:
    other = BotWireKnowledgeStore(namespace, url=place_url)
    assert await store.append("/a/x", "12345") == 0
    await other.delete("/a")
    assert await store.append("/a/x", "678") == 0
    assert await other.append("/a/x", "9") == 3
    assert await store.append("/a/x", "0") == 4
    await other.write("/a/x", "new")
    assert await store.append("/a/x", "er") == 3
    assert await other.read("/a/x") == "newer"


CROWD = """
import asyncio, os, sys
from botwire_ag2 import BotWireKnowledgeStore

async def main(me):
    store = BotWireKnowledgeStore(sys.argv[2], url=sys.argv[1])
    for i in range(12):
        line = f"{me} {i} ä\\n"
        offset = await store.append("/log.jsonl", line)
        found = await store.read_range("/log.jsonl", offset, offset + len(line.encode()))
        assert found == line, (found, line)

children = []
for me in range(3):
    if (child := os.fork()) == 0:
        asyncio.run(main(me))
        os._exit(0)
    children.append(child)
assert all(os.waitpid(child, 0)[1] == 0 for child in children)
"""


@pytest.mark.parametrize("place", ["embedded", "server_url", "postgres_url"])
async def test_processes_append_and_no_byte_is_lost(
    request: pytest.FixtureRequest, zygote: Zygote, tmp_path: Path, namespace: str, place: str
) -> None:
    url = f"sqlite:///{tmp_path / 'memory.db'}"
    if place != "embedded":
        url = request.getfixturevalue(place)
    assert await asyncio.to_thread(zygote.run, CROWD, url, namespace) == 0
    content = await BotWireKnowledgeStore(namespace, url=url).read("/log.jsonl")
    assert content is not None
    lines = content.splitlines()
    assert len(lines) == 36
    for me in "012":
        mine = [line for line in lines if line.startswith(me)]
        assert mine == [f"{me} {i} ä" for i in range(12)]


WRITER = """
import asyncio, sys
from botwire_ag2 import BotWireKnowledgeStore

async def main():
    store = BotWireKnowledgeStore(sys.argv[2], url=sys.argv[1])
    await store.write("/elsewhere.md", "x")
    await store.write("/notes*", "x")
    await store.append("/notes/a.md", "x")
    await store.write("/notes/deep/b.md", "y")
    await store.delete("/notes/a.md")

asyncio.run(main())
"""


async def test_changes_of_another_process_are_seen(
    store: BotWireKnowledgeStore, zygote: Zygote, place_url: str, namespace: str
) -> None:
    await store.write("/notes/before.md", "x")
    seen: asyncio.Queue[str] = asyncio.Queue()
    subscription = await store.on_change("/notes", seen.put)
    assert await asyncio.to_thread(zygote.run, WRITER, place_url, namespace) == 0
    async with asyncio.timeout(PATIENCE):
        found = [await seen.get() for _ in range(4)]
    # A delete is two changes: see `BotWireKnowledgeStore.delete`.
    assert found == ["/notes/a.md", "/notes/deep/b.md", "/notes/a.md", "/notes/a.md"]
    await subscription.close()
    await store.write("/notes/after.md", "x")
    await asyncio.sleep(0.1)
    assert seen.empty()


async def test_a_callback_that_fails_and_a_server_that_restarts_do_not_end_it(
    tmp_path: Path, namespace: str, unused_tcp_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    database, port = tmp_path / "memory.db", ("--port", str(unused_tcp_port))
    seen: asyncio.Queue[str] = asyncio.Queue()

    async def callback(path: str) -> None:
        await seen.put(path)
        raise OSError("of the callback's own")

    with start_server(database, *port) as server:
        client = AsyncMemory(namespace, url=read_url(server), timeout=5)
        store = BotWireKnowledgeStore(client=client, poll=0.02)
        subscription = await store.on_change("/", callback)
        await store.write("/one", "x")
        async with asyncio.timeout(PATIENCE):
            assert await seen.get() == "/one"
        server.kill()
        server.wait()
        with pytest.raises(TransportError):
            await store.read("/one")
    with start_server(database, *port) as again:
        read_url(again)
        await store.write("/two", "x")
        async with asyncio.timeout(PATIENCE):
            assert await seen.get() == "/two"
        assert await store.read("/one") == "x"
        await subscription.close()
        again.terminate()
    assert "of the callback's own" in caplog.text


AGENT = """
import asyncio, os, signal, sys
from ag2 import Agent, KnowledgeConfig
from ag2.events import ToolCallEvent
from ag2.testing import TestConfig
from botwire_ag2 import BotWireKnowledgeStore

async def main():
    store = BotWireKnowledgeStore(sys.argv[2], url=sys.argv[1])
    agent = Agent("a", config=TestConfig("noted"), knowledge=KnowledgeConfig(store))
    await agent.ask("I am Ada")
    await store.write("/memory/working.md", "The user is Ada.")
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_what_an_agent_keeps_is_there_after_its_process_was_killed(
    zygote: Zygote, place_url: str, namespace: str
) -> None:
    status = await asyncio.to_thread(zygote.run, AGENT, place_url, namespace)
    assert status == -signal.SIGKILL
    store = BotWireKnowledgeStore(namespace, url=place_url)
    (log,) = [name for name in await store.list("/log") if name.endswith(".jsonl")]
    assert "I am Ada" in (await store.read(f"/log/{log}") or "")
    assert "SKILL.md" in await store.list()
    config = TestConfig("you are Ada")
    prompts: list[str] = []
    create = config.create

    class Client:
        async def __call__(self, messages: Any, context: Any, **options: Any) -> Any:
            prompts.extend(context.prompt)
            return await create()(messages, context=context, **options)

    config.create = Client  # type: ignore[method-assign,assignment]
    agent = Agent(
        "a",
        config=config,
        knowledge=KnowledgeConfig(store, expose_tool=False),
        assembly=[WorkingMemoryPolicy()],
    )
    reply = await agent.ask("who am I?")
    assert reply.body == "you are Ada"
    assert any("The user is Ada." in prompt for prompt in prompts)


async def test_a_hub_goes_on_in_another_process(
    store: BotWireKnowledgeStore, place_url: str, namespace: str
) -> None:
    # AG2's network stores everything in a KnowledgeStore, and its channels' logs with `append`.
    hub = await Hub.open(store, expectation_sweep_interval=0)
    ada = await hub.register(Agent("ada", config=TestConfig("thanks")))
    await hub.register(Agent("bob", config=TestConfig("12 degrees")))
    changed = asyncio.Event()

    async def notice(path: str) -> None:
        changed.set()

    subscription = await store.on_change("/", notice)
    channel = await ada.open(type=CONSULTING_TYPE, target="bob")
    await channel.send("how warm is it?")
    async with asyncio.timeout(PATIENCE):
        while EV_CHANNEL_CLOSED not in str(await hub.read_wal(channel.channel_id)):
            await changed.wait()
            changed.clear()
    await subscription.close()
    again = BotWireKnowledgeStore(namespace, url=place_url)
    other = await Hub.open(again, expectation_sweep_interval=0)
    log = [envelope.event_data.get("text") for envelope in await other.read_wal(channel.channel_id)]
    assert [text for text in log if text] == ["how warm is it?", "12 degrees"]
    assert {passport.name for passport in await other.list_agents()} == {"ada", "bob"}
    await other.close()
    await hub.close()


async def test_any_range_is_what_the_store_of_ag2_answers(place_url: str, namespace: str) -> None:
    stock, ours = MemoryKnowledgeStore(), BotWireKnowledgeStore(namespace, url=place_url)
    for store in (stock, ours):
        await store.write("/f", "ab")
        await store.append("/f", "cd")
    ends = [None, *range(-6, 7)]
    for path in ("/f", "/missing"):
        for start in range(-6, 7):
            for end in ends if path == "/f" and start in (-6, -3, 0, 2) else (None, 2):
                expected = await stock.read_range(path, start, end)
                assert await ours.read_range(path, start, end) == expected, (path, start, end)


async def test_ag2s_own_log_and_layout_are_kept_in_it(store: BotWireKnowledgeStore) -> None:
    await DefaultBootstrap().bootstrap(store, "helper")
    assert await store.list("/") == ["SKILL.md", "artifacts/", "log/", "memory/"]
    said = [ModelRequest([TextInput(text)]) for text in ("old", "older", "new")]
    stream_id = uuid4()
    for event in said[:2]:
        await EventLogWriter(store).persist_dropped(stream_id, [event])
    await EventLogWriter(store).persist(stream_id, said[2:])
    assert await EventLogWriter(store).load(stream_id) == said


async def test_wrong_arguments_are_refused(store: BotWireKnowledgeStore) -> None:
    wrong: Any
    for wrong, says in (
        ({"prefix": 5}, "a prefix must be a string, not int: 5"),
        ({"poll": "x"}, "poll must be a number of seconds above 0, not 'x'"),
        ({"poll": 0}, "poll must be a number of seconds above 0, not 0"),
    ):
        with pytest.raises(ConfigurationError, match=says):
            BotWireKnowledgeStore("n", **wrong)
    wrong = 5
    for call, says in (
        (store.read(wrong), "a path must be a string"),
        (store.write("/f", wrong), "content must be a string, not int: 5"),
        (store.append("/f", wrong), "content must be a string, not int: 5"),
        (store.list(wrong), "a path must be a string"),
        (store.read_range("/f", "x"), "start must be an int"),  # type: ignore[arg-type]
        (store.read_range("/f", 0, "x"), "end must be an int"),  # type: ignore[arg-type]
    ):
        with pytest.raises(ConfigurationError, match=says):
            await call
    assert await store.list("/") == []


async def test_an_empty_prefix_is_the_whole_namespace(place_url: str, namespace: str) -> None:
    store = BotWireKnowledgeStore(namespace, url=place_url, prefix="")
    await store.write("/a/b.txt", "text")
    assert (await store.list("/"), await store.read("/a/b.txt")) == (["a/"], "text")
