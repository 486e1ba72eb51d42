"""The files of deep agents keep the promises of every adapter."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import pytest

pytest.importorskip("deepagents", reason="it needs newer releases than the oldest tested here")

from deepagents import create_deep_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult

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


current: ContextVar[tuple[Turn, list[list[Seen]]]] = ContextVar("current")
"""The turn of this task, and what its model was shown: making a deep agent takes a second."""


class NoteTaker(BaseChatModel):
    """Notes what it is told and what it answers, each by an edit, and keeps what it was shown."""

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **options: Any) -> Any:
        """Takes them."""
        return self

    def _generate(self, messages: Any, *args: Any, **options: Any) -> ChatResult:
        turn, shown = current.get()
        shown.append(seen(messages))
        steps = [self.note(END, f"{turn.said}\n{END}")]
        if turn.tool is not None:
            steps.append(("look", {}))
        steps.append(self.note(f"{turn.said}\n", f"{turn.said}\n{turn.answer}\n"))
        made = len(shown) - 1
        message = AIMessage(turn.answer)
        if made < len(steps):
            name, given = steps[made]
            call_id = turn.call_id if name == "look" else f"step-{made}"
            message = AIMessage("", tool_calls=[{"name": name, "args": given, "id": call_id}])
        return ChatResult(generations=[ChatGeneration(message=message)])

    def note(self, old: str, new: str) -> tuple[str, dict[str, Any]]:
        """Returns a call of the tool that edits the notes."""
        return "edit_file", {"file_path": NOTES, "old_string": old, "new_string": new}


async def look() -> str:
    """Looks."""
    turn, _ = current.get()
    assert turn.tool is not None
    return await turn.tool()


@cache
def deep_agent(url: str) -> Any:
    """Returns a deep agent, whose run says in its context which namespace its files are in."""
    return create_deep_agent(
        NoteTaker(),
        [look],
        backend=BotWireBackend(url=url, namespace_of=lambda run: str(run.context)),
        memory=[NOTES],
        context_schema=str,
    )


class TestBackend(AdapterTests):
    """Deep agents on a `BotWireBackend`; each user's notes are in a namespace of their own."""

    not_applicable: ClassVar = {
        "test_a_run_after_a_deleted_message_is_not_refused": "files are not messages",
        "test_default_names_never_share_a_history": "the agents of a namespace share its files",
        "test_objects_of_a_users_own_classes_come_back_after_a_restart": (
            "files are text and bytes"
        ),
    }

    @pytest.fixture
    def place_url(self, tmp_path: Path) -> str:
        """A file: deep agents are slow to make, and `test_langgraph_backend` runs on a server."""
        return f"sqlite:///{tmp_path / 'memory.db'}"

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
        shown: list[list[Seen]] = []
        current.set((turn, shown))
        await self.run(agent, {"messages": [turn.said]})
        return shown

    async def run(self, agent: Any, said: Any) -> None:
        _, address, user = agent
        files = join_parts(address.namespace, user)
        await deep_agent(address.url).ainvoke(said, context=files)

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
        await self.run(agent, "not a state")
