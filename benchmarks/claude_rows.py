"""Claude: a long transcript against a short one, and files against the stock memory tool.

The SDK has no session store that lasts, to compare with. The stock memory tool writes files and
syncs them, as BotWire does.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from anthropic.lib.tools._beta_builtin_memory_tool import BetaLocalFilesystemMemoryTool
from claude_agent_sdk import SessionKey

from benchmarks.comparing import Compare
from botwire_claude import BotWireMemoryTool, BotWireSessionStore

ROUNDS = 200
KEY: SessionKey = {"project_key": "project", "session_id": "session"}
LATE: SessionKey = {"project_key": "project", "session_id": "late"}


def rows(compare: Compare) -> None:
    """Measures both sides on the same work.

    Args:
        compare: Prints a row.
    """
    numbers = itertools.count()
    with tempfile.TemporaryDirectory() as name, asyncio.Runner() as runner:
        folder = Path(name)
        url = f"sqlite:///{folder / 'ours.db'}"
        store = BotWireSessionStore("bench", url=url)
        runner.run(store.append(LATE, [_entry(next(numbers)) for _ in range(10_000)]))

        def append(key: SessionKey) -> Callable[[], Any]:
            return lambda: runner.run(store.append(key, [_entry(next(numbers))]))

        compare("claude: append at 10,000, against 10", append(LATE), append(KEY), 1.2)
        ours, theirs = BotWireMemoryTool("bench", url=url), BetaLocalFilesystemMemoryTool(name)
        for tool in (ours, theirs):
            text = {"file_text": "a line\n" * 100}
            tool.call({"command": "create", "path": "/memories/a.md", **text})

        def run(tool: Any, **command: Any) -> Callable[[], Any]:
            return lambda: tool.call({"path": "/memories/a.md", **command})

        line: dict[str, Any] = {"insert_line": 0, "insert_text": "another line"}
        view, insert = {"command": "view"}, {"command": "insert", **line}
        compare("claude: view a file", run(ours, **view), run(theirs, **view), 3)
        compare("claude: insert a line", run(ours, **insert), run(theirs, **insert), 1.5)


def _entry(number: int) -> Any:
    message = {"role": "user", "content": f"{number} " + "word " * 40}
    return {"type": "user", "uuid": f"uuid-{number}", "message": message}


if __name__ == "__main__":
    rows(Compare(ROUNDS))
