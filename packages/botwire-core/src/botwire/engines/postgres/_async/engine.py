"""The PostgreSQL engine: memory in a database shared by many machines."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
import uuid
from dataclasses import replace
from typing import Any

import psycopg
from psycopg import errors as pg
from psycopg_pool import PoolClosed, PoolTimeout

from botwire import work
from botwire.clock import Clock, now
from botwire.engines import retry
from botwire.engines.loops import AsyncClientPerLoop
from botwire.engines.postgres._async import maintenance
from botwire.engines.postgres._async.pool import AsyncPostgresPool, SilenceError, silent_after
from botwire.engines.postgres._async.runner import SNAPSHOT, WRITING, run, transact
from botwire.engines.protocol import OnCommit
from botwire.engines.sql import batches, migrations, pages, planning, sweeping
from botwire.engines.sql.plans import UnplannedError
from botwire.engines.sql.schema import POSTGRES
from botwire.engines.sql.steps import SWEEP_EVERY
from botwire.engines.sql.vector_cache import VectorCache
from botwire.errors import (
    BotWireError,
    ConfigurationError,
    RequestTimeoutError,
    ServerError,
    TransportError,
)
from botwire.operations import Batch, Results
from botwire.places import not_a_url, without_password

logger = logging.getLogger("botwire.postgres")

_NOTHING = contextlib.nullcontext()
_CHARACTERS_PER_ROW = 256  # bytes of text that take as long to split into words as a row to process
_SWEEP_SECONDS = 0.02  # how long a sweep may delay the write that triggered it

# Classes of errors that a retry may fix: a connection (also between the nodes of a cluster), a lost
# race, a lack of resources, a restart, a session that was idle for too long. See
# https://www.postgresql.org/docs/current/errcodes-appendix.html.
_TRANSIENT = ("08", "40", "53", "57P", "25P03")


class AsyncPostgresEngine:
    """Applies batches to a PostgreSQL database.

    Each write locks the row of its namespace: the changes of one namespace have one order, and
    namespaces do not wait for each other. A write whose answer got lost is retried under the same
    id and applied once.

    Args:
        url: ``postgresql://user@host:port/database``, several hosts allowed; see
            https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS.
        timeout: Seconds that a call may take, including retries and waiting for locks.
        clock: Returns the current time.

    Raises:
        ConfigurationError: The URL is not valid.
    """

    def __init__(self, url: str, *, timeout: float = 10.0, clock: Clock = now) -> None:
        try:
            psycopg.conninfo.conninfo_to_dict(url)
        except psycopg.ProgrammingError as error:
            raise not_a_url(url, str(error), "PostgreSQL URL") from None
        self._url = url
        self.url = without_password(url)
        self._timeout = timeout
        self.on_commit: OnCommit | None = None
        self._clock = clock
        self._vectors = VectorCache()
        self._selections = planning.Selections()
        self._is_current = False
        self._swept_at = 0
        self._outage = retry.Outage()
        self._pools = AsyncClientPerLoop(
            self._make_pool,
            AsyncPostgresPool.close,
            abandon=AsyncPostgresPool.abandon,
            expected=(psycopg.Error, BotWireError),
        )

    def settings(self) -> dict[str, Any]:
        """Returns the arguments for another engine on the same database, password included."""
        return {"url": self._url, "timeout": self._timeout, "clock": self._clock}

    def _make_pool(self) -> AsyncPostgresPool:
        return AsyncPostgresPool(self._url, timeout=self._timeout)

    async def apply(self, batch: Batch) -> Results:
        """Applies a batch and returns one result per operation; see `Engine.apply`."""
        if batch.writes and batch.idempotency_id is None:
            batch = replace(batch, idempotency_id=uuid.uuid4().hex)
        while True:
            async with self._pools.use() as pool:
                try:
                    return await self._apply(pool, batch)
                except PoolClosed as error:
                    if await self._pools.get() is pool:  # the event loop ends
                        raise TransportError(
                            f"no answer from {self.url}: {_reason(error)}", url=self.url
                        ) from error
                    # Another caller has closed this object, and this call opens a new pool.

    async def _apply(self, pool: AsyncPostgresPool, batch: Batch) -> Results:
        deadline = time.monotonic() + self._outage.limit(self._timeout)
        attempt = 0
        while True:
            attempt += 1
            try:
                left = deadline - time.monotonic()
                async with (
                    _NOTHING
                    if batch.writes or pages.is_short(batch)
                    else pool.long_reads.passing(left),
                    pool.lend(max(0.01, left)) as connection,
                ):
                    if not self._is_current:
                        await self._prepare(connection)
                    results = await self._run(connection, batch)
                    if batch.writes and self._clock() - self._swept_at >= SWEEP_EVERY:
                        await self._sweep_behind(connection)
                    self._outage.end()
                    pool.is_suspect = False
                    return results
            except (BotWireError, PoolClosed):
                raise
            except pg.UndefinedTable as error:
                # Someone dropped the tables; the next call checks them again.
                self._is_current = False
                raise self._failure(error) from error
            except (
                TimeoutError,
                PoolTimeout,
                pg.QueryCanceled,
                pg.LockNotAvailable,
            ) as error:
                refusal = pool.refusal if isinstance(error, PoolTimeout) else None
                failure = RequestTimeoutError(
                    f"no answer from {self.url} within {self._timeout:g} s: "
                    f"{_reason(error) if refusal is None else refusal.reason}",
                    url=self.url,
                )
                if refusal is not None:
                    self._outage.begin(failure, pause=retry.PAUSE if refusal.is_silence else 0)
                raise failure from error
            except SilenceError as error:
                pool.is_suspect = True
                said = f"no answer from {self.url} within {self._timeout:g} s: {error}"
                self._outage.begin(RequestTimeoutError(said, url=self.url), pause=retry.PAUSE)
                doubt = "; the write may or may not have been applied" if batch.writes else ""
                raise RequestTimeoutError(said + doubt, url=self.url) from error
            except psycopg.Error as error:
                wait = retry.delay(attempt, remaining=deadline - time.monotonic())
                is_lost = _is_lost(error)
                if not is_lost and (wait is None or not _is_transient(error)):
                    raise self._failure(error) from error
                if wait is None:
                    raise TransportError(
                        f"no answer from {self.url}: {_reason(error)}", url=self.url
                    ) from error
            await asyncio.sleep(wait)
            # A lost connection rarely comes alone, so check those in the pool too.
            await pool.check()

    async def _run(self, connection: psycopg.AsyncConnection[Any], batch: Batch) -> Results:
        if batch.maintains:
            return [await maintenance.maintain(connection, batch.operations[0])]
        moment = self._clock()
        if batch.writes:
            return await self._write(connection, batch, moment)
        steps = batches.read(batch, moment, self._vectors, in_rounds=True)
        with work.on(None if batch.terms is None else batch.terms.verdict):
            if batch.needs_snapshot:
                results = await transact(connection, SNAPSHOT, steps)
            else:
                results = await run(connection, steps)
        return results

    async def _write(
        self, connection: psycopg.AsyncConnection[Any], batch: Batch, moment: int
    ) -> Results:
        plan = planning.first_plan(batch)
        tried = 0
        held_to = _limits(batch)
        with work.on(None if held_to is None else held_to.verdict):
            while True:
                if plan is None:
                    is_last = tried >= planning.TRIES
                    making = planning.plan(batch, moment, self._selections, is_last=is_last)
                    plan = await transact(connection, SNAPSHOT, making, _weight(batch))
                began = time.perf_counter()
                steps = batches.write(
                    batch,
                    moment,
                    lock=" FOR UPDATE",
                    plan=plan,
                    # To wait for another writer is not this one's work.
                    locked=None if held_to is None else held_to.restart,
                )
                weight = 0 if plan.counts else _weight(batch)
                try:
                    results: Results = await transact(connection, WRITING, steps, weight)
                except UnplannedError:
                    plan = None
                    tried += 1
                    continue
                if self.on_commit is not None:
                    self.on_commit(1, time.perf_counter() - began)
                return results

    async def sweep(self) -> None:
        """Removes expired data. Writers also do so now and then; this is for idle stores.

        Raises:
            ServerError: The database failed; the next sweep continues.
        """
        async with self._pools.use() as pool:
            try:
                async with pool.lend(self._timeout) as connection:
                    if not self._is_current:
                        await self._prepare(connection)
                    await self._sweep(connection)
            except psycopg.Error as error:
                raise self._failure(error) from error

    async def _sweep_behind(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Sweeps briefly after a write. A failure is at most logged, as the write has succeeded."""
        try:
            await self._sweep(connection, _SWEEP_SECONDS)
        except psycopg.Error as error:
            self._swept_at = self._clock()
            if not _is_lost(error) and not _is_transient(error):  # the pool logs outages
                logger.warning("a sweep of expired data failed, and will be retried", exc_info=True)

    async def _sweep(
        self, connection: psycopg.AsyncConnection[Any], seconds: float | None = None
    ) -> None:
        """Removes expired data in short transactions, for `seconds` or until none is left."""
        began = time.monotonic()
        now = self._clock()
        # One namespace at a time, locked as its writers lock it: locking all expired rows at once
        # would block writers, and two processes that sweep could deadlock.
        while namespaces := await run(connection, sweeping.find_expired(now)):
            for namespace in namespaces:
                steps = sweeping.sweep_namespace(namespace, now, " FOR UPDATE")
                await transact(connection, WRITING, steps)
                if seconds is not None and time.monotonic() - began > seconds:
                    return  # the next write continues
        while await run(connection, sweeping.forget_requests(now)):
            if seconds is not None and time.monotonic() - began > seconds:
                return
        self._swept_at = now

    async def _prepare(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Creates the tables, or migrates them to this release's version."""
        while not self._is_current:
            try:
                version = await self._version(connection)
                if version < migrations.latest():
                    await self._migrate(connection)
            except (pg.DuplicateTable, pg.UniqueViolation, pg.DuplicateObject):
                continue  # another process created them at the same time: check again
            self._is_current = True

    async def _version(
        self, connection: psycopg.AsyncConnection[Any], *, lock: bool = False
    ) -> int:
        """Returns the version of the tables, 0 if there are none."""
        cursor = await connection.execute("SELECT to_regclass('botwire_schema') IS NULL")
        if (await cursor.fetchall())[0][0]:
            return 0
        select = b"SELECT version FROM botwire_schema"
        cursor = await connection.execute(select + (b" FOR UPDATE" if lock else b""))
        version: int = (await cursor.fetchall())[0][0]
        migrations.refuse_newer(version, self.url)
        return version

    async def _migrate(self, connection: psycopg.AsyncConnection[Any]) -> None:
        with silent_after(connection, math.inf):
            await self._migrate_patiently(connection)

    async def _migrate_patiently(self, connection: psycopg.AsyncConnection[Any]) -> None:
        async with connection.transaction():
            # A migration may take long, here or in another process that holds the lock.
            await connection.execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")
            # The lock on this row lets one process migrate; the others then find it done.
            version = await self._version(connection, lock=True)
            if version == 0:
                await connection.execute("CREATE TABLE botwire_schema (version BIGINT PRIMARY KEY)")
                await connection.execute("INSERT INTO botwire_schema VALUES (0)")
            await run(connection, migrations.migrate(version, POSTGRES))
            await connection.execute(
                "UPDATE botwire_schema SET version = %s", (migrations.latest(),)
            )

    def _failure(self, error: psycopg.Error) -> BotWireError:
        if isinstance(error, (pg.InsufficientPrivilege, pg.ReadOnlySqlTransaction)):
            return ConfigurationError(f"{self.url} cannot be written: {_reason(error)}")
        if isinstance(error, pg.DiskFull):
            return ServerError(f"{self.url}: the disk is full; nothing was written", status=507)
        return ServerError(f"{self.url}: {_reason(error)} ({error.sqlstate})")

    async def aclose(self) -> None:
        """Closes the running event loop's connections. The next call opens new ones."""
        await self._pools.close()


def _limits(batch: Batch) -> work.Work | None:
    held_to = None if batch.terms is None else batch.terms.work
    return None if held_to is None else held_to.restarted()


def _weight(batch: Batch) -> int:
    """Returns how much a write has to compute, as a number of rows that take as long."""
    texts = [
        record.text
        for operation in batch.operations
        for record in getattr(operation, "records", ())
    ]
    return sum(map(len, texts)) // _CHARACTERS_PER_ROW


def _is_lost(error: psycopg.Error) -> bool:
    """Returns whether the connection was lost."""
    return error.sqlstate is None and isinstance(
        error, (psycopg.OperationalError, psycopg.InterfaceError)
    )


def _is_transient(error: psycopg.Error) -> bool:
    """Returns whether a retry may succeed."""
    return not isinstance(error, pg.DiskFull) and (error.sqlstate or "").startswith(_TRANSIENT)


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
