"""The one way from a request to the engine: whoever may not pass is stopped here."""

from __future__ import annotations

from starlette.requests import Request

from botwire.engines.protocol import AsyncEngine
from botwire.errors import PermissionDeniedError
from botwire.names import is_reserved
from botwire.operations import Batch, Results


async def apply_batch(request: Request, batch: Batch) -> Results:
    """Applies a batch for whoever sent the request; every route that touches memory calls this.

    Raises:
        PermissionDeniedError: The caller may not do this.
    """
    # What is about the whole store is asked there.
    if is_reserved(batch.namespace) and not all(one.storewide for one in batch.operations):
        raise PermissionDeniedError("nobody may do this in that namespace")
    engine: AsyncEngine = request.app.state.engine
    results = await engine.apply(batch)
    if batch.writes:
        request.app.state.watchers.wake(batch.namespace)
    return results
