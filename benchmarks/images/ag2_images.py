"""AG2: a stream and a checkpoint."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ag2.events import ImageInput, ModelRequest

from benchmarks.images.frame import IMAGE, MIME, Works, main
from botwire_ag2 import BotWireCheckpointStore, BotWireStorage


async def works(url: str) -> Works:
    """Returns what is measured."""
    stream = await BotWireStorage("images", url=url).stream("s")
    event = ModelRequest([ImageInput(data=IMAGE, media_type=MIME)])
    context: Any = SimpleNamespace(stream=stream, dependencies={})
    store = BotWireCheckpointStore("images", url=url)
    return {
        "`BotWireStorage.save_event`": lambda: stream.history.storage.save_event(event, context),
        "`get_events`": stream.history.get_events,
        "`BotWireCheckpointStore.write`": lambda: store.write("t", {"raw": IMAGE}),
        "`read`": lambda: store.read("t"),
    }


if __name__ == "__main__":
    main("AG2", works)
