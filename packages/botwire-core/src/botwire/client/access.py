"""What only one of the two clients can have: operators cannot be awaited."""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator, Iterator
from typing import Any


class AwaitedAccess:
    """What `AsyncMemory` has beside the methods of both."""

    def __aiter__(self) -> AsyncIterator[str]:
        """Iterates over the keys, read in pages as they are asked for."""
        return self.iter_keys()  # type: ignore[attr-defined, no-any-return]

    async def list(self, prefix: str = "") -> builtins.list[str]:
        """The same as `list_keys`."""
        return await self.list_keys(prefix)  # type: ignore[attr-defined, no-any-return]


class MappingAccess:
    """What `Memory` has beside the methods of both: the operators of a mapping.

    There is no ``len()`` and no truth value: frameworks write ``memory or default``, and an empty
    memory must not vanish. `count` counts.
    """

    def __iter__(self) -> Iterator[str]:
        """Iterates over the keys, read in pages as they are asked for."""
        return self.iter_keys()  # type: ignore[attr-defined, no-any-return]

    def __contains__(self, key: object) -> bool:
        """Says whether there is such a key."""
        return self.exists(key)  # type: ignore[attr-defined, no-any-return]

    def __getitem__(self, key: str) -> Any:
        """Returns the value of a key; raises `KeyError` if there is none."""
        entry = self.entry(key)  # type: ignore[attr-defined]
        if entry is None:
            raise KeyError(key)
        return entry.value

    def __setitem__(self, key: str, value: Any) -> None:
        """Sets a key."""
        self.set(key, value)  # type: ignore[attr-defined]

    def __delitem__(self, key: str) -> None:
        """Deletes a key; raises `KeyError` if there is none."""
        if not self.delete(key):  # type: ignore[attr-defined]
            raise KeyError(key)

    def list(self, prefix: str = "") -> builtins.list[str]:
        """The same as `list_keys`."""
        return self.list_keys(prefix)  # type: ignore[attr-defined, no-any-return]


class AwaitedHistoryAccess:
    """What `AsyncHistory` has beside the methods of both."""


class HistoryAccess:
    """What `History` has beside the methods of both."""

    def __iter__(self) -> Iterator[Any]:
        """Iterates over the items in their order, a page at a time."""
        after = 0
        while page := self.read(after, 1000):  # type: ignore[attr-defined]
            yield from page
            after = page[-1].seq

    def __reversed__(self) -> Iterator[Any]:
        """Iterates over the items from the last to the first, a page at a time."""
        return self.newest_first()  # type: ignore[attr-defined, no-any-return]
