"""Opens savers and stores the way LangGraph's own are opened, so only the URL changes."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Opened(Generic[T]):
    """A saver or store for ``with`` and ``async with``, although it needs no closing."""

    def __init__(self, opened: T) -> None:
        self._opened = opened

    def __enter__(self) -> T:
        return self._opened

    def __exit__(self, *error: object) -> None:
        """Does nothing: the process shares connections and keeps them open."""

    async def __aenter__(self) -> T:
        return self._opened

    async def __aexit__(self, *error: object) -> None:
        """Like `__exit__`."""
