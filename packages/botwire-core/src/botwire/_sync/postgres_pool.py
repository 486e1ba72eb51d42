# Generated from _async/postgres_pool.py by scripts/generate_blocking.py: do not edit.
"""The connections to PostgreSQL: there soon after an outage, and until then why there is none."""

from __future__ import annotations

from collections import deque
from typing import Any, Self

import psycopg
from psycopg.abc import AdaptContext
from psycopg_pool import ConnectionPool

from botwire._loops import Gate

_LARGEST = 10  # connections of one process; writers of one namespace wait for each other anyway
_LONG_READS = 6  # of these, for reads that may take long
_RECONNECT_SECONDS = 0.5  # between attempts, while someone waits; the pool's own pause doubles


class PostgresPool(ConnectionPool[psycopg.Connection[Any]]):
    """A pool of connections in autocommit mode, not open yet.

    Args:
        url: Of the database.
        timeout: Seconds that a statement, waiting for a lock, or connecting may take.
        context: Says how values are sent and read.
    """

    def __init__(self, url: str, *, timeout: float, context: AdaptContext) -> None:
        refusals: deque[str] = deque(maxlen=1)

        class Connection(psycopg.Connection[Any]):
            """A connection of this pool's, which otherwise only logs why it has none."""

            @classmethod
            def connect(cls, *args: Any, **kwargs: Any) -> Self:
                """Connects."""
                try:
                    connection = super().connect(*args, **kwargs)
                except psycopg.Error as error:
                    refusals.append(" ".join(str(error).split()))
                    raise
                refusals.clear()
                return connection

        milliseconds = max(1, round(timeout * 1000))
        super().__init__(
            url,
            connection_class=Connection,
            min_size=0,
            max_size=_LARGEST,
            open=False,
            timeout=timeout,
            reconnect_timeout=_RECONNECT_SECONDS,
            reconnect_failed=_keep_trying,
            kwargs={
                "autocommit": True,
                "connect_timeout": max(2, round(timeout)),
                "application_name": "botwire",
                "context": context,
                "options": f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds}",
            },
        )
        self._refusals = refusals
        self.long_reads = Gate(_LONG_READS)
        """Those that may take long leave connections for writers and for short reads."""

    @property
    def refusal(self) -> str | None:
        """Why the last attempt to connect failed; None if it did not."""
        return self._refusals[0] if self._refusals else None


def _keep_trying(pool: ConnectionPool[Any]) -> None:
    """Goes on after a pool has given up connecting, as long as someone waits for a connection."""
    if pool.get_stats()["requests_waiting"]:
        pool.check()  # which lets it grow again
