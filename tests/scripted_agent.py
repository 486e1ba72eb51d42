"""A chat client for tests: gives scripted answers, and records what it was shown."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from typing import Any

from agent_framework import (
    BaseChatClient,
    ChatMiddlewareLayer,
    ChatResponse,
    ChatResponseUpdate,
    Content,
    FunctionInvocationLayer,
    Message,
    ResponseStream,
)


def call(name: str, **arguments: Any) -> Content:
    """Returns a model's answer that calls a tool."""
    return Content.from_function_call(f"call-{name}", name, arguments=arguments)


class ScriptedClient(FunctionInvocationLayer[Any], ChatMiddlewareLayer[Any], BaseChatClient[Any]):
    """A chat client.

    Args:
        says: Its answers, one after the other: texts, calls of tools, or several calls.

    Attributes:
        received: The messages of each call.
    """

    def __init__(self, *says: str | Content | list[Content]) -> None:
        super().__init__()
        self.says = list(says)
        self.received: list[list[Message]] = []

    def _inner_get_response(
        self,
        *,
        messages: Sequence[Message],
        stream: bool,
        options: Mapping[str, Any],
        **kwargs: Any,
    ) -> Awaitable[ChatResponse] | ResponseStream[ChatResponseUpdate, ChatResponse]:
        self.received.append(list(messages))
        said = self.says.pop(0)
        contents = said if isinstance(said, list) else [said]
        contents = [Content.from_text(one) if isinstance(one, str) else one for one in contents]

        async def updates() -> AsyncIterator[ChatResponseUpdate]:
            yield ChatResponseUpdate(role="assistant", contents=contents)

        async def response() -> ChatResponse:
            return ChatResponse(messages=[Message("assistant", contents)])

        return self._build_response_stream(updates()) if stream else response()
