"""OpenAI Agents: a session."""

from __future__ import annotations

from typing import Any

from benchmarks.images.frame import ENCODED, MIME, Works, main
from botwire_openai_agents import BotWireSession


async def works(url: str) -> Works:
    """Returns what is measured."""
    session = BotWireSession("chat", namespace="images", url=url)
    image = {"type": "input_image", "image_url": f"data:{MIME};base64,{ENCODED}"}
    item: Any = {"role": "user", "content": [image]}
    return {
        "`BotWireSession.add_items`": lambda: session.add_items([item]),
        "`get_items(1)`": lambda: session.get_items(1),
    }


if __name__ == "__main__":
    main("OpenAI Agents", works)
