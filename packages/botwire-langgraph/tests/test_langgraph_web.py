"""A web application streams a run to a client that leaves, which is how most users press Stop."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

_APP = """
import asyncio, os, sys

import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph

from botwire_langgraph import BotWireSaver

namespace, url, loop = sys.argv[1:4]


async def answer(state: MessagesState):
    said = state["messages"][-1].content
    if said.startswith("wait"):
        await asyncio.Event().wait()
    return {"messages": [AIMessage("heard " + said)]}


saver = BotWireSaver(namespace, url=url)
graph = StateGraph(MessagesState).add_node(answer).add_edge(START, "answer").compile(saver)
app = FastAPI()


@app.get("/say/{text}")
def say(text: str) -> StreamingResponse:
    async def lines():
        config = {"configurable": {"thread_id": "ada"}}
        given = {"messages": [("user", text)]}
        async for state in graph.astream(given, config, stream_mode="values"):
            yield state["messages"][-1].content + "\\n"

    return StreamingResponse(lines())


@app.get("/running")
async def running() -> bool:
    return await saver.ais_running("ada")


async def serve():
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", loop=loop))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    print(server.servers[0].sockets[0].getsockname()[1], flush=True)
    await serving


if loop == "uvloop":
    import uvloop

    uvloop.run(serve())
else:
    asyncio.run(serve())
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_client_that_leaves_can_go_on_at_once(tmp_path: Path, place: Any, loop: str) -> None:
    program = tmp_path / "app.py"
    program.write_text(_APP)
    command = [sys.executable, str(program), place["namespace"], place["url"], loop]
    with (
        (tmp_path / "errors").open("w+") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as web,
    ):
        try:
            assert web.stdout is not None
            url = f"http://127.0.0.1:{web.stdout.readline().strip()}"
            with httpx.Client(base_url=url, timeout=60) as client:
                for number in range(2):
                    assert say(client, f"wait {number}", 1) == [f"wait {number}"]
                    text = f"go on {number}"
                    assert say(client, text, 3) == [text, f"heard {text}"]
                assert client.get("/running").json() is False
        finally:
            web.kill()
        errors.seek(0)
        assert "Error" not in errors.read()


def say(client: httpx.Client, text: str, most: int) -> list[str]:
    """Says something, reads so many lines of the answer, and leaves."""
    with client.stream("GET", f"/say/{text}") as response:
        return [*itertools.islice(response.iter_lines(), most)]
