"""The route that opens a channel; see `botwire_server.channel`."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from botwire import wire
from botwire.errors import InvalidRequestError
from botwire_server import problems
from botwire_server.channel.channels import Channels
from botwire_server.scopes import CHANNEL, REQUEST_ID

router = APIRouter()


@router.get(wire.CHANNEL_PATH, include_in_schema=False)  # OpenAPI does not describe WebSockets
async def open_channel(request: Request) -> Response:
    """Answers 101 if the caller may open a channel, and 426 if this is not a WebSocket request."""
    channel = request.scope.get(CHANNEL)
    if channel is None:
        error = InvalidRequestError(
            "this is the address of the channel: connect to it with a WebSocket (version 13)",
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
