"""The memory tool: behaves like the SDK's own, for any number of concurrent agents."""

from __future__ import annotations

import asyncio
import inspect
import random
import threading
from pathlib import Path
from typing import Any

import pytest
from anthropic import AsyncAnthropic
from anthropic.lib.tools import ToolError
from anthropic.types.beta import BetaMemoryTool20250818ViewCommand

from botwire import ConfigurationError, Memory
from botwire_claude import BotWireAsyncMemoryTool, BotWireMemoryTool

PATHS = ["/memories", "/memories/a.txt", "/memories/b/c", "/memories/b/d/e", "/memories/.h", "/etc"]


def answer(tool: Any, command: dict[str, Any]) -> str:
    async def awaited(result: Any) -> Any:
        return await result

    try:
        result = tool.call(command)
        return str(asyncio.run(awaited(result)) if inspect.isawaitable(result) else result)
    except ToolError as error:
        return f"refused: {error}"


@pytest.mark.parametrize("kind", [BotWireMemoryTool, BotWireAsyncMemoryTool])
def test_it_answers_word_for_word_as_the_sdks_own(kind: type, tmp_path: Path) -> None:
    module = pytest.importorskip("anthropic.lib.tools._beta_builtin_memory_tool")
    stock_kind = getattr(module, "BetaLocalFilesystemMemoryTool", None)
    if stock_kind is None:
        pytest.skip("this release has no tool of its own to compare with")
    stock, chosen = stock_kind(str(tmp_path)), random.Random(7)
    # The SDK keeps empty folders; here a folder is never empty.
    for path in ("/memories/b/keep", "/memories/b/d/keep"):
        stock.call({"command": "create", "path": path, "file_text": ""})
    ours = kind("n", url="sqlite://")
    for path in ("/memories/b/keep", "/memories/b/d/keep"):
        answer(ours, {"command": "create", "path": path, "file_text": ""})
    for _ in range(120):
        name = chosen.choice(["view", "create", "str_replace", "insert", "delete"])
        command: dict[str, Any] = {"command": name, "path": chosen.choice(PATHS)}
        if name == "view":
            command |= chosen.choice([{}, {"view_range": [2, 3]}, {"view_range": [1, -1]}])
        elif name == "create":
            command |= {"file_text": chosen.choice(["", "a\n", "a\nb\r\nä\na", "x" * 3000])}
        elif name == "str_replace":
            command |= {"old_str": chosen.choice("abx"), "new_str": chosen.choice(["", "a\nz"])}
        elif name == "insert":
            command |= {"insert_line": chosen.randint(-1, 4), "insert_text": chosen.choice("ax\n")}
        assert answer(ours, command) == answer(stock, command), command


def test_agents_that_edit_one_file_all_land(place: Any) -> None:
    def edit(name: str) -> None:
        tool = BotWireMemoryTool(**place)
        for number in range(10):
            told = {"insert_line": 0, "insert_text": f"{name}{number}"}
            answer(tool, {"command": "insert", "path": "/memories/list", **told})

    answer(
        BotWireMemoryTool(**place),
        {"command": "create", "path": "/memories/list", "file_text": ""},
    )
    agents = [threading.Thread(target=edit, args=[name]) for name in "ab"]
    for agent in agents:
        agent.start()
    for agent in agents:
        agent.join()
    lines = Memory(**place).get("/memories/list").split()
    assert sorted(lines) == [f"{name}{number}" for name in "ab" for number in range(10)]


async def test_a_model_uses_it(place: Any) -> None:
    from scripted.claude import scripted_api

    async def ask(said: str) -> str:
        with scripted_api() as url:
            async with AsyncAnthropic(base_url=url, api_key="scripted") as client:
                runner = client.beta.messages.tool_runner(
                    model="claude-sonnet-5-5",
                    max_tokens=100,
                    tools=[BotWireAsyncMemoryTool(**place)],
                    messages=[{"role": "user", "content": said}],
                )
                message: Any = await runner.until_done()
                return str(message.content[0].text)

    assert await ask("My cat is called Turing.") == "Noted."
    assert await ask("What is it called?") == "You told me: My cat is called Turing."


def test_it_is_the_tool_that_the_service_knows() -> None:
    tool = BotWireMemoryTool("n", url="sqlite://", cache_control={"type": "ephemeral"})
    assert tool.to_dict() == {
        "type": "memory_20250818",
        "name": "memory",
        "cache_control": {"type": "ephemeral"},
    }
    with pytest.raises(ToolError, match="needs `path`"):
        tool.view(BetaMemoryTool20250818ViewCommand.construct(command="view"))


async def test_clearing_leaves_other_memory(place: Any) -> None:
    memory = Memory(**place)
    memory.set("theme", "dark")
    for tool in (BotWireMemoryTool(**place), BotWireAsyncMemoryTool(**place)):
        memory.set("/memories/x", "text")
        cleared = tool.clear_all_memory()
        assert await cleared if inspect.isawaitable(cleared) else cleared == "All memory cleared"
        assert memory.list_keys() == ["theme"]


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    import botwire_claude

    monkeypatch.delitem(sys.modules, "botwire_claude.tool")
    monkeypatch.setitem(sys.modules, "anthropic.lib.tools", None)
    with pytest.raises(ConfigurationError, match=r'pip install "botwire-claude\[tool\]"'):
        _ = botwire_claude.BotWireMemoryTool
    with pytest.raises(AttributeError, match="nothing"):
        _ = botwire_claude.nothing
