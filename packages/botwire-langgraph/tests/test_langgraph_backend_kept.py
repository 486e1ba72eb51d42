"""What every adapter keeps, kept by the files of deep agents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

pytest.importorskip("deepagents", reason="it needs newer releases than the oldest tested here")

from deepagents import create_deep_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import StructuredTool

from botwire.names import join_parts
from botwire.testing import AdapterTests, Address, Seen, Turn
from botwire_langgraph import BotWireBackend
from tests.zygote import Zygote

NOTES = "/memories/AGENTS.md"
END = "END"
ROLES = {"human": "user", "ai": "assistant", "tool": "tool", "system": "system"}


def seen(messages: Sequence[AnyMessage]) -> list[Seen]:
    """Returns messages, and each line of the notes, which are in the system message."""
    found = []
    for one in messages:
        calls = [call["id"] or "" for call in one.tool_calls] if isinstance(one, AIMessage) else []
        answers = [one.tool_call_id] if isinstance(one, ToolMessage) else []
        for line in one.text.split("\n"):
            found.append(Seen(ROLES[one.type], line, calls, answers))
            calls, answers = [], []
    return found


class NoteTaker(BaseChatModel):
    """Notes what it is told and what it answers, each by an edit, and keeps what it was shown."""

    turn: Any
    shown: list[list[Seen]] = []  # noqa: RUF012 - pydantic copies it

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **options: Any) -> Any:
        """Takes them."""
        return self

    def _generate(self, messages: Any, *args: Any, **options: Any) -> ChatResult:
        self.shown.append(seen(messages))
        steps = [self.note(END, f"{self.turn.said}\n{END}")]
        if self.turn.tool is not None:
            steps.append(("look", {}))
        steps.append(self.note(f"{self.turn.said}\n", f"{self.turn.said}\n{self.turn.answer}\n"))
        made = len(self.shown) - 1
        message = AIMessage(self.turn.answer)
        if made < len(steps):
            name, given = steps[made]
            call_id = self.turn.call_id if name == "look" else f"step-{made}"
            message = AIMessage("", tool_calls=[{"name": name, "args": given, "id": call_id}])
        return ChatResult(generations=[ChatGeneration(message=message)])

    def note(self, old: str, new: str) -> tuple[str, dict[str, Any]]:
        """Returns a call of the tool that edits the notes."""
        return "edit_file", {"file_path": NOTES, "old_string": old, "new_string": new}


class TestBackend(AdapterTests):
    """Deep agents on a `BotWireBackend`; each user's notes are in a namespace of their own."""

    not_applicable: ClassVar = {
        "test_a_run_after_a_deleted_message_is_not_refused": "files are not messages",
        "test_default_names_never_share_a_history": ("the agents of a namespace share its files"),
        "test_objects_of_a_users_own_classes_come_back_after_a_restart": (
            "files are text and bytes"
        ),
    }

    @pytest.fixture(autouse=True)
    def _with_zygote(self, deepagents: Zygote) -> None:
        self.zygote = deepagents

    def start_child(self, told: str) -> Any:
        code = "import runpy; runpy.run_module('botwire.testing.child', run_name='__main__')"
        return self.zygote.start(code, told)

    def open(self, address: Address, user: str) -> Any:
        files = BotWireBackend(join_parts(address.namespace, user), url=address.url)
        if files.read(NOTES).error:
            files.write(NOTES, END)
        return files, address, user

    async def turn(self, agent: Any, turn: Turn) -> Sequence[Sequence[Seen]]:
        _, address, user = agent
        model = NoteTaker(turn=turn)
        await self._graph(address, model).ainvoke({"messages": [turn.said]}, context=user)
        return model.shown

    async def save(self, agent: Any) -> Any:
        return (await agent[0].adownload_files([NOTES]))[0].content

    async def load(self, agent: Any, state: Any) -> None:
        await agent[0].aupload_files([(NOTES, state)])

    async def clear(self, agent: Any) -> None:
        await agent[0].adelete(NOTES)

    async def messages(self, agent: Any) -> Sequence[Seen]:
        lines = (await self.save(agent) or END.encode()).decode().split("\n")
        return [Seen("system", line) for line in lines[:-1]]

    async def give_refused(self, agent: Any) -> None:
        _, address, user = agent
        await self._graph(address, NoteTaker(turn=Turn(""))).ainvoke("not a state", context=user)

    def _graph(self, address: Address, model: NoteTaker) -> Any:
        look = StructuredTool.from_function(
            coroutine=model.turn.tool or _nothing, name="look", description="Looks."
        )
        return create_deep_agent(
            model,
            [look],
            backend=BotWireBackend(
                url=address.url, namespace_of=lambda run: join_parts(address.namespace, run.context)
            ),
            memory=[NOTES],
            context_schema=str,
        )


async def _nothing() -> str:
    return ""
