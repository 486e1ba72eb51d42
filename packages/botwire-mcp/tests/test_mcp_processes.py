"""Servers in separate processes, over stdio: none loses what another acknowledged."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from botwire import Memory
from botwire_mcp import create_server
from botwire_mcp.cli import main
from tests.programs import EXAMPLES, run_example
from tests.zygote import Zygote

Stdio = Callable[..., StdioServerParameters]

MODES = ("auto", "legacy", "auto")
WRITES = 10
LOG = "/memories/log.md"
INFO = {"name": "a test", "version": "1"}


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    """The store that the servers share."""
    with Memory("default", url=f"sqlite:///{tmp_path / 'memory.db'}") as memory:
        yield memory


async def test_what_many_processes_write_is_all_kept(memory: Memory, stdio: Stdio) -> None:
    acknowledged = []

    async def work(worker: int, mode: str) -> None:
        async with Client(stdio(), mode=mode) as client:
            for number in range(WRITES):
                text = f"worker {worker} wrote {number}"
                result = await client.call_tool("remember", {"text": text})
                assert not result.is_error
                line = {"insert_line": 0, "insert_text": text + "\n"}
                edit = {"command": "insert", "path": LOG, **line}
                result = await client.call_tool("memory", edit)
                assert not result.is_error, result.content
                acknowledged.append(text)

    memory.set(LOG, "")
    await asyncio.gather(*(work(*one) for one in enumerate(MODES)))
    assert len(acknowledged) == len(MODES) * WRITES
    kept = [record.text for record in memory.records().list()]
    assert sorted(kept) == sorted(acknowledged)
    assert sorted(memory.get(LOG).splitlines()) == sorted(acknowledged)


def test_half_of_a_character_is_replaced(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'memory.db'}"
    command = [sys.executable, "-m", "botwire_mcp", "--url", store]
    client = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": INFO}
    texts = {2: "\U0001f375 whole", 3: "cut \ud83c", 4: "\\ud83c said"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def send(**message: Any) -> None:
            process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
            process.stdin.flush()

        send(id=1, method="initialize", params=client)
        assert json.loads(process.stdout.readline())["id"] == 1
        send(method="notifications/initialized")
        for id, text in texts.items():
            arguments = {"name": "remember", "arguments": {"text": text}}
            send(id=id, method="tools/call", params=arguments)
            assert not json.loads(process.stdout.readline())["result"]["isError"]
        process.stdin.close()
        assert process.wait(60) == 0
    with Memory("default", url=store) as memory:
        kept = {record.text for record in memory.records().list()}
    assert kept == {"\U0001f375 whole", "cut \ufffd", "\\ud83c said"}


async def test_a_killed_server_has_kept_what_it_acknowledged(memory: Memory, stdio: Stdio) -> None:
    acknowledged: list[str] = []
    pid = ""
    parameters = stdio()
    # A shell hides the process to kill, so the process prints its id.
    program = "import os, sys; print(os.getpid(), file=sys.stderr, flush=True); "
    program += "from botwire_mcp.cli import main; main([])"
    parameters.args = ["-c", program]
    read_end, write_end = os.pipe()
    with os.fdopen(read_end) as told, os.fdopen(write_end, "w") as errlog:
        with pytest.raises(BaseException) as failure:  # noqa: PT011 - how is the SDK's choice
            async with Client(stdio_client(parameters, errlog=errlog)) as client:
                pid = told.readline()
                async with asyncio.timeout(30):
                    for number in range(1_000):
                        if number == 20:
                            os.kill(int(pid), signal.SIGKILL)
                        await client.call_tool("remember", {"text": f"note {number}"})
                        acknowledged.append(f"note {number}")
        assert not failure.errisinstance(TimeoutError)
    assert len(acknowledged) >= 20
    kept = {record.text for record in memory.records().list()}
    assert kept >= set(acknowledged)
    server = create_server("default", url=parameters.env["BOTWIRE_URL"])
    async with Client(server) as client:  # the next one continues
        result = await client.call_tool("remember", {"text": "note 0"})
        assert result.structured_content["new"] is False


async def test_a_client_that_cancels_leaves_the_server_serving(stdio: Stdio) -> None:
    """The server respects its options."""
    async with Client(stdio("--tools", "list,remember", "-N", "other")) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["remember", "list"]
        for number in range(10):
            task = asyncio.create_task(client.call_tool("remember", {"text": f"{number}"}))
            await asyncio.sleep(0)  # it has begun
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        async with asyncio.timeout(20):
            for number in range(10):
                await client.call_tool("remember", {"text": f"{number}"})
            result = await client.call_tool("list", {})
        counts = result.structured_content["counts"]
        assert (counts["namespace"], counts["notes"]) == ("other", 10)


def test_the_example(zygote: Zygote, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'memory.db'}"
    said = "Ada prefers tea."
    assert run_example(zygote, EXAMPLES / "mcp_runs/two_agents.py", said, url) == said


@pytest.mark.parametrize(
    ("options", "said"),
    [(["--tools", "x"], "there is no tool 'x'"), (["--url", "ftp://x"], "no engine handles")],
)
def test_wrong_options_are_refused(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(options) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert not printed.out
