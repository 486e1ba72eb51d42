"""Embedders: functions of the caller's that embed texts, blocking or asynchronous."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence

from botwire.errors import ConfigurationError

Embeddings = Sequence[Sequence[float]]
"""One vector per text, in the order of the texts."""

Embedder = Callable[[list[str]], Embeddings | Awaitable[Embeddings]]
"""Returns one vector per text. Called in a thread, so it may block."""


async def embed(embedder: Embedder, text: str) -> Sequence[float]:
    """Returns the vector of a text, without blocking the event loop.

    Raises:
        ConfigurationError: The embedder did not return exactly one vector.
    """
    # In the thread, a coroutine function only creates its coroutine.
    vectors = await asyncio.to_thread(embedder, [text])
    if inspect.isawaitable(vectors):
        vectors = await vectors
    if len(vectors) != 1:
        raise ConfigurationError(
            f"the embedder returned {len(vectors)} vectors for 1 text: it must return one per text"
        )
    return vectors[0]
