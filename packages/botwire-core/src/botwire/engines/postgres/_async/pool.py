"""The connection pool: reconnects soon after an outage, and tells why there is no connection."""

from __future__ import annotations

import itertools
import logging
from collections import deque
from typing import Any, Self

import psycopg
import psycopg.conninfo
from psycopg_pool import AsyncConnectionPool

from botwire.engines.loops import AsyncGate
from botwire.places import without_password

logger = logging.getLogger("botwire.postgres")

_LARGEST = 10  # connections per process; writers of one namespace wait for each other anyway
_LONG_READS = 6  # connections that long reads may use at a time
_NAME = "botwire-"  # prefix of the names of these pools
_numbers = itertools.count(1)
_RECONNECT_SECONDS = 0.5  # psycopg's delay between attempts doubles, so give up early and restart


class AsyncPostgresPool(AsyncConnectionPool[psycopg.AsyncConnection[Any]]):
    """A pool of connections in autocommit mode, initially closed.

    Args:
        url: The database's URL.
        timeout: Seconds that a statement, a wait for a lock, or connecting may take.
    """

    def __init__(self, url: str, *, timeout: float) -> None:
        refusals: deque[str] = deque(maxlen=1)
        settings = psycopg.conninfo.conninfo_to_dict(url)
        shown = without_password(url)
        milliseconds = max(1, round(timeout * 1000))
        limits = {"statement_timeout": milliseconds, "lock_timeout": milliseconds}
        # The URL's own options come last, so they win.
        options = " ".join(f"-c {name}={value}" for name, value in limits.items())
        if "options" in settings:
            options += f" {settings['options']}"
        refused_options: list[str] = []

        class Connection(psycopg.AsyncConnection[Any]):
            """Keeps the reason why connecting failed, which psycopg's pool would only log."""

            is_botwires = True

            @classmethod
            async def connect(cls, *args: Any, **kwargs: Any) -> Self:
                """Connects."""
                try:
                    connection = await cls._connect_with_limits(*args, **kwargs)
                except psycopg.Error as error:
                    reason = " ".join(str(error).split())
                    if not refusals:
                        logger.warning("no connection to %s: %s", shown, reason)
                    refusals.append(reason)
                    raise
                if refusals:
                    logger.warning("connected to %s again", shown)
                refusals.clear()
                return connection

            @classmethod
            async def _connect_with_limits(cls, *args: Any, **kwargs: Any) -> Self:
                if not refused_options:
                    try:
                        return await super().connect(*args, options=options, **kwargs)
                    except psycopg.OperationalError as error:
                        # Poolers such as PgBouncer reject settings that they do not know.
                        if "startup parameter" not in str(error):
                            raise
                        refused_options.append(str(error))
                connection = await super().connect(*args, **kwargs)
                for name, value in limits.items():
                    await connection.execute("SELECT set_config(%s, %s, false)", (name, str(value)))
                return connection

        super().__init__(
            url,
            name=f"{_NAME}{next(_numbers)}",
            connection_class=Connection,
            min_size=0,
            max_size=_LARGEST,
            open=False,
            timeout=timeout,
            reconnect_timeout=_RECONNECT_SECONDS,
            reconnect_failed=_keep_trying,
            kwargs={
                "autocommit": True,
                "connect_timeout": settings.get("connect_timeout") or max(2, round(timeout)),
                "application_name": settings.get("application_name") or "botwire",
            },
        )
        self._refusals = refusals
        self.long_reads = AsyncGate(_LONG_READS)
        """Limits long reads, which leaves connections for writes and short reads."""

    @property
    def refusal(self) -> str | None:
        """Why the last attempt to connect failed; None if it succeeded."""
        return self._refusals[0] if self._refusals else None


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
