"""The writer of a SQLite file: group commit without a thread of its own.

The thread that gets the lock commits all waiting batches in one transaction; the other threads then
find their answers. A lone caller pays for no thread switch.

The price is that a commit runs in a caller's thread. Between any two bytecodes, an exception may be
raised (by Ctrl-C or a signal handler), or the same thread may call this writer again (from a signal
handler or a finalizer). Either way a `_Flight` stays unfinished. The next step settles it: the
connection's state tells whether the flight was committed. Batches that were not committed still
wait. A nested call then commits them on a connection of its own.

A block that holds a lock, or whose `finally` must run, has no loop in it: where a `while` with a
condition jumps back, CPython 3.13.0 does not cover the jump with the block's handlers, as 3.11 and
3.12 do, so an exception raised by a signal handler there leaves the lock held. Such loops are
functions of their own, here and elsewhere.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from botwire.engines.protocol import OnCommit
from botwire.engines.sqlite.choosing import CommitChooser, Planned
from botwire.engines.sqlite.file import roll_back
from botwire.engines.sqlite.waiting import BusyError
from botwire.errors import BotWireError
from botwire.operations import Results

_GROUP = 256  # most batches per commit

Outcome = Results | BotWireError
T = TypeVar("T")


class _Ticket:
    """A batch that waits for its commit, and its outcome."""

    __slots__ = ("batch", "outcome", "withdrawn")

    def __init__(self, batch: Planned) -> None:
        self.batch = batch
        self.outcome: Outcome | None = None
        self.withdrawn = False


class _Flight:
    """A transaction between its beginning and its commit.

    Attributes:
        connection: The connection, once it is open.
        tickets: The batches to commit. They wait until they have an outcome.
        outcomes: The batches' outcomes, set before the commit is tried.
        error: Why the transaction failed.
    """

    __slots__ = ("connection", "error", "outcomes", "tickets")

    def __init__(self) -> None:
        self.connection: sqlite3.Connection | None = None
        self.tickets: list[_Ticket] = []
        self.outcomes: list[Outcome] | None = None
        self.error: BotWireError | sqlite3.Error | None = None


class SQLiteWriter:
    """Commits the batches of all threads of a process, concurrent ones together.

    Args:
        connect: Opens a connection.
        alone: Whether there can be only one connection, as for an in-memory database.
        begin: Begins a transaction that holds the file's write lock. The second argument tells it
            to raise `BusyError` instead of waiting for the lock.
        end: Called after the transactions of a call.
        write: Applies a batch inside a transaction.
        tidy: Runs in each transaction, after its batches.
        check: Runs after each commit; an error it raises is the outcome instead of success.
        committed: Called after each commit that contained batches.
        explain: Returns the BotWire error for an error of SQLite.
    """

    def __init__(
        self,
        *,
        connect: Callable[[], sqlite3.Connection],
        alone: bool,
        begin: Callable[[sqlite3.Connection, bool], None],
        end: Callable[[], None],
        write: Callable[[sqlite3.Connection, Planned], Results],
        tidy: Callable[[sqlite3.Connection], None],
        check: Callable[[], None],
        committed: OnCommit,
        explain: Callable[[sqlite3.Error], BotWireError],
    ) -> None:
        self._connect = connect
        self._alone = alone
        self._begin = begin
        self._end = end
        self._write = write
        self._tidy = tidy
        self._check = check
        self._committed = committed
        self._explain = explain
        # RLock is written in C, so no interrupt comes between acquiring it and entering its block.
        self._lock = threading.RLock()
        self._owner: int | None = None
        self._waiting: dict[_Ticket, None] = {}  # in order of arrival
        self._turns = CommitChooser()
        self._flight: _Flight | None = None
        self._depth = 0  # how deeply the owner's calls are nested
        self._connections: list[sqlite3.Connection] = []  # one per depth

    def commit(self, batches: Sequence[Planned], *, is_hasty: bool = False) -> list[Outcome]:
        """Applies batches, each atomically, and returns the outcome of each.

        An interrupt is passed on. The caller then does not know whether its batches were committed;
        batches of other threads are not affected.

        Args:
            batches: The batches.
            is_hasty: Whether to raise an error instead of waiting for another process.

        Raises:
            BusyError: Another process holds the lock, and this call is hasty.
        """
        tickets = [_Ticket(batch) for batch in batches]
        try:
            for ticket in tickets:
                self._waiting[ticket] = None
            with self._lock:
                nested = self._enter()
                try:
                    self._commit_all(tickets, is_hasty=is_hasty)
                finally:
                    self._leave(nested=nested)
        except BaseException:
            for ticket in tickets:
                ticket.withdrawn = True
                self._waiting.pop(ticket, None)
            raise
        return [ticket.outcome for ticket in tickets if ticket.outcome is not None]

    def commit_at_once(self, batches: Sequence[Planned]) -> list[Outcome] | None:
        """Does what `commit` does, or returns None if it would have to wait for others."""
        if not self._connections or not self._lock.acquire(blocking=False):
            return None
        try:
            return self.commit(batches, is_hasty=True)
        except BusyError:
            return None
        finally:
            self._lock.release()

    def use(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Calls a function with the connection, outside of any transaction; returns its result."""
        with self._lock:
            nested = self._enter()
            try:
                connection = self.open()
                if connection.in_transaction:  # of an interrupted call
                    roll_back(connection)
                return work(connection)
            finally:
                self._leave(nested=nested)

    def try_use(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """Does what `use` does, or returns None if it would have to wait for another thread."""
        if not self._lock.acquire(blocking=False):
            return None
        try:
            return self.use(work)
        finally:
            self._lock.release()

    def tidy_up(self) -> None:
        """Runs `tidy` in a transaction without batches.

        Raises:
            BotWireError: The database failed.
        """
        with self._lock:
            nested = self._enter()
            try:
                failure = self._fly(most=0)
            finally:
                self._leave(nested=nested)
        if failure is not None:
            raise failure

    def close(self) -> None:
        """Closes the connections. The next use opens them again."""
        with self._lock:
            nested = self._enter()
            if not nested:  # an interrupted call still needs its connection
                self._owner = None
                self._close_all()

    def pause(self, seconds: float) -> bool:
        """Blocks commits of other threads until `resume`; returns False if it timed out."""
        return self._lock.acquire(timeout=seconds)

    def resume(self) -> None:
        """Ends a pause. Must be called by the thread that paused."""
        self._lock.release()

    def open(self) -> sqlite3.Connection:
        """Returns the connection for the current depth. The caller holds the lock."""
        depth = 0 if self._alone else self._depth
        while len(self._connections) <= depth:
            self._connections.append(self._connect())
        return self._connections[depth]

    # --- the lock is held from here on ------------------------------------------------------

    def _commit_all(self, tickets: Sequence[_Ticket], *, is_hasty: bool) -> None:
        for ticket in tickets:
            while ticket.outcome is None:
                # Once one of them was committed, the others are too.
                failure = self._fly(is_hasty=is_hasty and ticket is tickets[0])
                if isinstance(failure, BusyError):
                    raise failure

    def _close_all(self) -> None:
        while self._connections:
            self._connections.pop().close()

    def _enter(self) -> bool:
        """Prepares for a call; returns whether it is nested in another call of this thread."""
        thread = threading.get_ident()
        nested = self._owner == thread
        self._owner = thread
        self._depth = self._depth + 1 if nested else 0
        if nested or self._flight is not None:
            self._settle(nested=nested)
        return nested

    def _leave(self, *, nested: bool) -> None:
        interrupt: BaseException | None = None
        while self._flight is not None:  # an exception is propagating
            try:
                self._settle(nested=False)
            except BaseException as error:  # noqa: BLE001 - a second Ctrl-C, raised below
                interrupt = error
        self._depth -= nested
        if not nested:
            self._owner = None
            self._end()
        elif self._alone and self._connections:
            _begin_in_vain(self._connections[0])
        if interrupt is not None:
            raise interrupt

    def _settle(self, *, nested: bool) -> None:
        """Ends the flight that an exception or a nested call has interrupted.

        May itself be interrupted anywhere, and is then repeated.
        """
        flight = self._flight
        if flight is not None and flight.connection is not None:
            in_transaction = flight.connection.in_transaction
            if flight.outcomes is not None and flight.error is None and not in_transaction:
                # No transaction is open and the commit did not fail, so it succeeded.
                self._land(flight, flight.outcomes)
            else:
                if in_transaction:
                    roll_back(flight.connection)
                if nested:
                    _begin_in_vain(flight.connection)
        self._flight = None

    def _fly(self, most: int = _GROUP, *, is_hasty: bool = False) -> BotWireError | None:
        """Commits waiting batches; returns the error if the transaction failed."""
        flight = _Flight()
        self._flight = flight
        # A nested call clears self._flight, so do not read any state before this line.
        began = time.perf_counter()
        try:
            flight.tickets = self._take(most)
            flight.connection = connection = self.open()
            if connection.in_transaction:  # of an interrupted flight
                roll_back(connection)
            self._begin(connection, is_hasty)
            # If a nested call has run, it has committed the tickets, and this transaction no longer
            # is what the flight says.
            if self._flight is flight:
                outcomes = self._write_all(connection, flight.tickets)
                self._tidy(connection)
                flight.outcomes = outcomes
                if self._flight is flight:
                    connection.execute("COMMIT")
                    if self._flight is flight:
                        self._check()
        # Record the error first: an interrupt before that would make a failure look like a success.
        except sqlite3.Error as error:
            flight.error = error
        except BotWireError as error:
            flight.error = error
        except Exception:
            if self._flight is flight:
                raise
            # A nested call ran in between, so `write` saw rows of two transactions. The nested call
            # has already committed the batches.
        if self._flight is not flight:
            if flight.connection is not None and flight.connection.in_transaction:
                roll_back(flight.connection)
            return None
        why = flight.error
        if why is None:
            assert flight.outcomes is not None
            self._land(flight, flight.outcomes)
            self._flight = None
            if flight.tickets:
                self._committed(len(flight.tickets), time.perf_counter() - began)
            return None
        if flight.connection is not None and flight.connection.in_transaction:
            roll_back(flight.connection)
        failure = self._explain(why) if isinstance(why, sqlite3.Error) else why
        if not isinstance(failure, BusyError):  # otherwise they still wait
            self._land(flight, [failure for _ in flight.tickets])
        self._flight = None
        return failure

    def _take(self, most: int) -> list[_Ticket]:
        waiting: list[_Ticket] = []
        for ticket in self._snapshot():
            if ticket.withdrawn or ticket.outcome is not None:
                self._waiting.pop(ticket, None)
            else:
                waiting.append(ticket)
        if not most:
            return []
        taken, _ = self._turns.choose(waiting, lambda ticket: ticket.batch)
        return taken[:most]

    def _snapshot(self) -> tuple[_Ticket, ...]:
        while True:
            try:
                return tuple(self._waiting)
            except RuntimeError:  # another thread or a finalizer has added a ticket meanwhile
                continue

    def _land(self, flight: _Flight, outcomes: Sequence[Outcome]) -> None:
        for ticket, outcome in zip(flight.tickets, outcomes, strict=True):
            ticket.outcome = outcome
            self._waiting.pop(ticket, None)

    def _write_all(
        self, connection: sqlite3.Connection, tickets: Sequence[_Ticket]
    ) -> list[Outcome]:
        if len(tickets) == 1:
            # The batch has the transaction to itself, so a failure rolls back the transaction.
            return [self._write(connection, tickets[0].batch)]
        return [self._write_shared(connection, ticket.batch) for ticket in tickets]

    def _write_shared(self, connection: sqlite3.Connection, batch: Planned) -> Outcome:
        connection.execute("SAVEPOINT batch")
        try:
            results = self._write(connection, batch)
        except BotWireError as error:
            connection.execute("ROLLBACK TO batch")
            connection.execute("RELEASE batch")
            return error
        connection.execute("RELEASE batch")
        return results


def _begin_in_vain(connection: sqlite3.Connection) -> None:
    """Begins a transaction that will never be committed.

    An interrupted call may still execute statements of a transaction that no longer exists. In this
    one they have no effect.
    """
    with contextlib.suppress(sqlite3.Error):
        connection.execute("BEGIN")
