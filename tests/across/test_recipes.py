"""The recipes do what they claim; `test_examples` runs each across two processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from environments import RECIPES, ROOT
from tests.across.conftest import Forks
from tests.programs import RUN

_START = f"import sys; sys.path.insert(0, {str(ROOT / 'examples')!r})\n"

HAYSTACK = """
from haystack.dataclasses import ChatMessage, ToolCall
from haystack_experimental.chat_message_stores.in_memory import InMemoryChatMessageStore
from recipes_haystack import BotWireChatMessageStore

from botwire import Memory
from botwire.messages import Message

call = ToolCall("look", {"at": 1}, id="c1")
messages = [
    ChatMessage.from_system("Be kind."),
    ChatMessage.from_user("one", meta={"chat_message_id": "m1"}),
    ChatMessage.from_assistant("1"),
    ChatMessage.from_user("two"),
    ChatMessage.from_assistant(tool_calls=[call]),
    ChatMessage.from_tool("12 degrees", origin=call),
    ChatMessage.from_assistant("2"),
    ChatMessage.from_user("three"),
    ChatMessage.from_assistant("3"),
]


def plain(messages):
    return [(one.role, one.text, one.tool_calls, one.tool_call_results) for one in messages]


stock, ours = InMemoryChatMessageStore(), BotWireChatMessageStore("haystack")
for store in (stock, ours):
    assert store.write_messages("chat", messages) == 8
    assert store.write_messages("chat", messages[1:2]) == 0
    assert store.count_messages("chat") == 8
for last_k in (None, 0, 1, 2, 9):
    expected = plain(stock.retrieve_messages("chat", last_k))
    assert plain(ours.retrieve_messages("chat", last_k)) == expected, last_k
assert plain(BotWireChatMessageStore.from_dict(ours.to_dict()).retrieve_messages("chat")) == plain(
    messages[1:]
)
for wrong in (lambda: ours.retrieve_messages("chat", -1), lambda: ours.write_messages("c", ["x"])):
    try:
        wrong()
    except ValueError:
        continue
    raise AssertionError("not refused")

Memory("haystack").history("other").extend(
    [Message("user", "I am Ada.").to_item(), Message("assistant", "Hello.").to_item()]
)
assert [one.text for one in ours.retrieve_messages("other")] == ["I am Ada.", "Hello."]
portable = [Message.from_item(item.value) for item in Memory("haystack").history("chat").read()]
assert portable[3].tool_calls[0].id == portable[4].tool_call_id == "c1"
ours.delete_all_messages()
assert ours.count_messages("chat") == ours.count_messages("other") == 0
"""

SMOLAGENTS = """
from recipes_smolagents import StoredSteps
from smolagents import LogLevel, ToolCallingAgent, tool
from smolagents.models import (
    ChatMessage, ChatMessageToolCall, ChatMessageToolCallFunction, MessageRole, Model
)

from botwire import Memory


@tool
def look(at: str) -> str:
    \"\"\"Looks.

    Args:
        at: What at.
    \"\"\"
    if at == "nothing":
        raise ValueError("there is nothing")
    return f"saw {at}"


class Scripted(Model):
    def __init__(self, script):
        super().__init__()
        self.script, self.shown = iter(script), []

    def generate(self, messages, *args, **kwargs):
        self.shown.append([(one.role, str(one.content)) for one in messages])
        name, arguments = next(self.script)
        function = ChatMessageToolCallFunction(name=name, arguments=arguments)
        call = ChatMessageToolCall(id=f"{name}-1", type="function", function=function)
        return ChatMessage(role=MessageRole.ASSISTANT, content="", tool_calls=[call])


def opened(script):
    steps = StoredSteps(Memory("smolagents").history("chat"))
    agent = ToolCallingAgent(
        tools=[look], model=Scripted(script), step_callbacks=[steps], verbosity_level=LogLevel.OFF
    )
    steps.load(agent)
    return agent


done = ("final_answer", {"answer": "done"})
first = opened([("look", {"at": "it"}), ("look", {"at": "nothing"}), done])
assert first.run("Look at it.", reset=False) == "done"
again = opened([done])
told = [message.dict() for step in again.memory.steps for message in step.to_messages()]
assert told == [message.dict() for step in first.memory.steps for message in step.to_messages()]
assert "saw it" in str(told) and "there is nothing" in str(told)
assert again.run("And now?", reset=False) == "done"
assert "saw it" in str(again.model.shown[0]) and "Look at it." in str(again.model.shown[0])
third = opened([])
assert len(third.memory.steps) == len(again.memory.steps)
"""

DSPY = """
import dspy
from recipes_dspy import Chat, memory, program

program.demos = [dspy.Example(history=dspy.History(messages=[]), question="q", answer="a")]
memory.set("chat/program", program.dump_state())
again = dspy.Predict(Chat)
again.load_state(memory.get("chat/program"))
assert again.demos[0]["answer"] == "a"
"""

AGNO = """
from recipes_agno import BotWireTools

from botwire import Memory

ada, bob = (BotWireTools(Memory(name)) for name in ("ada", "bob"))
assert set(ada.get_functions()) == {"remember", "recall", "forget"}
id = ada.remember("Ada has a cat.").removeprefix("Remembered as ").removesuffix(".")
assert ada.recall("cat") == f"Ada has a cat. (id {id})"
assert "No memory" in bob.recall("cat")
assert ada.forget(id) == "Forgotten."
assert "no" in ada.forget(id)
assert "No memory" in ada.recall("cat")
"""


@pytest.mark.parametrize(
    "checks", [HAYSTACK, SMOLAGENTS, DSPY, AGNO], ids=["haystack", "smolagents", "dspy", "agno"]
)
def test_a_recipe_keeps_what_it_says(forks: Forks, checks: str, tmp_path: Path) -> None:
    program = tmp_path / "checks.py"  # smolagents reads the source of a tool
    program.write_text(_START + checks)
    environment = {"BOTWIRE_URL": f"sqlite:///{tmp_path / 'memory.db'}", "HOME": str(tmp_path)}
    zygote = forks.zygote(RECIPES)
    with zygote.start(RUN, str(program), env=environment, folder=tmp_path) as process:
        process.communicate("")
        assert process.returncode == 0, process.stderr
