"""The route that opens a channel; see `botwire_server.channel`."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from botwire import wire
from botwire.errors import InvalidRequestError
from botwire_server import problems
from botwire_server.channels import CHANNEL, Channels
from botwire_server.middleware import REQUEST_ID

router = APIRouter()


@router.get(wire.CHANNEL_PATH, include_in_schema=False)  # OpenAPI does not describe WebSockets
async def open_channel(request: Request) -> Response:
    """Answers 101 if the caller may open a channel, and 426 what is not the opening of one."""
    channel = request.scope.get(CHANNEL)
    if channel is None:
        error = InvalidRequestError(
            "this address is that of a channel: connect to it with a WebSocket (version 13)",
            status=426,
        )
        refusal = problems.respond(error, request.scope[REQUEST_ID])
        refusal.headers.update({"Upgrade": "websocket", "Sec-WebSocket-Version": "13"})
        return refusal
    state = request.app.state
    channels: Channels = state.channels
    channels.enter(channel, request.scope)
    channel.admit(channels, state.settings.max_body, request.app)
    return Response(status_code=101)
