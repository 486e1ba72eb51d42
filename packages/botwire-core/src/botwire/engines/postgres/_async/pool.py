"""The connection pool: reconnects soon after an outage, and reports why it has no connection."""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import time
import weakref
from collections import deque
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import asynccontextmanager
from typing import Any, Self

import psycopg
import psycopg.conninfo
from psycopg import errors as pg
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from botwire.engines.postgres.refusals import Refusal
from botwire.engines.postgres.twins import AsyncGate, AsyncTasks
from botwire.engines.retry import PROBE
from botwire.errors import ConfigurationError
from botwire.places import without_password

logger = logging.getLogger("botwire.postgres")

_LARGEST = 10  # connections per process; writers of one namespace wait for each other anyway
_LONG_READS = 6  # connections that long reads may use at a time
_NAME = "botwire-"  # prefix of the names of these pools
_numbers = itertools.count(1)
_RECONNECT_SECONDS = 0.5  # psycopg's delay between attempts doubles, so give up early and restart
_GRACE = 1.0  # seconds for the error about a statement that took too long to arrive
_LOOK_SECONDS = 0.1  # how often a caller looks why the first connection has not come
_SILENT_SECONDS = 0.5  # an attempt to connect that takes longer got no answer


class SilenceError(psycopg.OperationalError):
    """A connection was silent for longer than the database itself allows a statement to take."""


class AsyncPostgresPool(AsyncConnectionPool[psycopg.AsyncConnection[Any]]):
    """A pool of connections in autocommit mode, initially closed.

    Args:
        url: The database's URL.
        timeout: Seconds that a statement, a wait for a lock, or connecting may take.
    """

    def __init__(self, url: str, *, timeout: float) -> None:
        refusals: deque[Refusal] = deque(maxlen=1)
        pending: dict[object, float] = {}
        connected: weakref.WeakSet[Any] = weakref.WeakSet()
        settings = psycopg.conninfo.conninfo_to_dict(url)
        shown = without_password(url)
        milliseconds = max(1, round(timeout * 1000))
        limits = {"statement_timeout": milliseconds, "lock_timeout": milliseconds}
        # The URL's own options come last, so they win.
        options_given = str(settings.get("options", ""))
        options = " ".join(f"-c {name}={value}" for name, value in limits.items())
        if options_given:
            options += f" {options_given}"
        refused_options: list[str] = []

        class Connection(psycopg.AsyncConnection[Any]):
            """Keeps the reason why connecting failed, which psycopg's pool would only log."""

            is_botwires = True
            settings_of_transaction: tuple[bytes, ...] = ()
            silent_after = math.inf if "statement_timeout" in options_given else timeout + _GRACE

            async def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
                """Waits for an answer, but not forever: the other end may be gone."""
                return await super().wait(_watched(self, gen), *args, **kwargs)

            @classmethod
            async def connect(cls, *args: Any, **kwargs: Any) -> Self:
                """Connects."""
                attempt = object()
                pending[attempt] = time.monotonic()
                try:
                    connection = await cls._connect_with_limits(*args, **kwargs)
                except psycopg.Error as error:
                    reason = " ".join(str(error).split())
                    if not refusals:
                        logger.warning("no connection to %s: %s", shown, reason)
                    is_silence = isinstance(error, pg.ConnectionTimeout)
                    refusals.append(Refusal(reason, is_silence, time.monotonic()))
                    raise
                finally:
                    del pending[attempt]
                if refusals:
                    logger.warning("connected to %s again", shown)
                refusals.clear()
                connected.add(connection)
                return connection

            @classmethod
            async def _connect_with_limits(cls, *args: Any, **kwargs: Any) -> Self:
                if refused_options:
                    connection = await super().connect(*args, **kwargs)
                else:
                    try:
                        connection = await super().connect(*args, options=options, **kwargs)
                    except psycopg.OperationalError as error:
                        # Poolers such as PgBouncer reject settings that they do not know.
                        if "startup parameter" not in str(error):
                            raise
                        refused_options.append(str(error))
                        connection = await super().connect(*args, **kwargs)
                cursor = await connection.execute("SELECT pg_backend_pid()", prepare=False)
                is_direct = await cursor.fetchone() == (connection.info.backend_pid,)
                if refused_options or not is_direct:
                    # A pooler may use another session for each transaction. A setting of the
                    # session would then apply to other programs too, and the name of a prepared
                    # statement could stand for a statement of theirs.
                    connection.prepare_threshold = None
                    connection.settings_of_transaction = tuple(
                        f"SET LOCAL {name} = {value}".encode() for name, value in limits.items()
                    )
                return connection

        super().__init__(
            url,
            name=f"{_NAME}{next(_numbers)}",
            connection_class=Connection,
            check=self._check_if_suspect,
            min_size=0,
            max_size=_LARGEST,
            open=False,
            timeout=timeout,
            reconnect_timeout=_RECONNECT_SECONDS,
            reconnect_failed=_keep_trying,
            kwargs={
                "autocommit": True,
                # Half the time, so that an unanswered attempt does not outlast its call.
                "connect_timeout": settings.get("connect_timeout") or max(2, round(timeout / 2)),
                "application_name": settings.get("application_name") or "botwire",
            },
        )
        self._refusals = refusals
        self._pending = pending
        self._connected = connected
        self._has_connected = False
        self._shown = shown
        self._borrowers: set[object] = set()
        # Shorter than a call; otherwise the call that finds out could not say why it failed.
        self._silent_seconds = min(_SILENT_SECONDS, timeout / 2)
        self.is_suspect = False
        """Whether a connection was silent, so that the others are checked before they are used."""
        self.is_over = False
        """Whether it was closed; psycopg's pools cannot be opened again."""
        self.long_reads = AsyncGate(_LONG_READS)
        """Limits long reads, which leaves connections for writes and short reads."""

    @classmethod
    async def worker(cls, q: Any) -> None:
        """Connects, and puts connections back, until it is told to stop or cancelled."""
        tasks: Any = AsyncTasks(q)
        await super().worker(tasks)

    @asynccontextmanager
    async def lend(self, seconds: float) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """Lends a connection to a block.

        Args:
            seconds: How long to wait for one.

        Raises:
            PoolClosed: The pool was closed before.
            PoolTimeout: None came in time.
            ConfigurationError: The database refused the pool's first connection for a reason that
                no retry changes.
        """
        deadline = time.monotonic() + seconds
        borrower = object()
        try:
            self._borrowers.add(borrower)  # before the question, so that `close` misses nobody
            if self.is_over:
                raise PoolClosed("the connections were closed")
            await self.open()
            await self._await_first(deadline)
            async with self.connection(max(0.01, deadline - time.monotonic())) as connection:
                yield connection
        finally:
            self._borrowers.discard(borrower)
            if self.is_over and not self._borrowers:
                await super().close()

    async def _await_first(self, deadline: float) -> None:
        """Waits for the pool's first connection, unless waiting cannot help.

        Later, such a refusal may be part of an outage: while a database is replaced by renaming
        another one, there is none of this name.
        """
        began = time.monotonic()
        while not self._has_connected:
            left = deadline - time.monotonic()
            try:
                async with self.connection(max(0.01, min(_LOOK_SECONDS, left))):
                    self._has_connected = True
            except PoolTimeout:
                refusal = self._refusals[0] if self._refusals else None
                if refusal is not None and refusal.at >= began and refusal.is_permanent:
                    raise ConfigurationError(
                        f"{self._shown} refuses connections: {refusal.reason}"
                    ) from None
                if left <= _LOOK_SECONDS:
                    raise

    async def close(self, *args: Any, **kwargs: Any) -> None:
        """Closes the connections, once the last borrower has given its own back.

        psycopg would leave a caller waiting that is about to wait for a connection.
        """
        self.is_over = True
        if not self._borrowers:
            await super().close(*args, **kwargs)

    def abandon(self) -> None:
        """Ends the connections, so that the database gives up what they have locked.

        An interrupted borrower gives nothing back, so `close` does not wait for one.
        """
        self.is_over = True
        self._borrowers.clear()
        for connection in list(self._connected):
            connection.pgconn.finish()

    async def _check_if_suspect(self, connection: psycopg.AsyncConnection[Any]) -> None:
        if self.is_suspect:
            with silent_after(connection, PROBE):
                await self.check_connection(connection)

    @property
    def refusal(self) -> Refusal | None:
        """Why the last attempt to connect failed, or has not ended yet; None if it succeeded."""
        if self._refusals:
            return self._refusals[0]
        began = min(self._pending.values(), default=None)
        if began is None or time.monotonic() - began < self._silent_seconds:
            return None
        return Refusal("it accepts connections, but does not answer", is_silence=True, at=began)


def _watched(connection: Any, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Wraps what psycopg waits with: closes the connection if nothing arrives for too long.

    The database aborts a statement that takes too long. If not even that error arrives, the
    database or the network is down. Otherwise a caller would wait until TCP gives up, which takes
    hours.
    """
    try:
        state = next(gen)
        since = time.monotonic()
        while True:
            ready = yield state
            if ready:
                since = time.monotonic()
            elif time.monotonic() - since > connection.silent_after:
                connection.pgconn.finish()
                raise SilenceError("the connection is open, but silent")
            state = gen.send(ready)
    except StopIteration as stop:
        return stop.value


@contextlib.contextmanager
def silent_after(connection: Any, seconds: float) -> Iterator[None]:
    """Sets how long a connection may go without an answer before it counts as silent."""
    connection.silent_after, before = seconds, connection.silent_after
    try:
        yield
    finally:
        connection.silent_after = before


async def _keep_trying(pool: AsyncConnectionPool[Any]) -> None:
    """Restarts a pool that has given up connecting while callers still wait for a connection."""
    if pool.get_stats()["requests_waiting"]:
        await pool.check()  # makes the pool try to connect again


def _is_of_others(record: logging.LogRecord) -> bool:
    """Returns whether a log record of psycopg is about another application's pool.

    psycopg logs each attempt to connect, some six per second. These pools log one line when an
    outage begins and one when it ends.
    """
    parts = record.args if isinstance(record.args, tuple) else ()
    return not any(
        getattr(part, "is_botwires", False) or (isinstance(part, str) and part.startswith(_NAME))
        for part in parts
    )


logging.getLogger("psycopg.pool").addFilter(_is_of_others)
