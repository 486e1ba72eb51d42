"""Subscriptions: tells clients that resources changed, whichever process changed them.

A notification says that a resource changed, not how. So a slow client only needs a list of its
resources that changed since the last notification: its memory is bounded by its subscriptions, and
it delays no other client.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from mcp import MCPError
from mcp.server import ServerRequestContext
from mcp.server.session import ServerSession
from mcp.server.subscriptions import SUBSCRIPTION_ID_META_KEY
from mcp.types import (
    INVALID_PARAMS,
    ResourceUpdatedNotification,
    ResourceUpdatedNotificationParams,
    SubscriptionFilter,
    SubscriptionsAcknowledgedNotification,
    SubscriptionsAcknowledgedNotificationParams,
    SubscriptionsListenResult,
)

from botwire import AsyncMemory
from botwire.errors import BotWireError, ServerError
from botwire.models import Change
from botwire_mcp.resources import Address

MOST = 1_000
"""The most resources to which a client may be subscribed."""

_RETRY_SECONDS = (1.0, 30.0)  # the first wait and the longest

logger = logging.getLogger("botwire.mcp")


class Subscriber:
    """The resources of one client, and which of them changed since its last notification."""

    def __init__(self, addresses: dict[str, Address]) -> None:
        self.addresses = addresses
        """The thing that each URI names, by the URI as the client wrote it."""
        self._changed: dict[str, None] = {}  # in order
        self._news = asyncio.Event()
        self._ended = False
        self._error: BotWireError | None = None

    def add(self, uri: str, address: Address) -> None:
        """Adds a resource.

        Raises:
            MCPError: The client already has the maximum of subscriptions.
        """
        if len(self.addresses) >= MOST and uri not in self.addresses:
            raise MCPError(INVALID_PARAMS, f"you may subscribe to at most {MOST:,} resources")
        self.addresses[uri] = address

    def discard(self, uri: str) -> None:
        """Removes a resource."""
        self.addresses.pop(uri, None)
        self._changed.pop(uri, None)

    def tell(self, change: Change) -> None:
        """Marks the resources that a change may affect."""
        self._mark(uri for uri, one in self.addresses.items() if one.is_touched_by(change))

    def tell_all(self) -> None:
        """Marks everything: changes may have been missed."""
        self._mark(self.addresses)

    def _mark(self, uris: Iterable[str]) -> None:
        self._changed.update(dict.fromkeys(uris))
        if self._changed:
            self._news.set()

    def end(self, error: BotWireError | None) -> None:
        """Ends `news`."""
        self._ended, self._error = True, error
        self._news.set()

    async def news(self) -> AsyncIterator[str]:
        """Yields the URI of each changed resource, until `end`.

        Raises:
            BotWireError: The changes can no longer be read.
        """
        while True:
            await self._news.wait()
            while self._changed:
                uri = next(iter(self._changed))
                del self._changed[uri]
                yield uri
            if self._ended:
                if self._error is not None:
                    raise self._error
                return
            self._news.clear()


class Feed:
    """The changes of a memory, watched once for all its subscribers.

    Args:
        memory: The memory.
        watch: Yields its changes after a revision.
    """

    def __init__(self, memory: AsyncMemory, watch: Callable[[int], AsyncIterator[Change]]) -> None:
        self._memory = memory
        self._watch = watch
        self._subscribers: list[Subscriber] = []
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def subscribed(self, subscriber: Subscriber) -> AsyncIterator[None]:
        """Notifies a subscriber of every change made during the block.

        Raises:
            BotWireError: The changes cannot be read.
        """
        self._subscribers.append(subscriber)
        try:
            # The subscriber is already in the list, so it misses nothing from now on.
            revision = await self._memory.revision()
            if self._task is None:
                self._task = asyncio.create_task(self._run(revision))
            yield
        finally:
            if subscriber in self._subscribers:
                self._subscribers.remove(subscriber)
            if not self._subscribers and self._task is not None:
                task, self._task = self._task, None
                task.cancel()
                await asyncio.wait([task])

    async def _run(self, after: int) -> None:
        error: BotWireError | None = None
        try:
            async for change in self._watch(after):
                for subscriber in self._subscribers:
                    subscriber.tell(change)
        except BotWireError as raised:
            error = raised
        except Exception:
            logger.exception("watching for changes failed")
            error = ServerError("changes can no longer be read: the server's log says why")
        self._task = None
        ended, self._subscribers = self._subscribers, []
        for subscriber in ended:
            subscriber.end(error)


async def listen(
    context: ServerRequestContext[Any, Any], feed: Feed, addresses: dict[str, Address]
) -> SubscriptionsListenResult:
    """Serves ``subscriptions/listen``: acknowledges, then tells until the client leaves.

    Args:
        context: The request.
        feed: The changes of its memory.
        addresses: The requested resources to which it may subscribe, by URI.

    Raises:
        MCPError: The client asked for too much.
        BotWireError: The changes cannot be read, or no longer.
    """
    if len(addresses) > MOST:
        raise MCPError(INVALID_PARAMS, f"you may subscribe to at most {MOST:,} resources")
    id = context.request_id
    meta = {SUBSCRIPTION_ID_META_KEY: id}
    subscriber = Subscriber(addresses)
    honored = SubscriptionFilter(resource_subscriptions=list(addresses) or None)
    async with feed.subscribed(subscriber):
        await context.session.send_notification(
            SubscriptionsAcknowledgedNotification(
                params=SubscriptionsAcknowledgedNotificationParams(
                    notifications=honored, _meta=meta
                )
            ),
            related_request_id=id,
        )
        async for uri in subscriber.news():
            await context.session.send_notification(_updated(uri, meta), related_request_id=id)
    return SubscriptionsListenResult(_meta=meta)


class Standing:
    """The subscriptions that a connection made with ``resources/subscribe``."""

    def __init__(self) -> None:
        self._subscriber = Subscriber({})
        self._task: asyncio.Task[None] | None = None
        self._started: asyncio.Future[None] | None = None

    async def subscribe(
        self, session: ServerSession, feed: Feed, uri: str, address: Address
    ) -> None:
        """Subscribes to a resource; the client is notified of every change from now on.

        Raises:
            BotWireError: The changes cannot be read.
        """
        self._subscriber.add(uri, address)
        if self._started is None:
            self._started = asyncio.get_running_loop().create_future()
            self._task = asyncio.create_task(self._run(session, feed, self._started))
        try:
            await asyncio.shield(self._started)
        except BotWireError:
            self._subscriber.discard(uri)
            self._started = None
            raise

    def unsubscribe(self, uri: str) -> None:
        """Ends the subscription to a resource, if there is one."""
        self._subscriber.discard(uri)

    async def _run(self, session: ServerSession, feed: Feed, started: asyncio.Future[None]) -> None:
        wait = _RETRY_SECONDS[0]
        while True:
            try:
                async with feed.subscribed(self._subscriber):
                    if not started.done():
                        started.set_result(None)
                    wait = _RETRY_SECONDS[0]
                    async for uri in self._subscriber.news():
                        await session.send_notification(_updated(uri, None))
            except BotWireError as error:
                if not started.done():
                    started.set_exception(error)
                    return
                logger.warning("changes cannot be read, trying again in %g s: %s", wait, error)
            await asyncio.sleep(wait)
            wait = min(2 * wait, _RETRY_SECONDS[1])
            self._subscriber = Subscriber(self._subscriber.addresses)
            self._subscriber.tell_all()

    async def aclose(self) -> None:
        """Ends all subscriptions: the connection is closed."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])


def _updated(uri: str, meta: dict[str, Any] | None) -> ResourceUpdatedNotification:
    return ResourceUpdatedNotification(
        params=ResourceUpdatedNotificationParams(uri=uri, _meta=meta)
    )
