"""The writer of a SQLite file, and the batches that wait for it.

Whoever holds the lock commits everything that waits, in one transaction (group commit); the other
threads then find their answers. No thread is needed for it, so a lone caller pays no switch.

The price is that a commit runs in a caller's thread, where two things may happen between any two
bytecodes: an exception (Ctrl-C, or whatever a signal handler raises), and a call of this writer by
the same thread (a signal handler, or a finalizer that the garbage collector runs). Both find the
writer in the same state, a `_Flight` under way, and both settle it in the same way: what the
connection says tells whether the flight was committed, and what was not committed still waits.
A call that cuts in then commits what waits on a connection of its own.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from botwire.engines.protocol import OnCommit
from botwire.errors import BotWireError
from botwire.operations import Batch, Results

_GROUP = 256  # most batches that share a commit

Outcome = Results | BotWireError
T = TypeVar("T")


class _Ticket:
    """A batch that waits for its commit, and what came of it."""

    __slots__ = ("batch", "outcome", "withdrawn")

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.outcome: Outcome | None = None
        self.withdrawn = False


class _Flight:
    """A transaction on its way to its commit.

    Attributes:
        connection: Where it is made, once that is open.
        tickets: What it commits. They wait until they have an outcome.
        outcomes: What its batches answer; there before the commit is tried.
        error: Why nothing of it was committed.
    """

    __slots__ = ("connection", "error", "outcomes", "tickets")

    def __init__(self) -> None:
        self.connection: sqlite3.Connection | None = None
        self.tickets: list[_Ticket] = []
        self.outcomes: list[Outcome] | None = None
        self.error: BotWireError | sqlite3.Error | None = None


class SQLiteWriter:
    """Commits the batches of all threads of a process, together where they come together.

    Args:
        connect: Opens a connection.
        alone: Whether there can be only one, as for memory that is a connection's own.
        begin: Begins a transaction that holds the file's write lock.
        write: Applies a batch inside of a transaction.
        tidy: Runs in each transaction behind its batches.
        check: Runs behind each commit; what it raises is the answer instead of success.
        committed: Is told of each commit that held batches.
        explain: Returns the error of ours for one of SQLite's.
    """

    def __init__(
        self,
        *,
        connect: Callable[[], sqlite3.Connection],
        alone: bool,
        begin: Callable[[sqlite3.Connection], None],
        write: Callable[[sqlite3.Connection, Batch], Results],
        tidy: Callable[[sqlite3.Connection], None],
        check: Callable[[], None],
        committed: OnCommit,
        explain: Callable[[sqlite3.Error], BotWireError],
    ) -> None:
        self._connect = connect
        self._alone = alone
        self._begin = begin
        self._write = write
        self._tidy = tidy
        self._check = check
        self._committed = committed
        self._explain = explain
        # Of C, so that no interrupt comes between taking it and the block that gives it back.
        self._lock = threading.RLock()
        self._owner: int | None = None
        self._waiting: dict[_Ticket, None] = {}  # in the order in which they came
        self._flight: _Flight | None = None
        self._depth = 0  # how many calls of the owner have cut into one another
        self._connections: list[sqlite3.Connection] = []  # one for each depth

    def commit(self, batches: Sequence[Batch]) -> list[Outcome]:
        """Applies batches, each on its own all or not at all, and returns what each answers.

        An interrupt goes through; whether the caller's batches were committed is then not known,
        as with any call that was cut off, and those of other threads are not touched by it.
        """
        tickets = [_Ticket(batch) for batch in batches]
        try:
            for ticket in tickets:
                self._waiting[ticket] = None
            with self._lock:
                nested = self._enter()
                try:
                    for ticket in tickets:
                        while ticket.outcome is None:
                            self._fly()
                finally:
                    self._leave(nested=nested)
        except BaseException:
            for ticket in tickets:
                ticket.withdrawn = True
                self._waiting.pop(ticket, None)
            raise
        return [ticket.outcome for ticket in tickets if ticket.outcome is not None]

    def use(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Returns what a function makes of the connection, outside of any transaction."""
        with self._lock:
            nested = self._enter()
            try:
                connection = self.open()
                if connection.in_transaction:  # of a call that was cut into
                    _roll_back(connection)
                return work(connection)
            finally:
                self._leave(nested=nested)

    def try_use(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """Does the same, or returns None if it would have to wait for another thread."""
        if not self._lock.acquire(blocking=False):
            return None
        try:
            return self.use(work)
        finally:
            self._lock.release()

    def tidy_up(self) -> None:
        """Commits what tidies up, without any batch.

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
        """Closes the connection; the next use opens it again."""
        with self._lock:
            nested = self._enter()
            if not nested:  # whoever is interrupted by this call still needs them
                self._owner = None
                while self._connections:
                    self._connections.pop().close()

    def pause(self, seconds: float) -> bool:
        """Lets no other thread commit until `resume`; says whether that came about in time."""
        return self._lock.acquire(timeout=seconds)

    def resume(self) -> None:
        """Ends a pause; for the thread that it was granted to."""
        self._lock.release()

    def open(self) -> sqlite3.Connection:
        """Returns the connection of the call that holds the lock."""
        depth = 0 if self._alone else self._depth
        while len(self._connections) <= depth:
            self._connections.append(self._connect())
        return self._connections[depth]

    # --- the lock is held from here on ------------------------------------------------------

    def _enter(self) -> bool:
        """Makes the writer ready for a call; says whether it interrupts another of this thread."""
        thread = threading.get_ident()
        nested = self._owner == thread
        self._owner = thread
        self._depth = self._depth + 1 if nested else 0
        if nested or self._flight is not None:
            self._settle(nested=nested)
        return nested

    def _leave(self, *, nested: bool) -> None:
        interrupt: BaseException | None = None
        while self._flight is not None:  # an exception is on its way
            try:
                self._settle(nested=False)
            except BaseException as error:  # noqa: BLE001 - raised below: a second Ctrl-C
                interrupt = error
        self._depth -= nested
        if not nested:
            self._owner = None
        elif self._alone and self._connections:
            _begin_in_vain(self._connections[0])
        if interrupt is not None:
            raise interrupt

    def _settle(self, *, nested: bool) -> None:
        """Ends what an exception, or a call of the same thread, has cut off.

        May itself be cut off anywhere, and is then done again.
        """
        flight = self._flight
        if flight is not None and flight.connection is not None:
            in_transaction = flight.connection.in_transaction
            if flight.outcomes is not None and flight.error is None and not in_transaction:
                # The commit was tried and did not fail: it is over, as no transaction is open.
                self._land(flight, flight.outcomes)
            else:
                if in_transaction:
                    _roll_back(flight.connection)
                if nested:
                    _begin_in_vain(flight.connection)
        self._flight = None

    def _fly(self, most: int = _GROUP) -> BotWireError | None:
        """Commits what waits; returns why, if nothing of it could be."""
        flight = _Flight()
        self._flight = flight
        # Only from here on does a call that cuts in leave a mark, so nothing was looked at before.
        began = time.perf_counter()
        try:
            flight.tickets = self._take(most)
            flight.connection = connection = self.open()
            if connection.in_transaction:  # of a flight that was cut into
                _roll_back(connection)
            self._begin(connection)
            # If a call of this thread has cut in, it has seen to the tickets, and this transaction
            # is not, or no more, what the flight says.
            if self._flight is flight:
                outcomes = self._write_all(connection, flight.tickets)
                self._tidy(connection)
                flight.outcomes = outcomes
                if self._flight is flight:
                    connection.execute("COMMIT")
                    if self._flight is flight:
                        self._check()
        # Nothing may come before these: an interrupt would make a failure look like a success.
        except sqlite3.Error as error:
            flight.error = error
        except BotWireError as error:
            flight.error = error
        except Exception:
            if self._flight is flight:
                raise
            # Rows of two transactions made no sense together; the batches are seen to.
        if self._flight is not flight:
            if flight.connection is not None and flight.connection.in_transaction:
                _roll_back(flight.connection)
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
            _roll_back(flight.connection)
        failure = self._explain(why) if isinstance(why, sqlite3.Error) else why
        self._land(flight, [failure for _ in flight.tickets])
        self._flight = None
        return failure

    def _take(self, most: int) -> list[_Ticket]:
        taken: list[_Ticket] = []
        for ticket in self._snapshot():
            if ticket.withdrawn or ticket.outcome is not None:
                self._waiting.pop(ticket, None)
            elif len(taken) < most:
                taken.append(ticket)
        return taken

    def _snapshot(self) -> tuple[_Ticket, ...]:
        while True:
            try:
                return tuple(self._waiting)
            except RuntimeError:  # another thread, or a finalizer, has added to it meanwhile
                continue

    def _land(self, flight: _Flight, outcomes: Sequence[Outcome]) -> None:
        for ticket, outcome in zip(flight.tickets, outcomes, strict=True):
            ticket.outcome = outcome
            self._waiting.pop(ticket, None)

    def _write_all(
        self, connection: sqlite3.Connection, tickets: Sequence[_Ticket]
    ) -> list[Outcome]:
        if len(tickets) == 1:
            # The transaction is its own: if it fails, that is rolled back.
            return [self._write(connection, tickets[0].batch)]
        return [self._write_shared(connection, ticket.batch) for ticket in tickets]

    def _write_shared(self, connection: sqlite3.Connection, batch: Batch) -> Outcome:
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
    """Makes harmless what a call that was cut into may be about to execute.

    It goes on with statements of a transaction that is no more. In this one they have no effect, as
    it is never committed.
    """
    with contextlib.suppress(sqlite3.Error):
        connection.execute("BEGIN")


def _roll_back(connection: sqlite3.Connection) -> None:
    # After a full disk or an I/O error SQLite has rolled back by itself and says so.
    with contextlib.suppress(sqlite3.Error):
        connection.execute("ROLLBACK")
