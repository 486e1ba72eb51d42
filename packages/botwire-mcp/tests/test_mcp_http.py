"""`/mcp` of a real server: the usual rights, namespaces and limits."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from botwire import Memory

HEADERS = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}


@asynccontextmanager
async def connect(url: str, mode: str, key: str | None = None) -> AsyncIterator[Client]:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    async with (
        httpx2.AsyncClient(headers=headers) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        yield client


def post(url: str, **headers: str) -> httpx2.Response:
    return httpx2.post(url, headers={**HEADERS, **headers}, content=json.dumps(LIST))


async def test_every_tool_over_http(server_url: str, namespace: str, mode: str) -> None:
    url = f"{server_url}/mcp?namespace={namespace}"
    async with connect(url, mode) as client:
        assert len((await client.list_tools()).tools) == 9
        await client.call_tool("remember", {"text": "Ada likes tea"})
        for tool, arguments in (
            ("recall", {"query": "tea"}),
            ("list", {}),
            ("set", {"key": "k", "value": 1}),
            ("get", {"key": "k"}),
            ("memory", {"command": "view", "path": "/memories"}),
            ("history", {"history": "h"}),
            ("forget", {"key": "k"}),
        ):
            result = await client.call_tool(tool, arguments)
            assert not result.is_error, result.content
    with Memory(namespace, url=server_url) as memory:
        assert [record.text for record in memory.records().list()] == ["Ada likes tea"]
        assert memory.get("k") == 1
    async with connect(f"{url}&read_only=1&tools=recall,set", mode) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["recall"]


def test_half_of_a_character_is_replaced(server_url: str, namespace: str) -> None:
    url = f"{server_url}/mcp?namespace={namespace}"
    for id, text in enumerate(("\U0001f375 whole", "cut \ud83c", "\\ud83c said")):
        arguments = {"name": "remember", "arguments": {"text": text}}
        call = {"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": arguments}
        headers = {**HEADERS, "MCP-Protocol-Version": "2025-06-18"}
        answer = httpx2.post(url, headers=headers, content=json.dumps(call))
        assert '"isError":false' in answer.text
    with Memory(namespace, url=server_url) as memory:
        kept = {record.text for record in memory.records().list()}
    assert kept == {"\U0001f375 whole", "cut \ufffd", "\\ud83c said"}


async def test_a_key_has_its_namespaces_and_its_right(
    keyed: tuple[str, dict[str, str], str], mode: str
) -> None:
    url, keys, _ = keyed
    async with connect(f"{url}/mcp", mode, keys["ada"]) as client:  # the one that it allows
        result = await client.call_tool("set", {"key": mode, "value": 1})
        assert not result.is_error, result.content
    with Memory("ada", url=url, api_key=keys["all"]) as memory:
        assert memory.get(mode) == 1
    async with connect(f"{url}/mcp?namespace=bob", mode, keys["ada"]) as client:
        for tool, arguments in (("recall", {}), ("list", {}), ("set", {"key": "k", "value": 1})):
            result = await client.call_tool(tool, arguments)
            assert result.is_error
            assert "does not have the right" in result.content[0].text
    async with connect(f"{url}/mcp", mode, keys["reader"]) as client:
        assert not (await client.call_tool("get", {"key": mode})).is_error
        assert (await client.call_tool("set", {"key": "k", "value": 1})).is_error


def test_who_may_connect(keyed: tuple[str, dict[str, str], str], server_url: str) -> None:
    url, keys, _ = keyed
    assert post(f"{url}/mcp").status_code == 401
    refused = post(f"{url}/mcp", Authorization="Bearer bw_unknown")
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith("Bearer")
    good = {"Authorization": f"Bearer {keys['all']}"}
    assert post(f"{url}/mcp", **good).status_code == 200
    # A page of another site, and a page whose own name resolves to this machine.
    assert post(f"{url}/mcp", **good, Origin="https://evil.example").status_code == 403
    assert post(f"{server_url}/mcp", Origin="https://evil.example").status_code == 403
    rebound = {"Host": "evil.example", "Origin": "http://evil.example"}
    assert post(f"{server_url}/mcp", **rebound).status_code == 401
    assert post(f"{server_url}/mcp").status_code == 200


def test_wrong_urls_and_methods_are_refused(server_url: str) -> None:
    assert "no tool 'x'" in post(f"{server_url}/mcp?tools=x").text
    assert post(f"{server_url}/mcp?tools=x").status_code == 400
    assert httpx2.get(f"{server_url}/mcp", headers=HEADERS).status_code == 405
    assert httpx2.delete(f"{server_url}/mcp").status_code == 405
    assert post(f"{server_url}/mcpx").status_code == 404
    assert post(f"{server_url}/mcp?namespace=botwire%00").status_code in (200, 400)


async def test_quotas_and_the_log_are_as_everywhere(keyed: tuple[str, dict[str, str], str]) -> None:
    url, keys, _ = keyed
    async with connect(f"{url}/mcp?namespace=secret-name", "auto", keys["two writes"]) as client:
        answers: list[Any] = [
            await client.call_tool("set", {"key": f"k{number}", "value": number})
            for number in range(3)
        ]
    assert [answer.is_error for answer in answers] == [False, False, True]
    metrics = httpx2.get(f"{url}/metrics", headers={"Authorization": f"Bearer {keys['admin']}"})
    assert 'route="/mcp"' in metrics.text
    assert "secret-name" not in metrics.text
