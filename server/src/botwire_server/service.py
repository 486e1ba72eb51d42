"""The one way from a request to the engine: who may not pass is stopped, what is done counted."""

from __future__ import annotations

import logging

from starlette.types import Scope

from botwire.clock import now
from botwire.engines.protocol import AsyncEngine
from botwire.errors import (
    BotWireError,
    ConfigurationError,
    NotJSONError,
    PayloadTooLargeError,
    ServerError,
    TooComplexError,
)
from botwire.operations import Batch, Results
from botwire.terms import Quota, Terms
from botwire.work import Work
from botwire_server import problems
from botwire_server.access import Access, Caller
from botwire_server.limits import Policy, policies_of, take_request
from botwire_server.middleware import POLICIES, REQUEST_ID
from botwire_server.settings import Settings
from botwire_server.working import CALLER, WORK, RequestWork

WRITE_SECONDS = 5.0
"""For which a write may look through records while others wait to write."""

_NAMESPACE_RATE = "namespace-requests"


logger = logging.getLogger("botwire.server")


async def apply_batch(scope: Scope, batch: Batch) -> Results:
    """Applies a batch for whoever sent a request; every route that touches memory calls this.

    Args:
        scope: The request's.
        batch: What it asks for.

    Raises:
        AuthenticationError: The caller's key has ended since the request came.
        PermissionDeniedError: The caller may not do this.
        PayloadTooLargeError: The batch has too many operations.
        QuotaExceededError: A quota is used up.
    """
    state = scope["app"].state
    settings: Settings = state.settings
    access: Access = state.access
    caller: Caller = scope[CALLER]
    await access.renew(caller)
    caller.check(batch)
    if len(batch.operations) > settings.max_batch:
        raise PayloadTooLargeError(
            f"a batch has at most {settings.max_batch} operations here, and this one has "
            f"{len(batch.operations)}: send it in parts"
        )
    policies: list[Policy] = scope[POLICIES]
    # A request counts once, however many looks at the store it takes, as a stream does.
    counted = any(policy.name == _NAMESPACE_RATE for policy in policies)
    if settings.namespace_rate is not None and not counted:
        take_request(
            state.rates,
            f"namespace {batch.namespace}",
            settings.namespace_rate,
            _NAMESPACE_RATE,
            "this namespace",
            policies,
        )
    engine: AsyncEngine = state.engine
    try:
        with state.tracing.batch(batch):
            work: RequestWork = scope[WORK]
            if not batch.writes:
                if any(one.admin for one in batch.operations):
                    work.extend()  # whoever keeps the store may look at all of it
                terms = Terms(answer=settings.max_answer, work=work)
                return await work.run(engine.apply(batch.on_terms(terms)))
            terms = _terms(batch, caller, settings, scope[REQUEST_ID])
            terms.work = Work(WRITE_SECONDS)
            try:
                results = await engine.apply(batch.on_terms(terms))
            finally:
                policies.extend(policies_of(terms, now()))
    except ConfigurationError as error:
        if isinstance(error, (NotJSONError, TooComplexError)):
            raise
        # The batch was checked when it was made: what is wrong now is wrong with the store.
        state.is_writable = state.is_writable and not batch.writes
        logger.error("the store cannot do this: %s", error)  # noqa: TRY400 - it says what is wrong
        failure = ServerError(f"the store cannot do this: {_public(error)}", status=503)
        state.metrics.count_problem(failure.slug)
        raise failure from error
    except BotWireError as error:
        state.metrics.count_problem(problems.translate(error).slug)
        raise
    state.is_writable = True
    state.watchers.wake(batch.namespace)
    return results


def _public(error: ConfigurationError) -> str:
    """Returns what anyone may know: no path of the server's."""
    return "whoever runs the server finds in its log why" if "/" in str(error) else str(error)


def _terms(batch: Batch, caller: Caller, settings: Settings, request_id: str) -> Terms:
    terms = Terms(
        Quota(settings.writes_a_day, settings.bytes_stored),
        audit=caller.audit(batch, request_id),
        answer=settings.max_answer,
    )
    key = caller.key
    if key is not None:
        writes = settings.key_writes if key.writes is None else key.writes
        if writes is not None:
            terms.account = key.account
            terms.account_quota = Quota(writes)
            terms.account_name = "this API key"
    return terms
