"""Claude: a transcript."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable
from typing import Any

from claude_agent_sdk import SessionKey

from benchmarks.images.frame import ENCODED, MIME, Works, main
from botwire_claude import BotWireSessionStore


async def works(url: str) -> Works:
    """Returns what is measured."""
    store = BotWireSessionStore("images", url=url)
    source = {"type": "base64", "media_type": MIME, "data": ENCODED}
    message = {"role": "user", "content": [{"type": "image", "source": source}]}
    numbers = itertools.count()

    def key(number: int) -> SessionKey:
        return {"project_key": "project", "session_id": f"s{number}"}

    def append() -> Awaitable[Any]:
        number = next(numbers)
        entry: Any = {"type": "user", "uuid": f"u{number}", "message": message}
        return store.append(key(number), [entry])

    return {
        "`BotWireSessionStore.append`": append,
        "`load`": lambda: store.load(key(0)),
    }


if __name__ == "__main__":
    main("Claude", works)
