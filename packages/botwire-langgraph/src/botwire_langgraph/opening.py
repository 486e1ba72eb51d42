"""Opening as LangGraph's own savers and stores are opened, so that a URL is all that changes."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Opened(Generic[T]):
    """For ``with`` and for ``async with``; nothing needs closing."""

    def __init__(self, opened: T) -> None:
        self._opened = opened

    def __enter__(self) -> T:
        return self._opened

    def __exit__(self, *error: object) -> None:
        """Connections are shared by a process and stay."""

    async def __aenter__(self) -> T:
        return self._opened

    async def __aexit__(self, *error: object) -> None:
        """Like `__exit__`."""
