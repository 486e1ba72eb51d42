"""Watching a namespace: pushed by a server where possible, else by polling."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from botwire import operations as ops
from botwire.client._async.calls import AsyncCalls
from botwire.engines.protocol import AsyncPushes

_SHORTEST = 0.02  # seconds between two polls


async def watch(
    calls: AsyncCalls, prefix: str, after: int, poll: float
) -> AsyncIterator[ops.ChangeEntry]:
    """Yields the changes of a namespace, without end.

    If pushing ends for any reason, polling resumes after the last change.

    Args:
        calls: Reads the namespace.
        prefix: What a server need not push: changes of names that do not start with it.
        after: The revision after which to begin.
        poll: Most seconds between polls.
    """
    wait = shortest = min(_SHORTEST, poll)
    while True:
        page = await calls.apply(ops.ReadChanges(after))
        for entry in page.changes:
            after = entry.revision
            yield entry
        if page.changes:
            wait = shortest
            continue
        if isinstance(calls.engine, AsyncPushes):
            async for page in calls.engine.pushed(calls.namespace, prefix, after):
                wait = shortest
                for entry in page.changes:
                    after = entry.revision
                    yield entry
                after = page.revision  # beyond the changes that were left out
        await asyncio.sleep(wait)
        wait = min(poll, wait * 2)
