"""The route that clients use: a batch of operations in, their results out."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from botwire import wire
from botwire.engines.protocol import AsyncEngine
from botwire.errors import InvalidRequestError
from botwire.names import check_id


async def read_json(request: Request) -> Any:
    """Returns the decoded body of a request.

    Raises:
        InvalidRequestError: It is not JSON.
    """
    body = await request.body()
    try:
        return json.loads(body)
    except RecursionError:
        raise InvalidRequestError("the body is nested too deeply") from None
    except ValueError as error:
        raise InvalidRequestError(f"the body is not JSON: {error}") from None


def request_id(request: Request) -> str | None:
    """Returns what the caller named this write, so that sending it again is harmless."""
    given = request.headers.get(wire.IDEMPOTENCY_HEADER)
    return None if given is None else check_id(given)


async def apply_batch(request: Request) -> Response:
    """Applies a batch; see `botwire.wire` for how it looks."""
    engine: AsyncEngine = request.app.state.engine
    batch = wire.decode_batch(await read_json(request), request_id(request))
    results = await engine.apply(batch)
    body = wire.encode_results(batch.operations, results)
    return Response(body, media_type="application/json")
