"""Embedders: functions that return a vector for each text, given by the caller or by name.

A name is ``PROVIDER:MODEL``, for example ``fastembed:BAAI/bge-small-en-v1.5``, which runs in this
process, or ``openai:text-embedding-3-small``. The provider's package is imported, and the model
loaded, when the first text is embedded.
"""

from __future__ import annotations

import importlib
import inspect
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from botwire.errors import ConfigurationError
from botwire.names import shown
from botwire.threads import in_thread

Embeddings = Sequence[Sequence[float]]
"""One vector per text, in the order of the texts."""

Embedder = Callable[[list[str]], Embeddings | Awaitable[Embeddings]]
"""Returns one vector per text. Called in a thread, so it may block."""


def check_embedder(embedder: object) -> None:
    """Raises `ConfigurationError` unless an adapter's `embedder` is a function or None."""
    if embedder is not None and not callable(embedder):
        raise ConfigurationError(
            "embedder must be a function that returns a vector for each text, not "
            f"{type(embedder).__name__}: {shown(embedder)}"
        )


async def embed(embedder: Embedder, text: str) -> Sequence[float]:
    """Returns the vector of a text, without blocking the event loop.

    Raises:
        ConfigurationError: The embedder did not return exactly one vector.
    """
    # In the thread, a coroutine function only creates its coroutine.
    vectors = await in_thread(embedder, [text])
    if inspect.isawaitable(vectors):
        vectors = await vectors
    return _only(vectors)


def _only(vectors: Embeddings) -> Sequence[float]:
    if len(vectors) != 1:
        raise ConfigurationError(
            f"the embedder returned {len(vectors)} vectors for 1 text: it must return one per text"
        )
    return vectors[0]


class AsyncTextEmbedder:
    """An embedder and its name, which a memory stores to know whose vectors it holds.

    Args:
        given: A function, or ``PROVIDER:MODEL``. A function's name is its attribute
            ``embedder_name``, else its module and qualified name.

    Attributes:
        name: The name.

    Raises:
        ConfigurationError: The provider is unknown, or `given` is neither.
    """

    def __init__(self, given: str | Embedder) -> None:
        self.given = given
        self.name, self._embed = _named(given)

    async def vector(self, text: str) -> Sequence[float]:
        """Returns the vector of a text."""
        return await embed(self._embed, text)


class TextEmbedder:
    """An embedder for blocking callers; see `AsyncTextEmbedder`."""

    def __init__(self, given: str | Embedder) -> None:
        self.given = given
        self.name, self._embed = _named(given)

    def vector(self, text: str) -> Sequence[float]:
        """Returns the vector of a text."""
        vectors = self._embed([text])
        if inspect.isawaitable(vectors):
            if inspect.iscoroutine(vectors):
                vectors.close()
            raise ConfigurationError(
                f"embed={self.name!r} is asynchronous: give a blocking function, or use AsyncMemory"
            )
        return _only(vectors)


def _named(given: str | Embedder) -> tuple[str, Embedder]:
    if isinstance(given, str):
        provider, _, model = given.partition(":")
        if provider not in _PROVIDERS or not model:
            raise ConfigurationError(
                f"embed={given!r:.80} names no embedder: give a function, or PROVIDER:MODEL with "
                f"the provider {' or '.join(_PROVIDERS)}"
            )
        return given, _Loaded(provider, model)
    if not callable(given):
        raise ConfigurationError(
            f"embed must be a function or PROVIDER:MODEL, not {type(given).__name__}"
        )
    name = getattr(given, "embedder_name", None)
    if name is None:
        named = given if hasattr(given, "__qualname__") else type(given)
        name = f"{named.__module__}.{named.__qualname__}"
    return str(name), given


class _Loaded:
    """A provider's model, loaded on the first call."""

    def __init__(self, provider: str, model: str) -> None:
        self._provider = provider
        self._model = model
        self._lock = threading.Lock()
        self._function: Callable[[list[str]], Embeddings] | None = None

    def __call__(self, texts: list[str]) -> Embeddings:
        with self._lock:
            if self._function is None:
                try:
                    module = importlib.import_module(self._provider)
                except ImportError as error:
                    raise ConfigurationError(
                        f"embed='{self._provider}:{self._model}' needs the package "
                        f'{self._provider}: pip install "botwire-core[{self._provider}]"'
                    ) from error
                self._function = _PROVIDERS[self._provider](module, self._model)
            function = self._function
        return function(texts)


def _fastembed(module: Any, model: str) -> Callable[[list[str]], Embeddings]:
    loaded = module.TextEmbedding(model_name=model)
    return lambda texts: [vector.tolist() for vector in loaded.embed(texts)]


def _openai(module: Any, model: str) -> Callable[[list[str]], Embeddings]:
    client = module.OpenAI()

    def embed(texts: list[str]) -> Embeddings:
        answer = client.embeddings.create(model=model, input=texts)
        return [one.embedding for one in answer.data]

    return embed


_PROVIDERS: Mapping[str, Callable[[Any, str], Callable[[list[str]], Embeddings]]] = {
    "fastembed": _fastembed,
    "openai": _openai,
}
