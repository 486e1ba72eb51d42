"""Conversion of a model context's messages to items of a history and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from autogen_core import FunctionCall
from autogen_core.models import (
    AssistantMessage,
    FunctionExecutionResult,
    FunctionExecutionResultMessage,
    LLMMessage,
    SystemMessage,
    UserMessage,
)
from pydantic import TypeAdapter

from botwire import Item
from botwire.exact import Json
from botwire.messages import Message, Native, ToolCall, read_items
from botwire.tagged import from_stored, looks_tagged, to_json
from botwire.tool_calls import NOT_COMPLETED, CallIds, drop_open_end, pair_answers

FRAMEWORK: Final = "autogen"
FORMAT: Final = 1
"""The message's own dump; types that JSON lacks are tagged (`botwire.tagged`)."""

_MESSAGE: TypeAdapter[LLMMessage] = TypeAdapter(LLMMessage)


def to_item(message: LLMMessage) -> dict[str, Any]:
    """Returns the envelope of a message."""
    native = Native(FRAMEWORK, FORMAT, to_json(message.model_dump(), "message"))
    if isinstance(message, SystemMessage):
        return Message("system", message.content, native=native).to_item()
    if isinstance(message, UserMessage):
        parts = [message.content] if isinstance(message.content, str) else message.content
        text = "\n".join(part for part in parts if isinstance(part, str))
        return Message("user", text, name=message.source, native=native).to_item()
    if isinstance(message, AssistantMessage):
        said = message.thought or ""
        calls: tuple[ToolCall, ...] = ()
        if isinstance(message.content, str):
            said = message.content
        else:
            calls = tuple(ToolCall.of(c.id, c.name, c.arguments) for c in message.content)
        return Message(
            "assistant", said, name=message.source, tool_calls=calls, native=native
        ).to_item()
    results = message.content
    return Message(
        "tool",
        "\n".join(result.content for result in results),
        # The envelope has room for one call; `native` tells several in one message apart.
        name=results[0].name if len(results) == 1 else None,
        tool_call_id=results[0].call_id if len(results) == 1 else None,
        native=native,
    ).to_item()


def from_items(items: Iterable[Item]) -> list[LLMMessage]:
    """Returns the messages that items hold; logs and skips items that are not messages."""
    found = read_items(
        items,
        framework=FRAMEWORK,
        formats=(FORMAT,),
        from_native=_from_native,
        from_portable=_from_portable,
    )
    return [message for _, message in found]


def paired(messages: Iterable[LLMMessage]) -> list[LLMMessage]:
    """Returns the messages so that each tool call is followed by its answer, and no other."""
    return pair_answers(messages, ids=_call_ids, close=_close, select=_select)


def paired_head(messages: Iterable[LLMMessage]) -> list[LLMMessage]:
    """Returns the first messages as `paired` does, without a call whose answer was skipped."""
    return paired(drop_open_end(messages, ids=_call_ids))


def _call_ids(message: LLMMessage) -> CallIds:
    if isinstance(message, AssistantMessage) and not isinstance(message.content, str):
        return CallIds(calls=[call.id for call in message.content])
    if isinstance(message, FunctionExecutionResultMessage):
        return CallIds(answers=[result.call_id for result in message.content])
    return CallIds()


def _close(message: LLMMessage, positions: Sequence[int]) -> Iterable[LLMMessage]:
    assert isinstance(message, AssistantMessage)  # the only kind that calls tools
    calls = [message.content[position] for position in positions]
    yield FunctionExecutionResultMessage(
        content=[
            FunctionExecutionResult(
                content=NOT_COMPLETED, name=call.name, call_id=call.id, is_error=True
            )
            for call in calls
            if isinstance(call, FunctionCall)
        ]
    )


def _select(message: LLMMessage, positions: Sequence[int], rest: bool) -> LLMMessage | None:
    assert isinstance(message, FunctionExecutionResultMessage)  # the only kind that answers
    if not positions:
        return None
    return message.model_copy(update={"content": [message.content[i] for i in positions]})


def _from_native(data: Json) -> LLMMessage:
    text = data.held_text
    if text is not None and not looks_tagged(text):
        # Refuses half of a surrogate pair, and is then called again with the decoded value.
        return _MESSAGE.validate_json(text)
    return _MESSAGE.validate_python(from_stored(data))


def _from_portable(message: Message) -> LLMMessage:
    if message.role == "system":
        return SystemMessage(content=message.text)
    if message.role == "user":
        return UserMessage(content=message.text, source=message.name or "user")
    if message.role == "tool" and message.tool_call_id is not None:
        result = FunctionExecutionResult(
            content=message.text, name=message.name or "tool", call_id=message.tool_call_id
        )
        return FunctionExecutionResultMessage(content=[result])
    return AssistantMessage(
        content=_content(message),
        thought=message.text or None if message.tool_calls else None,
        source=message.name or "assistant",
    )


def _content(message: Message) -> str | list[FunctionCall]:
    if not message.tool_calls:
        return message.text
    return [
        FunctionCall(id=call.id, name=call.name, arguments=call.as_text)
        for call in message.tool_calls
    ]
