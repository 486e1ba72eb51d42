"""Operators of the clients, which are not generated, because an operator cannot await."""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator, Iterator
from typing import Any

from botwire import operations as ops
from botwire.models import Item


class AsyncMemoryOperators:
    """Adds to `AsyncMemory` what `Memory` has as operators."""

    def __aiter__(self) -> AsyncIterator[str]:
        """Iterates over the keys; pages are read as needed."""
        return self.iter_keys()  # type: ignore[attr-defined, no-any-return]

    async def list(self, prefix: str = "") -> builtins.list[str]:
        """Returns what `list_keys` returns."""
        return await self.list_keys(prefix)  # type: ignore[attr-defined, no-any-return]


class MemoryOperators:
    """Adds the operators of a mapping to `Memory`.

    There is no ``len()`` and no truth value: frameworks write ``memory or default``, which must not
    replace an empty memory. Use `count` instead.
    """

    def __iter__(self) -> Iterator[str]:
        """Iterates over the keys; pages are read as needed."""
        return self.iter_keys()  # type: ignore[attr-defined, no-any-return]

    def __contains__(self, key: object) -> bool:
        """Returns whether the key exists."""
        return self.exists(key)  # type: ignore[attr-defined, no-any-return]

    def __getitem__(self, key: str) -> Any:
        """Returns the value of a key; raises `KeyError` if it does not exist."""
        entry = self.entry(key)  # type: ignore[attr-defined]
        if entry is None:
            raise KeyError(key)
        return entry.value

    def __setitem__(self, key: str, value: Any) -> None:
        """Sets a key."""
        self.set(key, value)  # type: ignore[attr-defined]

    def __delitem__(self, key: str) -> None:
        """Deletes a key; raises `KeyError` if it does not exist."""
        if not self.delete(key):  # type: ignore[attr-defined]
            raise KeyError(key)

    def list(self, prefix: str = "") -> builtins.list[str]:
        """Returns what `list_keys` returns."""
        return self.list_keys(prefix)  # type: ignore[attr-defined, no-any-return]


class AsyncHistoryOperators:
    """Empty: `AsyncHistory` is read with `read` and `newest_first`."""


class HistoryOperators:
    """Makes a `History` iterable in both directions."""

    def __iter__(self) -> Iterator[Any]:
        """Iterates over the items, oldest first; pages are read as needed."""
        read = ops.ReadHistory(self.name)  # type: ignore[attr-defined]
        for page in self._calls.pages(read):  # type: ignore[attr-defined]
            yield from map(Item, page.items)

    def __reversed__(self) -> Iterator[Any]:
        """Iterates over the items, newest first, a page at a time."""
        return self.newest_first()  # type: ignore[attr-defined, no-any-return]
