"""A scripted model for Microsoft Agent Framework."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

from agent_framework import BaseChatClient, ChatMiddlewareLayer, ChatResponse, Message

from scripted import reply


class ScriptedClient(ChatMiddlewareLayer[Any], BaseChatClient[Any]):
    """A chat client that repeats what people said before."""

    def _inner_get_response(
        self,
        *,
        messages: Sequence[Message],
        stream: bool,
        options: Mapping[str, Any],
        **kwargs: Any,
    ) -> Awaitable[ChatResponse]:
        async def respond() -> ChatResponse:
            said = [message.text for message in messages if message.role == "user"]
            text = reply([message.text for message in messages], said)
            return ChatResponse(messages=[Message("assistant", [text])])

        return respond()
