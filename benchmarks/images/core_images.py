"""The core: a value and an item with an image."""

from __future__ import annotations

from benchmarks.images.frame import ENCODED, IMAGE, Works, main
from botwire import AsyncMemory


async def works(url: str) -> Works:
    """Returns what is measured."""
    memory = AsyncMemory("images", url=url)
    history = memory.history("h")
    return {
        "`set` bytes": lambda: memory.set("bytes", IMAGE),
        "`get` bytes": lambda: memory.get("bytes"),
        "`append` text": lambda: history.append({"image": ENCODED}),
        "`tail(1)` text": lambda: history.tail(1),
    }


if __name__ == "__main__":
    main("core", works)
