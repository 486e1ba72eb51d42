"""Applies a client's operations: one at a time, page by page, or in parts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any, Self, TypeVar

from botwire import operations as ops
from botwire.client.spans import batch_span
from botwire.engines.protocol import AsyncEngine
from botwire.errors import ConfigurationError

R = TypeVar("R")


class AsyncCalls:
    """Applies operations to one namespace.

    Args:
        engine: The engine that applies them.
        namespace: The namespace.
        author: Who writes.
        at: The past moment to read; None means now.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        namespace: str,
        author: ops.Author | None = None,
        at: ops.Moment | None = None,
    ) -> None:
        self.engine = engine
        self.namespace = namespace
        self.author = author
        self.at = at

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # it holds connections, which copies share

    def __reduce__(self) -> str:
        raise ConfigurationError(
            "a history or collection holds connections and perhaps an API key, and cannot be "
            "pickled: pickle its name and open it where it is needed"
        )

    async def apply(self, operation: ops.Operation[R]) -> R:
        """Applies one operation and returns its result."""
        result: R
        (result,) = await self.apply_all((operation,))
        return result

    async def apply_all(self, operations: Sequence[ops.AnyOperation]) -> ops.Results:
        """Applies operations as one transaction and returns their results."""
        with batch_span(operations, self.engine, self.namespace):
            return await self.engine.apply(
                ops.Batch(self.namespace, tuple(operations), author=self.author, at=self.at)
            )

    async def pages(self, operation: ops.Paged[R], most: int | None = None) -> AsyncIterator[R]:
        """Yields the page that an operation reads, and all following pages.

        Args:
            operation: Reads the first page. Its limit is the size of every page.
            most: The most elements to read in all; None reads to the end.
        """
        if most is not None:
            ops.check_count(most, "limit")
        left = most
        following: Any = operation
        while following is not None and left != 0:
            if left is not None:
                following = replace(following, limit=min(left, following.limit))
            page: Any = await self.apply(following)
            yield page
            if left is not None:
                left -= len(page[0])
            following = following.following(page)

    async def in_parts(self, operation: ops.Parted[int]) -> int:
        """Repeats a delete, each time up to its limit, so that others can write in between.

        Returns:
            The total number deleted.
        """
        total = 0
        while True:
            count = await self.apply(operation)
            total += count
            if operation.is_over(count):
                return total
