"""MCP servers: notes of one memory, through server-memory and ours.

Each process starts a server of its own, as every MCP client does, and speaks to it over stdio.
`npm install --global @modelcontextprotocol/server-memory@2026.8.31` brings the other one.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from anyio.from_thread import start_blocking_portal
from mcp import Client, StdioServerParameters

from benchmarks.races.frame import Contender, MissingError, Place


class _Server(Contender):
    """Asks a server of its own to keep a note."""

    framework = "MCP"
    what = "a note"

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        program, *arguments = command
        server = StdioServerParameters(
            command=program, args=arguments, env={**os.environ, **environment}
        )
        self._stack = ExitStack()
        self._portal = self._stack.enter_context(start_blocking_portal())
        self._client: Any = self._stack.enter_context(
            self._portal.wrap_async_context_manager(Client(server, mode="legacy"))
        )

    def call(self, tool: str, **arguments: Any) -> Any:
        """Calls a tool and returns its answer; raises if the tool says that it failed."""
        result = self._portal.call(self._client.call_tool, tool, arguments)
        if result.is_error:
            raise RuntimeError(result.content[0].text)
        return result.structured_content or json.loads(result.content[0].text)

    def close(self) -> None:
        self._stack.close()


class OurServer(_Server):
    """Ours, on a file."""

    title = "botwire-mcp"
    distribution = "botwire-mcp"
    ours = True

    def __init__(self, place: Place) -> None:
        url = f"sqlite:///{place.folder / 'ours.db'}"
        super().__init__([sys.executable, "-m", "botwire_mcp"], {"BOTWIRE_URL": url})

    def write(self, token: str) -> None:
        self.call("remember", text=token)

    def tokens(self) -> Iterable[str]:
        after = 0
        while True:
            page = self.call("list", kind="notes", after=str(after), max_chars=100_000)
            yield from [note["text"] for note in page["names"]]
            after += len(page["names"])
            if "more" not in page:
                return


class StockServer(_Server):
    """The reference server for memory, on a file."""

    title = "server-memory"
    distribution = "@modelcontextprotocol/server-memory"
    what = "an entity"

    def __init__(self, place: Place) -> None:
        command = shutil.which("mcp-server-memory")
        if command is None:
            raise MissingError("npm install --global @modelcontextprotocol/server-memory")
        super().__init__([command], {"MEMORY_FILE_PATH": str(place.folder / "memory.jsonl")})

    def write(self, token: str) -> None:
        entity = {"name": token, "entityType": "note", "observations": ["noted"]}
        self.call("create_entities", entities=[entity])

    def tokens(self) -> Iterable[str]:
        return [entity["name"] for entity in self.call("read_graph")["entities"]]


CONTENDERS = (OurServer, StockServer)
