"""An agent remembers across sessions, and a failing memory never loses a run."""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from agent_framework import Agent, AgentSession, Message

from botwire import AsyncMemory, ConfigurationError, TransportError
from botwire_agent_framework import BotWireContextProvider, BotWireHistoryProvider
from tests.scripted_agent import ScriptedClient

PATIENCE = 60  # seconds, on a busy machine


async def run(said: str, *providers: Any, session_id: str = "s", answer: str = "noted") -> Any:
    """Runs an agent once and returns the messages that its model was shown."""
    client = ScriptedClient(answer)
    agent = Agent(client=client, context_providers=[*providers])
    await agent.run(said, session=AgentSession(session_id=session_id))
    return client.received[0]


async def test_what_a_user_said_is_told_in_the_users_other_sessions(
    place_url: str, namespace: str
) -> None:
    def providers() -> tuple[Any, Any]:
        place: Any = {"namespace": namespace, "url": place_url}
        context = BotWireContextProvider(**place, user="ada", recall_timeout=PATIENCE)
        return BotWireHistoryProvider(**place), context

    await run("My cat is called Turing.", *providers(), session_id="one")
    shown = await run("What is my cat called?", *providers(), session_id="two")
    assert len(shown) == 2
    assert "- My cat is called Turing." in shown[0].text
    attribution = shown[0].additional_properties["_attribution"]
    assert attribution["origin_session_ids"] == ["one"]
    # It is not part of the conversation, and nothing in the conversation is repeated.
    again = await run("And my dog?", *providers(), session_id="one")
    assert [m.text for m in again if "Turing" in m.text] == ["My cat is called Turing."]
    assert "- What is my cat called?" in again[2].text


async def test_a_long_input_is_kept_in_several_requests(server_url: str, namespace: str) -> None:
    context = BotWireContextProvider(namespace, url=server_url, user="ada")
    texts = [f"{number} " + "tea " * 220_000 for number in range(20)]
    agent = Agent(client=ScriptedClient("noted"), context_providers=[context])
    await agent.run([Message("user", [text]) for text in texts], session=AgentSession())
    memory = context.connection.memory
    assert [memory.records(name).count() for name in memory.list_collections()] == [len(texts)]


async def test_no_user_is_told_what_another_one_said(place_url: str, namespace: str) -> None:
    odd = ["a", "A", "a/b", "a%2Fb", "/a", " ", "..", "ä", "%"]
    for user in odd:
        memory = BotWireContextProvider(namespace, url=place_url, recall_timeout=PATIENCE)
        assert len(await run(f"my PIN is {user}", memory, session_id=user)) == 1
    for user in odd:
        shown = await run("what do you know?", memory, session_id=user)
        assert shown[0].text.splitlines()[1:] == [f"- my PIN is {user}"]
    await memory.clear(user="a")
    assert len(await run("?", memory, session_id="a")) == 1
    assert len(await run("?", memory, session_id="a/b")) == 2
    by_state = BotWireContextProvider(
        namespace,
        url=place_url,
        user=lambda session: session.state["user"],
        recall_timeout=PATIENCE,
    )
    await by_state.add("likes tea", user="ada")
    client = ScriptedClient("ok", "ok")
    agent = Agent(client=client, context_providers=[by_state])
    for user in ("ada", "bob"):
        session = AgentSession(session_id=f"s-{user}")
        session.state["user"] = user
        await agent.run("?", session=session)
    assert "likes tea" in client.received[0][0].text
    assert len(client.received[1]) == 1
    with pytest.raises(ConfigurationError, match="whose"):
        await by_state.add("likes coffee")


@pytest.mark.parametrize(
    ("remember", "kept"),
    [("inputs", ["hi"]), ("all", ["hi", "hello"]), ("nothing", [])],
)
async def test_what_is_kept_is_chosen(
    place_url: str, namespace: str, remember: Any, kept: list[str]
) -> None:
    memory = BotWireContextProvider(
        namespace, url=place_url, remember=remember, recall_timeout=PATIENCE
    )
    await run("hi", memory, answer="hello")
    records = await memory.connection.async_memory.records("memories").list()
    assert sorted(record.text for record in records) == sorted(kept)
    await memory.clear()
    await memory.add("by hand", {"about": "ada"}, user="one")
    shown = await run("?", memory, session_id="one")
    assert "- by hand" in shown[0].text


async def test_it_is_found_by_words_by_meaning_and_by_filters(
    place_url: str, namespace: str
) -> None:
    async def embed(texts: list[str]) -> list[list[float]]:
        drinks = ("tea", "coffee", "thirsty")
        return [[1.0, 0.1] if any(d in t for d in drinks) else [0.1, 1.0] for t in texts]

    def memory(**options: Any) -> BotWireContextProvider:
        place: dict[str, Any] = {"namespace": namespace, "url": place_url}
        place["recall_timeout"] = PATIENCE
        return BotWireContextProvider(**place, k=1, user="u", remember="nothing", **options)

    for text, about in (("Ada likes tea", "ada"), ("Bob cycles", "bob"), ("The sky", "sky")):
        await memory(embedder=embed).add(text, {"about": about})
    for said, options, told in (
        ("Does Bob cycle?", {}, "Bob cycles"),
        ("I am thirsty", {"embedder": embed}, "Ada likes tea"),
        ("Does Bob cycle?", {"filter": {"about": "ada"}}, "Ada likes tea"),
        ("quantum", {}, "The sky"),
    ):
        shown = await run(said, memory(**options))
        assert shown[0].text.splitlines()[1:] == [f"- {told}"]


@pytest.fixture
def silent_url() -> Iterator[str]:
    """The URL of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


async def test_a_run_goes_on_when_nobody_answers(
    silent_url: str, unused_tcp_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    for url in (silent_url, f"http://127.0.0.1:{unused_tcp_port}"):
        caplog.clear()
        client = AsyncMemory("n", url=url, timeout=5)
        options: dict[str, Any] = {"client": client, "recall_timeout": 0.3, "remember": "nothing"}
        with caplog.at_level(logging.WARNING, "botwire.agent_framework"):
            assert len(await run("hi", BotWireContextProvider(**options))) == 1
        assert "continues without" in caplog.text
        with pytest.raises((TransportError, TimeoutError)):
            await run("hi", BotWireContextProvider(**options, strict=True))


async def test_what_could_not_be_kept_is_an_error(unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    client = AsyncMemory("n", url=url, timeout=0.3)
    with pytest.raises(TransportError, match=re.escape(url)):
        await run("hi", BotWireContextProvider(client=client, recall_timeout=0.1))


@pytest.mark.parametrize(
    "arguments",
    [
        {"k": 0},
        {"remember": "x"},
        {"recall_timeout": 0},
        {"recall_timeout": "x"},
        {"k": "x"},
        {"k": True},
        {"embedder": 5},
        {"prompt": 5},
        {"filter": {"$x": 1}},
        {"name": ""},
        {"user": ""},
    ],
    ids=str,
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        BotWireContextProvider("n", **arguments)
    assert "bw_secret" not in repr(
        BotWireContextProvider("n", url="http://127.0.0.1:1", api_key="bw_secret")
    )
