"""A scripted model for LangChain and LangGraph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from scripted import reply


class ScriptedChatModel(BaseChatModel):
    """A chat model that repeats what it was told."""

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        """Returns the model itself: it calls no tools."""
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        told = [str(message.content) for message in messages if isinstance(message, HumanMessage)]
        text = reply([str(message.content) for message in messages], told)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])


class ScriptedToolChatModel(ScriptedChatModel):
    """A chat model that calls ``remember`` for statements and ``recall`` for questions."""

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        last = messages[-1]
        if isinstance(last, HumanMessage):
            is_question = str(last.content).endswith("?")
            name, argument = ("recall", "question") if is_question else ("remember", "fact")
            call = {
                "name": name,
                "args": {argument: last.content},
                "id": last.id,
                "type": "tool_call",
            }
            message = AIMessage("", tool_calls=[call])
        else:
            results = [str(one.content) for one in messages if isinstance(one, ToolMessage)]
            message = AIMessage(reply([str(one.content) for one in messages], [*results, "?"]))
        return ChatResult(generations=[ChatGeneration(message=message)])


class ScriptedNotesModel(ScriptedChatModel):
    """A chat model that writes statements to files, and searches them for questions."""

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        last = messages[-1]
        if isinstance(last, HumanMessage):
            said = str(last.content)
            name = "grep" if said.endswith("?") else "write_file"
            given = {"pattern": " ", "path": "/notes", "output_mode": "content"}
            if name == "write_file":
                given = {"file_path": f"/notes/{last.id}.md", "content": said}
            call = {"name": name, "args": given, "id": last.id, "type": "tool_call"}
            message = AIMessage("", tool_calls=[call])
        else:
            results = [str(one.content) for one in messages if isinstance(one, ToolMessage)]
            message = AIMessage(reply([str(one.content) for one in messages], [*results, "?"]))
        return ChatResult(generations=[ChatGeneration(message=message)])
