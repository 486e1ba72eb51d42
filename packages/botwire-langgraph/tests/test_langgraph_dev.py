"""LangGraph's own server, `langgraph dev`, with the checkpointer and the store of the README."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

pytest.importorskip("langgraph_api", reason="it needs newer releases than the oldest tested here")

from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from botwire_langgraph import BotWireSaver

_START_SECONDS = 120
_BLOCK = re.compile(r"## With `langgraph dev`.*?```json\n(.*?)```.*?```python\n(.*?)```", re.DOTALL)
_README = Path(__file__).parent.parent / "README.md"
_AGENT = """
import asyncio

from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.store.base import BaseStore


async def answer(state: MessagesState, *, store: BaseStore):
    said = state["messages"][-1].content
    await store.aput(("heard",), "last", {"said": said})
    if said.startswith("wait"):
        await asyncio.Event().wait()
    return {"messages": [AIMessage(f"{len(state['messages'])} heard")]}


agent = StateGraph(MessagesState).add_node(answer).add_edge(START, "answer").compile()
"""


@asynccontextmanager
async def dev(folder: Path, port: int, url: str) -> AsyncIterator[LangGraphClient]:
    """Runs LangGraph's server in a folder, kills it in the end."""
    command = ["langgraph_cli", "dev", "--no-browser", "--no-reload", "--port", str(port)]
    settings = {"BOTWIRE_URL": url, "LANGGRAPH_CLI_NO_ANALYTICS": "1", "LANGSMITH_TRACING": "false"}
    with (folder / "dev.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", *command),
            cwd=folder,
            env={**os.environ, **settings},
            stdout=log,
            stderr=log,
        )
    try:
        async with get_client(url=f"http://127.0.0.1:{port}") as client:
            async with asyncio.timeout(_START_SECONDS):
                while not await _is_up(client):
                    assert process.returncode is None, (folder / "dev.log").read_text()
                    await asyncio.sleep(0.1)
            yield client
    finally:
        process.kill()
        await process.wait()


async def _is_up(client: LangGraphClient) -> bool:
    try:
        await client.assistants.search(limit=1)
    except Exception:  # noqa: BLE001 - of whichever kind, it does not answer yet
        return False
    return True


async def heard(client: LangGraphClient, said: str) -> None:
    """Returns once the graph has been told something."""
    while True:
        item = await client.store.get_item(("heard",), "last")
        if item is not None and item["value"]["said"] == said:
            return
        await asyncio.sleep(0.02)


def said(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


def texts(state: Any) -> list[str]:
    return [message["content"] for message in state["messages"]]


async def test_it_remembers(tmp_path: Path, namespace: str, unused_tcp_port: int) -> None:
    place: Any = {"namespace": namespace, "url": f"sqlite:///{tmp_path / 'memory.db'}"}
    found = _BLOCK.search(_README.read_text())
    assert found is not None
    (tmp_path / "langgraph.json").write_text(found[1])
    (tmp_path / "memory.py").write_text(found[2].replace("my-app", place["namespace"]))
    (tmp_path / "agent.py").write_text(_AGENT)

    async with dev(tmp_path, unused_tcp_port, place["url"]) as client:
        thread = (await client.threads.create())["thread_id"]
        state = await client.runs.wait(thread, "agent", input=said("I am Ada."))
        assert texts(state) == ["I am Ada.", "1 heard"]
        # A second request while one is answered, as the server's users choose.
        choices: dict[Literal["interrupt", "rollback"], list[str]]
        choices = {"interrupt": ["wait 1"], "rollback": []}
        for strategy, kept in choices.items():
            text = f"wait {len(texts(state)) // 2}"
            await client.runs.create(thread, "agent", input=said(text))
            await heard(client, text)
            before = texts(state)
            state = await client.runs.wait(
                thread, "agent", input=said(strategy), multitask_strategy=strategy
            )
            assert texts(state)[len(before) : -1] == [*kept, strategy]
        before = texts(state)
        await client.runs.create(thread, "agent", input=said("wait for the end"))
        await heard(client, "wait for the end")
        log = (tmp_path / "dev.log").read_text()

    assert "BotWireSaver" in log
    assert "Traceback" not in log
    for file in (tmp_path / ".langgraph_api").iterdir():  # what the server itself keeps
        file.unlink()
    async with dev(tmp_path, unused_tcp_port, place["url"]) as client:
        await client.threads.create(thread_id=thread)
        state = await client.runs.wait(thread, "agent", input=said("Who am I?"))
        assert texts(state)[:-1] == [*before, "wait for the end", "Who am I?"]
        saver = BotWireSaver(**place)
        assert saver.list_threads() == [thread]
        await client.threads.delete(thread)
        assert saver.list_threads() == []
