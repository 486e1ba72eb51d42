"""Content of Anthropic's API: what a message's blocks say, as portable messages."""

from __future__ import annotations

from typing import Any

import pytest

from botwire.content_blocks import read_content
from botwire.messages import Message, ToolCall

TEXT = {"type": "text", "text": "Look."}
USE = {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Oslo"}}
IMAGE = {"type": "image", "source": {}}
CALL = ToolCall("t1", "weather", {"city": "Oslo"})


def result(content: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": "t1", "content": content}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("Hello.", [Message("user", "Hello.")]),
        ([TEXT, IMAGE, TEXT], [Message("user", "Look.\n\nLook.")]),
        ([TEXT, USE], [Message("user", "Look.", tool_calls=(CALL,))]),
        ([IMAGE], [Message("user", "")]),
        ([result("12")], [Message("tool", "12", tool_call_id="t1")]),
        ([result([TEXT, IMAGE])], [Message("tool", "Look.", tool_call_id="t1")]),
        (
            [result("12"), TEXT],
            [Message("tool", "12", tool_call_id="t1"), Message("user", "Look.")],
        ),
        # What no API sends, but a transcript may hold.
        (None, [Message("user", "")]),
        (["?", {"type": "text", "text": 1}], [Message("user", "")]),
        ([result(12)], [Message("tool", "", tool_call_id="t1")]),
    ],
)
def test_what_the_blocks_say(content: Any, expected: list[Message]) -> None:
    assert read_content("user", content) == expected
