"""The only path from a request to the engine: checks rights and limits, applies, counts."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import Scope

from botwire import operations as ops
from botwire import wire
from botwire.clock import now
from botwire.engines.protocol import AsyncEngine
from botwire.errors import (
    BotWireError,
    ConfigurationError,
    InvalidRequestError,
    NotJSONError,
    PayloadTooLargeError,
    ServerError,
    TooComplexError,
)
from botwire.operations import Batch, Results
from botwire.operations.terms import BatchTerms, Quota, UsageReport
from botwire.pieces import unique
from botwire.work import Work
from botwire_server import problems
from botwire_server.auth import Caller
from botwire_server.limits import Policy, policies_of, take_request
from botwire_server.request_work import RequestWork, caller_of
from botwire_server.scopes import BODY_BYTES, CALLER, HEADERS, POLICIES, REQUEST_ID, WORK
from botwire_server.settings import Settings
from botwire_server.state import SharedState

WRITE_SECONDS = 5.0
"""Seconds that a write may search records, which blocks other writes."""

_AUTHOR_HEADER = wire.AUTHOR_HEADER.lower().encode()
_NAMESPACE_RATE = "namespace-requests"
_LONG_BYTES = 64 * 1024  # of a body; writing that much takes many milliseconds
_LISTS = ("entries", "ids", "items", "keys", "records", "seqs", "values")  # operations' fields
logger = logging.getLogger("botwire.server")


async def apply_batch(scope: Scope, batch: Batch) -> Results:
    """Applies a batch for the caller of a request; every route that uses the store calls this.

    Args:
        scope: The scope of the request.
        batch: The batch.

    Raises:
        AuthenticationError: The caller's key has become invalid since the request arrived.
        PermissionDeniedError: The caller may not do this.
        PayloadTooLargeError: The batch has too many operations, or lists too many values.
        QuotaExceededError: A quota is used up.
    """
    state: SharedState = scope["app"].state
    settings = state.settings
    caller: Caller = scope[CALLER]
    await state.authenticator.renew(caller)
    caller.check(batch)
    batch = _signed(scope, batch, caller)
    check_count("operations", len(batch.operations), settings.max_batch)
    check_count(
        "values, items, records or names", sum(map(_elements, batch.operations)), settings.max_batch
    )
    if settings.namespace_rate is not None:
        _count_request(scope, batch.namespace, settings.namespace_rate)
    try:
        with state.tracing.batch(batch):
            if not batch.writes:
                return await _read(scope, batch)
            results = await _write(scope, batch, caller)
    except ConfigurationError as error:
        if isinstance(error, (NotJSONError, TooComplexError)):
            raise
        # The batch was checked when it was created, so the fault is in the store.
        state.is_writable = state.is_writable and not batch.writes
        logger.error("the store failed: %s", error)  # noqa: TRY400 - the message is enough
        failure = ServerError(f"the store failed: {_public(error)}", status=503)
        state.metrics.count_problem(failure.slug)
        raise failure from error
    except BotWireError as error:
        state.metrics.count_problem(problems.translate(error).slug)
        raise
    state.is_writable = True
    state.watchers.wake(batch.namespace)
    return results


def _count_request(scope: Scope, namespace: str, rate: int) -> None:
    policies: list[Policy] = scope[POLICIES]
    # A request counts once, even a stream that reads the store many times.
    if not any(policy.name == _NAMESPACE_RATE for policy in policies):
        state: SharedState = scope["app"].state
        subject, whose = f"namespace {namespace}", "this namespace"
        take_request(state.rates, subject, rate, _NAMESPACE_RATE, whose, policies)


async def _read(scope: Scope, batch: Batch) -> Results:
    state: SharedState = scope["app"].state
    work: RequestWork = scope[WORK]
    if any(one.admin for one in batch.operations):
        work.extend()  # administrators may read the whole store
    terms = BatchTerms(answer=state.settings.max_answer, work=work)
    return await work.run(state.engine.apply(batch.on_terms(terms)))


async def _write(scope: Scope, batch: Batch, caller: Caller) -> Results:
    state: SharedState = scope["app"].state
    reports: list[UsageReport] = []
    terms = _terms(batch, caller, state.settings, scope[REQUEST_ID], reports.append)
    try:
        if not _is_long(scope, batch):
            return await state.engine.apply(batch.on_terms(terms))
        async with state.write_turns.turn(caller_of(scope)):
            return await state.engine.apply(batch.on_terms(terms))
    finally:
        for report in reports[-1:]:
            scope[POLICIES].extend(policies_of(terms, report, now()))


class CallerEngine:
    """An `AsyncEngine` on the store, limited to what the sender of a request may do.

    Args:
        scope: The scope of the request.
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def apply(self, batch: Batch) -> Results:
        """Applies a batch for the sender; see `apply_batch`."""
        try:
            return await apply_batch(self._scope, batch)
        except ClientDisconnect:
            raise InvalidRequestError("the client left", status=problems.CLIENT_GONE) from None

    async def sweep(self) -> None:
        """Does nothing: the server sweeps."""

    async def aclose(self) -> None:
        """Does nothing: the server closes the store."""


async def check_caller(scope: Scope) -> None:
    """Raises `AuthenticationError` if the caller's key has become invalid."""
    state: SharedState = scope["app"].state
    await state.authenticator.renew(scope[CALLER])


async def read_changes(
    engine: AsyncEngine, settings: Settings, namespace: str, after: int
) -> ops.ChangePage:
    """Returns the changes of a namespace after a revision, for all who may watch it.

    Args:
        engine: The store.
        settings: The server's settings.
        namespace: The namespace.
        after: The revision.
    """
    batch = Batch(namespace, (ops.ReadChanges(after),))
    (page,) = await engine.apply(batch.on_terms(BatchTerms(answer=settings.max_answer)))
    assert isinstance(page, ops.ChangePage)
    return page


def _signed(scope: Scope, batch: Batch, caller: Caller) -> Batch:
    """Returns a write with its author: what the client says about itself, and its API key.

    Raises:
        InvalidRequestError: The client sends an invalid author, or two authors.
    """
    if not batch.writes:
        return batch
    author = batch.author or ops.NOBODY
    given = scope[HEADERS].get(_AUTHOR_HEADER)
    if given is not None:
        if author:
            raise InvalidRequestError(
                f"the author is given twice, in the body and as {wire.AUTHOR_HEADER}: give one"
            )
        author = _read_author(given) or author
    if caller.key is not None:
        author = author.with_key(caller.key.id)
    return batch.by(author) if author else batch


def _read_author(given: bytes) -> ops.Author | None:
    try:
        text = given.decode("ascii")
        document = json.loads(text, object_pairs_hook=unique) if text.startswith("{") else text
    except (ValueError, RecursionError):
        raise InvalidRequestError(
            f"{wire.AUTHOR_HEADER} must be a name in ASCII, or a JSON object with agent, framework "
            "and run, in ASCII too"
        ) from None
    return wire.decode_author(document, wire.AUTHOR_HEADER)


def check_count(what: str, count: int, most: int) -> None:
    """Raises `PayloadTooLargeError` if a count exceeds the limit of one transaction."""
    if count > most:
        raise PayloadTooLargeError(
            f"a batch has at most {most:,} {what} here, and this one has {count:,}: "
            "send it in parts"
        )


def _elements(operation: ops.AnyOperation) -> int:
    """Returns the number of values, items, records or names that an operation lists."""
    cls: Any = type(operation)
    found = [getattr(operation, name) for name in _lists_of(cls)]
    return max([len(part) for part in found if part is not None], default=0)


@functools.cache
def _lists_of(cls: Any) -> tuple[str, ...]:
    return tuple([name for name in _LISTS if hasattr(cls, name)])


def _is_long(scope: Scope, batch: Batch) -> bool:
    """Returns whether a write may block other writers for many milliseconds."""
    return scope.get(BODY_BYTES, 0) > _LONG_BYTES or any(map(_is_unbounded, batch.operations))


def _is_unbounded(operation: ops.AnyOperation) -> bool:
    """Returns whether the cost of an operation grows with what is stored."""
    if isinstance(operation, ops.DeleteRecords):
        return operation.limit is None and operation.where.ids is None
    if isinstance(operation, (ops.ClearKeys, ops.ClearHistory)):
        return operation.limit is None
    return isinstance(
        operation,
        (ops.ArchiveHistory, ops.ReplaceHistory, ops.ForgetNamespace, ops.TrimHistory),
    )


def _public(error: ConfigurationError) -> str:
    """Returns the message without paths of the server, which callers must not see."""
    return "the server's log says why" if "/" in str(error) else str(error)


def _terms(
    batch: Batch,
    caller: Caller,
    settings: Settings,
    request_id: str,
    report: Callable[[UsageReport], None],
) -> BatchTerms:
    key = caller.key
    writes = None if key is None else key.writes
    if key is not None and writes is None:
        writes = settings.key_writes
    return BatchTerms(
        Quota(settings.writes_a_day, settings.bytes_stored),
        account=key.account if key is not None and writes is not None else None,
        account_quota=Quota(writes),
        account_name="this API key",
        audit=caller.audit(batch, request_id),
        answer=settings.max_answer,
        work=Work(WRITE_SECONDS),
        report=report,
    )
