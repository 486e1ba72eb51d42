"""Changes of a namespace: read in pages, or streamed as they happen."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from botwire import operations as ops
from botwire import wire
from botwire.errors import BotWireError, InvalidRequestError
from botwire.models import Change
from botwire.names import check_prefix
from botwire_server import problems
from botwire_server.request_work import caller_of
from botwire_server.routes.applying import answer, apply
from botwire_server.routes.describing import answers
from botwire_server.routes.parameters import Limit, Namespace, Prefix, new_router
from botwire_server.scopes import VIA_CHANNEL
from botwire_server.service import check_caller
from botwire_server.watching import HEARTBEAT, Watchers

router = new_router("changes")

PUSHED = "application/jsonl"
"""The media type of the pages that a channel sends."""

_CHANGE = {"revision": 42, "shape": "key", "action": "put", "name": "prefs"}
_STREAM = (
    'retry: 1000\nid: 41\n\nid: 42\nevent: change\ndata: {"revision": 42, "shape": "key", '
    '"action": "put", "name": "prefs"}\n\n'
)


@router.get(
    "/changes",
    summary="Read changes",
    responses=answers(ops.ReadChanges, {"changes": [_CHANGE], "revision": 42}),
)
async def read_changes(
    request: Request,
    namespace: Namespace,
    after: Annotated[
        int | None,
        Query(description="Only changes after this revision; if omitted, none.", ge=0, lt=2**63),
    ] = None,
    limit: Limit = ops.MAX_PAGE,
) -> Response:
    """Returns `changes` in order, and the current `revision` to start from.

    Changes are kept for at least a day, but only the last 10,000. A change with the action `reset`
    reports that some were missed.
    """
    return await answer(request, namespace, ops.ReadChanges(after, limit))


@router.get(
    "/watch",
    summary="Watch changes",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "An endless stream of server-sent events.",
            "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _STREAM}},
        }
    },
)
async def watch(
    request: Request,
    namespace: Namespace,
    prefix: Prefix = "",
    after: Annotated[
        int | None,
        Query(description="Start after this revision; if omitted, now.", ge=0, lt=2**63),
    ] = None,
    last_event_id: Annotated[
        str | None,
        Header(
            description="Resume after this event; browsers send this by themselves.",
            json_schema_extra={"pattern": "^[0-9]{1,18}$"},
        ),
    ] = None,
) -> Response:
    """Sends each change as it happens, as an event `change` whose id is the revision.

    To resume after a lost connection without missing anything, send the last id as `Last-Event-ID`.
    """
    return await stream_changes(request, namespace, prefix, after, last_event_id)


async def stream_changes(
    request: Request,
    namespace: str,
    prefix: str = "",
    after: int | None = None,
    last_event_id: str | None = None,
) -> Response:
    """Returns the stream that `watch` answers with, for other paths of the server too."""
    check_prefix(prefix)
    if last_event_id is not None:
        after = _revision(last_event_id)
    if after is None:
        after = (await _read(request, namespace, None)).revision
    else:  # reports errors while the answer can still have a status
        await _read(request, namespace, after)
    watchers: Watchers = request.app.state.watchers
    watchers.begin_stream(caller_of(request.scope), request.app.state.settings.max_streams)
    if request.scope.get(VIA_CHANNEL):
        return _Stream(_pages(request, namespace, prefix, after), media_type=PUSHED)
    return _Stream(
        _events(request, namespace, prefix, after),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


class _Stream(StreamingResponse):
    """A stream that counts as open until it ends, however that happens."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the stream; see https://asgi.readthedocs.io."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            watchers: Watchers = scope["app"].state.watchers
            watchers.end_stream(caller_of(scope))


def _revision(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise InvalidRequestError("Last-Event-ID must be the id of an event, which is a number")
    return int(text)


async def _read(request: Request, namespace: str, after: int | None) -> ops.ChangePage:
    page: ops.ChangePage = await apply(request, namespace, ops.ReadChanges(after))
    return page


async def _events(request: Request, namespace: str, prefix: str, after: int) -> AsyncIterator[str]:
    """Yields the text of a stream; see https://html.spec.whatwg.org/multipage/#sse."""
    # Clients do not see an event without data, but keep its id for the next Last-Event-ID.
    yield f"retry: 1000\nid: {after}\n\n"
    try:
        async for page in _follow(request, namespace, prefix, after):
            yield "".join([_event(entry) for entry in page.changes]) or f"id: {page.revision}\n\n"
    except BotWireError as error:
        problem = problems.translate(error).to_problem()
        yield f"event: problem\ndata: {json.dumps(problem)}\n\n"


async def _pages(request: Request, namespace: str, prefix: str, after: int) -> AsyncIterator[str]:
    """Yields pages of changes in JSON, for a channel."""
    encode = wire.codec_of(ops.ChangePage).encode
    yield encode(ops.ChangePage((), after))
    try:
        async for page in _follow(request, namespace, prefix, after):
            yield encode(page)
    except BotWireError as error:
        yield json.dumps({"problem": problems.translate(error).to_problem()})


async def _follow(
    request: Request, namespace: str, prefix: str, after: int
) -> AsyncIterator[ops.ChangePage]:
    """Yields pages of the changes of names with a prefix; occasionally an empty page.

    The revision of a page is the one to resume after.
    """
    watchers: Watchers = request.app.state.watchers
    sent_at = time.monotonic()
    async for page in watchers.follow(
        namespace,
        after,
        lambda after: _read(request, namespace, after),
        lambda: check_caller(request.scope),
    ):
        touching = [entry for entry in page.changes if Change.of(entry).touches(prefix)]
        if page.changes:
            after = page.changes[-1].revision
        if touching or not page.changes or time.monotonic() - sent_at >= HEARTBEAT:
            yield ops.ChangePage(touching, after)
            sent_at = time.monotonic()


def _event(entry: ops.ChangeEntry) -> str:
    data = wire.codec_of(ops.ChangeEntry).encode(entry)
    return f"id: {entry.revision}\nevent: change\ndata: {data}\n\n"
