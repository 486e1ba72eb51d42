"""Resources and subscriptions: every client is notified of changes by any process."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import SubscriptionLost
from mcp.shared.exceptions import MCPDeprecationWarning
from mcp.types import ResourceUpdatedNotification

from botwire import AsyncMemory, Memory, scopes
from botwire.messages import Message
from botwire.models import Change
from botwire_mcp import create_server
from botwire_mcp.resources import KINDS, Address
from botwire_mcp.subscriptions import Feed, Subscriber
from botwire_mcp.tool import RefusedError
from conftest import read_url, running

PATIENCE = 10.0
NAMES = ["plain", "a/b c", "/memories/x.md", "é\ud800%2F", "botwire://keys/x", "*", "q?x#y"]


async def read(client: Client, uri: str) -> Any:
    (contents,) = (await client.read_resource(uri, cache_mode="bypass")).contents
    return contents


class Told:
    """The URIs of the notifications that a client got."""

    def __init__(self) -> None:
        self.uris: asyncio.Queue[str] = asyncio.Queue()

    async def __call__(self, message: Any) -> None:
        if isinstance(message, ResourceUpdatedNotification):
            self.uris.put_nowait(message.params.uri)

    def by(self, mode: str) -> Any:
        """Receives each message of a client; new clients subscribe with `listen`."""
        return self if mode == "legacy" else None

    async def next(self) -> str:
        async with asyncio.timeout(PATIENCE):
            return await self.uris.get()


@asynccontextmanager
async def subscribed(client: Client, told: Told, *uris: str) -> AsyncIterator[None]:
    """Subscribes as the client's protocol version requires."""
    if client.session.protocol_version < "2026":
        for uri in uris:
            with pytest.warns(MCPDeprecationWarning):
                await client.session.subscribe_resource(uri)
        yield
        for uri in uris:
            with pytest.warns(MCPDeprecationWarning):
                await client.session.unsubscribe_resource(uri)
        return
    async with client.listen(resource_subscriptions=uris) as events:
        assert events.honored.resource_subscriptions == list(uris)

        async def pass_on() -> None:
            async for event in events:
                told.uris.put_nowait(event.uri)

        task = asyncio.create_task(pass_on())
        yield
        task.cancel()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_every_name_has_a_uri(kind: Any, name: str) -> None:
    name = scopes.normalise(name) if kind == "notes" else name
    address = Address(kind, name)
    assert address.uri.isascii()
    assert Address.parse(address.uri, KINDS) == address


@pytest.mark.parametrize(
    "uri", ["", "botwire://", "botwire://keys/", "botwire://x/y", "keys/x", "http://keys/x"]
)
def test_other_uris_name_nothing(uri: str) -> None:
    with pytest.raises(RefusedError, match="there is no resource"):
        Address.parse(uri, KINDS)


def test_a_uri_that_is_not_utf_8_names_nothing_that_exists() -> None:
    assert Address.parse("botwire://keys/a%ff", KINDS) == Address("keys", "a\ufffd")


def test_what_a_change_touches() -> None:
    for uri, change, touched in (
        ("botwire://keys/a%2Fb", ("key", "put", "a/b"), True),
        ("botwire://keys/a%2Fb", ("key", "put", "a"), False),
        ("botwire://keys/a%2Fb", ("key", "clear", "a/"), True),
        ("botwire://keys/a%2Fb", ("key", "clear", "b"), False),
        ("botwire://keys/a%2Fb", ("history", "append", "a/b"), False),
        ("botwire://keys/a%2Fb", ("namespace", "reset", ""), True),
        ("botwire://histories/h", ("history", "clear", "h"), True),
        ("botwire://histories/h", ("history", "append", "h2"), False),
        ("botwire://notes/x", ("record", "put", "default"), True),
        ("botwire://notes", ("record", "put", "other"), False),
    ):
        assert Address.parse(uri, KINDS).is_touched_by(Change(1, *change)) == touched, (uri, change)


async def test_notes_keys_and_histories_are_listed_and_read(client: Client, place: Any) -> None:
    with Memory(**place) as memory:
        memory.remember("Ada likes tea", about="/people/ada")
        memory.remember("The port is 80", about="/projects")
        memory.set_many({"plan": {"step": 1}, "/memories/a.md": "one\n", "blob": b"\0\xff"})
        memory.history("chat/1").append(Message("user", "Hi").to_item())
    listed = (await client.list_resources()).resources
    assert [one.uri for one in listed] == [
        "botwire://notes",
        "botwire://notes/people",
        "botwire://notes/projects",
        "botwire://keys/%2Fmemories%2Fa.md",
        "botwire://keys/blob",
        "botwire://keys/plan",
        "botwire://histories/chat%2F1",
    ]
    for one in listed:
        assert (await read(client, one.uri)).uri == one.uri
    assert len(json.loads((await read(client, "botwire://notes")).text)["notes"]) == 2
    (note,) = json.loads((await read(client, "botwire://notes/people/ada")).text)["notes"]
    assert note["text"] == "Ada likes tea"
    plan = await read(client, "botwire://keys/plan")
    assert (plan.mime_type, json.loads(plan.text)) == ("application/json", {"step": 1})
    file = await read(client, "botwire://keys/%2Fmemories%2Fa.md")
    assert (file.mime_type, file.text) == ("text/plain", "one\n")
    assert base64.b64decode((await read(client, "botwire://keys/blob")).blob) == b"\0\xff"
    (message,) = json.loads((await read(client, "botwire://histories/chat%2F1")).text)["messages"]
    assert message["text"] == "Hi"
    templates = (await client.list_resource_templates()).resource_templates
    assert [one.uri_template for one in templates] == [
        "botwire://notes{+about}",
        "botwire://keys/{key}",
        "botwire://histories/{history}",
    ]
    for wrong in ("botwire://keys/none", "file:///etc/passwd"):
        with pytest.raises(MCPError, match="there is no"):
            await read(client, wrong)


async def test_lists_are_paged_and_contents_bounded(client: Client, place: Any) -> None:
    with Memory(**place) as memory:
        memory.set_many({f"k{number:03}": number for number in range(150)})
        memory.set_many({"long": "x" * 100_000, "nested": ["y"] * 50_000})
        for number in range(120):
            memory.history(f"h{number:03}").append(number)
    uris, cursor = [], None
    while True:
        page = await client.list_resources(cursor=cursor)
        assert len(page.resources) <= 100
        uris += [one.uri for one in page.resources]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert len(uris) == len(set(uris)) == 1 + 152 + 120
    for key in ("long", "nested"):
        contents = await read(client, f"botwire://keys/{key}")
        assert contents.mime_type == "text/plain"
        assert len(contents.text) < 21_000
        assert "more characters" in contents.text
    with pytest.raises(MCPError, match="cursor"):
        await client.list_resources(cursor="x")


async def test_resources_follow_the_tools(place: Any, mode_here: str) -> None:
    with Memory(**place) as memory:
        memory.set("secret", 1)
    server = create_server(**place, tools=["remember", "recall"])
    async with Client(server, mode=mode_here) as client:
        assert [one.uri for one in (await client.list_resources()).resources] == ["botwire://notes"]
        with pytest.raises(MCPError, match="there is no resource"):
            await read(client, "botwire://keys/secret")


async def test_the_prompt_teaches_the_tools_there_are(client: Client, place: Any) -> None:
    (prompt,) = (await client.list_prompts()).prompts
    got = await client.get_prompt(prompt.name, {"task": "Move to PostgreSQL"})
    text = got.messages[0].content.text
    assert "remember each decision" in text
    assert text.endswith("The task: Move to PostgreSQL")
    with pytest.raises(MCPError, match="there is no prompt"):
        await client.get_prompt("x")
    async with Client(create_server(**place, read_only=True)) as reader:
        text = (await reader.get_prompt(prompt.name)).messages[0].content.text
        assert "recall" in text
        assert "remember each decision" not in text


async def test_a_change_of_another_client_is_told(place: Any, mode_here: str) -> None:
    told = Told()
    uris = ("botwire://keys/plan", "botwire://notes/people", "botwire://histories/chat")
    with Memory(**place) as memory:
        handler = told.by(mode_here)
        async with (
            Client(create_server(**place), mode=mode_here, message_handler=handler) as client,
            subscribed(client, told, *uris),
        ):
            memory.set("other", 1)
            memory.set("plan", 1)
            assert await told.next() == uris[0]
            memory.remember("Ada likes tea", about="/people/ada")
            assert await told.next() == uris[1]
            memory.history("chat").append("hi")
            assert await told.next() == uris[2]
            memory.clear()
            assert await told.next() == uris[0]
        assert told.uris.empty()


async def test_over_stdio_a_change_of_another_process_is_told(
    stdio: Callable[..., StdioServerParameters], tmp_path: Path
) -> None:
    """Runs clients of both protocol versions at once, each with its own server."""
    with Memory("default", url=f"sqlite:///{tmp_path / 'memory.db'}") as memory:

        async def follow(mode: str) -> None:
            told, mine = Told(), f"botwire://keys/{mode}"
            async with Client(stdio(), mode=mode, message_handler=told.by(mode)) as client:
                async with subscribed(client, told, mine, "botwire://keys/b"):
                    memory.set(mode, 1)
                    assert await told.next() == mine
                async with subscribed(client, told, "botwire://keys/last"):
                    memory.set(mode, 2)
                    memory.set("last", mode)
                    assert await told.next() == "botwire://keys/last"
                answer = await client.call_tool("get", {"key": mode})
                assert answer.structured_content["value"] == 2

        await asyncio.gather(follow("legacy"), follow("auto"))


@asynccontextmanager
async def connect(url: str, key: str | None = None) -> AsyncIterator[Client]:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    async with (
        httpx2.AsyncClient(headers=headers) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        yield client


async def test_over_http_a_change_is_told(server_url: str, namespace: str) -> None:
    told = Told()
    url = f"{server_url}/mcp?namespace={namespace}"
    async with connect(url) as client, subscribed(client, told, "botwire://keys/a"):
        with Memory(namespace, url=server_url) as memory:
            memory.set("a", 1)
            assert await told.next() == "botwire://keys/a"
        assert json.loads((await read(client, "botwire://keys/a")).text) == 1


async def test_only_what_a_key_may_read_is_told(
    keyed: tuple[str, dict[str, str], str],
) -> None:
    url, keys, _ = keyed
    told = Told()
    async with connect(f"{url}/mcp?namespace=bob", keys["ada"]) as client:
        with pytest.raises(MCPError, match="does not have the right"):
            async with client.listen(resource_subscriptions=["botwire://keys/a"]):
                pass
    async with connect(f"{url}/mcp", keys["ada"]) as client:
        async with (
            subscribed(client, told, "botwire://keys/a"),
            subscribed(client, told, "botwire://keys/b"),
        ):
            async with client.listen(resource_subscriptions=["botwire://keys/a"]) as events:
                with pytest.raises(SubscriptionLost) as lost:
                    await anext(events)
            assert "2 watch streams open" in str(lost.value.__cause__)
            with Memory("ada", url=url, api_key=keys["all"]) as memory:
                memory.set("b", 1)
            assert await told.next() == "botwire://keys/b"
        async with subscribed(client, told, "botwire://keys/a"):
            pass  # the streams that ended no longer count


async def test_a_slow_client_holds_neither_memory_nor_others(place: Any) -> None:
    """One client never reads: its backlog does not grow, and another is notified at once."""
    slow, quick = (
        Subscriber({f"botwire://keys/{key}": Address("keys", key) for key in "ab"})
        for _ in range(2)
    )
    async with AsyncMemory(**place) as memory:
        feed = Feed(memory, lambda after: memory.watch(after=after))
        async with feed.subscribed(slow), feed.subscribed(quick), asyncio.timeout(PATIENCE):
            news = quick.news()
            for number in range(50):
                await memory.set_many({"a": number, "b": number})
                assert {await anext(news), await anext(news)} == set(slow.addresses)
            waiting = slow.news()
            assert {await anext(waiting), await anext(waiting)} == set(slow.addresses)
            held = asyncio.ensure_future(anext(waiting))
            await memory.set("a", "last")
            assert await held == "botwire://keys/a"


async def test_a_client_that_stops_reading_holds_no_other(server_url: str, namespace: str) -> None:
    """Over HTTP: one client's socket is full, and the server continues to serve all others."""
    told = Told()
    url = f"{server_url}/mcp?namespace={namespace}"
    keys = [f"{'k' * 1_000}{number}" for number in range(100)]
    async with connect(url) as client, subscribed(client, told, "botwire://keys/a"):
        dead = await open_stream(url, [f"botwire://keys/{key}" for key in keys])
        with Memory(namespace, url=server_url) as memory:
            for number in range(10):  # a megabyte of notifications
                memory.set_many(dict.fromkeys(keys, number))
                memory.set("a", number)
                assert await told.next() == "botwire://keys/a"
        dead.close()


async def open_stream(url: str, uris: list[str]) -> asyncio.StreamWriter:
    """Subscribes on a connection from which nothing is read after the first line."""
    address = httpx2.URL(url)
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "slow", "version": "1"},
    }
    params = {"notifications": {"resourceSubscriptions": uris}, "_meta": meta}
    body = json.dumps(
        {"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen", "params": params}
    )
    head = (
        f"POST {address.raw_path.decode()} HTTP/1.1\r\nHost: {address.host}:{address.port}\r\n"
        "Accept: application/json, text/event-stream\r\nContent-Type: application/json\r\n"
        "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: subscriptions/listen\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.connect((address.host, address.port))
        reader, writer = await asyncio.open_connection(sock=connection.dup(), limit=1_024)
    writer.write((head + body).encode())
    assert b"200" in await reader.readline()
    return writer


async def test_a_broken_watch_is_told_and_taken_up_again(tmp_path: Path) -> None:
    """The memory's server restarts: an old client is notified again, a new one must ask again.

    A server that stops in order ends the streams of its clients.
    """
    database, told = tmp_path / "memory.db", Told()
    with running(database) as process:
        url = read_url(process)
        server = create_server("default", url=url, timeout=2)
        port = url.rpartition(":")[2]
        async with (
            Client(server, mode="legacy", message_handler=told) as old,
            Client(server) as new,
            new.listen(resource_subscriptions=["botwire://keys/a"]) as events,
            subscribed(old, told, "botwire://keys/a"),
        ):
            process.kill()
            process.wait()
            with pytest.raises(SubscriptionLost):
                await anext(events)
            with running(database, "--port", port) as again:
                assert read_url(again) == url
                with Memory("default", url=url) as memory:
                    memory.set("a", 1)
                assert await told.next() == "botwire://keys/a"
                async with (
                    connect(f"{url}/mcp") as client,
                    client.listen(resource_subscriptions=["botwire://keys/a"]) as ending,
                ):
                    again.terminate()
                    async with asyncio.timeout(PATIENCE):
                        assert [event async for event in ending] == []  # gracefully, so no error
