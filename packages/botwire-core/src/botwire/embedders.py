"""Functions that make vectors of texts, as callers bring them: awaited or not."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence

from botwire.errors import ConfigurationError

Embeddings = Sequence[Sequence[float]]
"""A vector for each text, in the order of the texts."""

Embedder = Callable[[list[str]], Embeddings | Awaitable[Embeddings]]
"""Returns a vector for each text. A blocking one is called in a thread."""


async def embed(embedder: Embedder, text: str) -> Sequence[float]:
    """Returns the vector of a text, without holding up the event loop.

    Raises:
        ConfigurationError: The embedder made another number of vectors than one.
    """
    # A coroutine function only makes its coroutine in the thread.
    vectors = await asyncio.to_thread(embedder, [text])
    if inspect.isawaitable(vectors):
        vectors = await vectors
    if len(vectors) != 1:
        raise ConfigurationError(f"the embedder made {len(vectors)} vectors of one text")
    return vectors[0]
