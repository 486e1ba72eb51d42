"""What a model is sent of a message, so that its tokens can be counted."""

from __future__ import annotations

import json

from llama_index.core.base.llms.types import (
    AudioBlock,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    ContentBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)

_MEDIA = (ImageBlock, AudioBlock, VideoBlock, DocumentBlock)


def text_of(message: ChatMessage) -> str:
    """Returns the text of a message, with its thinking, cited texts and tool calls."""
    return " ".join([str(message.content), *_further_texts(message)])


def texts_of(message: ChatMessage) -> list[str]:
    """Returns the texts of a message that a model is sent, approximately.

    They include the model's thinking, cited texts, tool calls and additional arguments.
    """
    found = [block.text for block in message.blocks if isinstance(block, TextBlock)]
    found += _further_texts(message)
    return [*found, str(message.additional_kwargs)] if message.additional_kwargs else found


def media_of(message: ChatMessage) -> list[ContentBlock]:
    """Returns the images, sounds, videos and documents of a message, cited ones included."""
    blocks = (*message.blocks, *_cited(message))
    return [block for block in blocks if isinstance(block, _MEDIA)]


def _further_texts(message: ChatMessage) -> list[str]:
    found = [block.content or "" for block in message.blocks if isinstance(block, ThinkingBlock)]
    found += [block.text for block in _cited(message) if isinstance(block, TextBlock)]
    return found + [
        f"{block.tool_name} {json.dumps(block.tool_kwargs, default=str)}"
        for block in message.blocks
        if isinstance(block, ToolCallBlock)
    ]


def _cited(message: ChatMessage) -> list[ContentBlock]:
    """Returns the blocks inside the sources and citations of a message."""
    found: list[ContentBlock] = []
    for block in message.blocks:
        if isinstance(block, CitableBlock):
            found += block.content
        elif isinstance(block, CitationBlock):
            found.append(block.cited_content)
    return found
