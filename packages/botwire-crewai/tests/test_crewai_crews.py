"""Real crews and agents: every way to start one, tools, consolidation, several at once."""

from __future__ import annotations

import copy
import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from crewai import BaseLLM
from crewai.memory.analyze import ConsolidationPlan

from botwire import Memory
from botwire_crewai import BotWireMemory, BotWireStorage, memory_tools
from botwire_crewai.storage import COLLECTION
from tests.crews import ScriptedLLM, embed, make_crew, make_memory
from tests.zygote import Zygote

# CrewAI looks at every attribute of an agent that it makes, the outdated ones too.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    # It dumps a crew to copy it, and then warns about its own memory too.
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning"),
]

HAS_EXECUTIONS = find_spec("crewai.execution") is not None

TOLD, ASKED = "My cat is called Turing.", "What is my cat called?"


def test_a_crew_started_for_each_input_remembers(place_url: str, namespace: str) -> None:
    crew = make_crew(make_memory(namespace, place_url))
    told, answer = crew.kickoff_for_each([{"message": TOLD}, {"message": ASKED}])
    assert (str(told), TOLD in str(answer)) == ("Noted.", True)


async def test_a_crew_started_asynchronously_remembers(place_url: str, namespace: str) -> None:
    for name in ("kickoff_async", "akickoff"):
        memory = make_memory(f"{namespace}-{name}", place_url)
        await getattr(make_crew(memory), name)({"message": TOLD})
        answer = await getattr(make_crew(memory), name)({"message": ASKED})
        assert TOLD in str(answer)
    memory = make_memory(namespace, place_url)
    facts = {TOLD, "The sky is blue."}
    for name in ("kickoff_for_each_async", "akickoff_for_each"):
        memory.reset()
        await getattr(make_crew(memory), name)([{"message": fact} for fact in facts])
        memory.drain_writes()  # early releases of CrewAI 1.15 do not wait for it here
        assert {one.content for one in memory.list_records()} == facts


class ToolUser(BaseLLM):
    """A model that calls the tool named in the task, and repeats its output."""

    def call(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        """Answers an agent in ReAct's format."""
        texts = [str(message["content"]) for message in messages]
        observed = re.findall(r"Action Input: .*\nObservation: ((?:.|\n)*)", "\n".join(texts[1:-1]))
        if observed:
            return f"Thought: I know it.\nFinal Answer: {observed[-1].strip()}"
        name, arguments = re.findall(r"Use (\w+) with (\{.*\})", "\n".join(texts))[-1]
        return f"Thought: I use a tool.\nAction: {name}\nAction Input: {arguments}"

    async def acall(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        """Like `call`."""
        return self.call(messages)

    def supports_function_calling(self) -> bool:
        """False: it writes its calls as text."""
        return False


def tool_user(namespace: str, url: str) -> Any:
    tools = memory_tools(namespace, url=url)
    assert not any(tool.cache_function() for tool in tools)  # `Crew(cache=True)` would recall it
    return make_crew(memory=False, llm=ToolUser(model="scripted"), tools=tools)


def use(tool: str, **arguments: Any) -> dict[str, str]:
    return {"message": f"Use {tool} with {json.dumps(arguments)}"}


def test_an_agent_remembers_with_tools_and_no_embedder(place_url: str, namespace: str) -> None:
    def answer(tool: str, **arguments: Any) -> str:
        return str(tool_user(namespace, place_url).kickoff(use(tool, **arguments)))

    told = answer("remember", text="Ada drinks green tea.")
    assert told.startswith("Remembered under the id ")
    id = told.split()[-1].rstrip(".")
    assert answer("recall", query="tea") == f"- Ada drinks green tea. (id {id})"
    assert answer("forget", id=id) == "Forgotten."
    assert BotWireStorage(namespace, url=place_url).count() == 0


async def test_an_agent_that_is_awaited_does_too(place_url: str, namespace: str) -> None:
    crew = tool_user(namespace, place_url)
    await crew.akickoff(use("remember", text="Ada drinks green tea."))
    assert "Ada drinks green tea." in str(await crew.akickoff(use("list_memories", limit=3)))


MERGED = "Bob likes tea with milk and two sugars, daily"


class Consolidating(ScriptedLLM):
    """A model that merges new text into the most similar memory."""

    def call(self, messages: Any, *args: Any, response_model: Any = None, **kwargs: Any) -> Any:
        """Answers questions about consolidation, and everything else as scripted."""
        if response_model is not ConsolidationPlan:
            return super().call(messages, *args, response_model=response_model, **kwargs)
        text = "\n".join(str(message["content"]) for message in messages)
        id = re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}", text)[0]
        return ConsolidationPlan.model_validate({
            "actions": [{"action": "update", "record_id": id, "new_content": MERGED}],
            "insert_new": False,
        })  # fmt: skip


def test_what_is_private_stays_so_through_consolidation(place_url: str, namespace: str) -> None:
    memory: Any = make_memory(namespace, place_url, llm=Consolidating(model="scripted"))
    given: dict[str, Any] = {"scope": "/b", "categories": [], "metadata": {}, "importance": 0.5}
    secret = memory.remember(
        "Bob likes tea with milk and two sugars", source="bob", private=True, **given
    )
    memory.remember("Bob likes tea with milk and two sugars daily", source="ann", **given)
    (kept,) = memory.list_records()
    assert (kept.id, kept.content) == (secret.id, MERGED)
    assert (kept.source, kept.private) == ("bob", True)
    assert memory.recall("tea", depth="shallow", source="ann") == []
    (found,) = memory.recall("tea", depth="shallow", source="bob")
    assert found.record.content == MERGED
    # The new text has its own vector, and none was lost.
    assert memory._storage.get_record(kept.id).embedding == pytest.approx(embed([MERGED])[0])


def test_a_change_by_hand_keeps_vector_source_and_privacy(place_url: str, namespace: str) -> None:
    memory: Any = make_memory(namespace, place_url)
    given: dict[str, Any] = {"scope": "/b", "categories": [], "metadata": {}, "importance": 0.5}
    kept = memory.remember(
        "Bob likes tea with milk and two sugars", source="bob", private=True, **given
    )
    memory.update(kept.id, importance=0.9, metadata={"checked": True})
    again = memory._storage.get_record(kept.id)
    assert (again.importance, again.metadata, again.source, again.private) == (
        0.9, {"checked": True}, "bob", True,
    )  # fmt: skip
    assert again.embedding == pytest.approx(kept.embedding)


def test_a_scope_and_a_slice_are_memories_too(place_url: str, namespace: str) -> None:
    memory: Any = make_memory(namespace, place_url)
    make_crew(memory.scope("/ada")).kickoff({"message": TOLD})
    answer = str(make_crew(memory.slice(["/ada"])).kickoff({"message": ASKED}))
    assert TOLD in answer
    assert all(one.scope.startswith("/ada") for one in memory.list_records())


EXITING = """
import sys

from tests.crews import make_memory

memory = make_memory(sys.argv[1], sys.argv[2])
for i in range(5):
    memory.remember_many(
        [f"fact {i} of {i * 7}"], scope="/a", categories=[], metadata={}, importance=0.5
    )
"""


def test_what_is_saved_in_the_background_is_saved_when_the_process_ends(
    zygote: Zygote, server_url: str, namespace: str
) -> None:
    assert zygote.run(EXITING, namespace, server_url) == 0
    storage = BotWireStorage(namespace, url=server_url)
    assert {one.content for one in storage.list_records()} == {
        f"fact {i} of {i * 7}" for i in range(5)
    }


WORKING = """
import sys

from tests.crews import make_crew, make_memory

name, namespace, *urls = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
for url in urls:
    crew = make_crew(make_memory(namespace, url))
    crew.kickoff_for_each([{"message": f"{name} saw {name}{i}."} for i in range(4)])
"""


def test_two_crews_at_work_at_once_lose_nothing(
    zygote: Zygote, server_url: str, namespace: str, tmp_path: Path
) -> None:
    urls = [f"sqlite:///{tmp_path / 'memory.db'}", server_url]
    crews = [zygote.start(WORKING, name, namespace, *urls) for name in ("ada", "bob")]
    for crew in crews:
        assert crew.stdout.readline() == "ready\n"
    memories: list[Any] = [make_memory(namespace, url) for url in urls]
    assert [memory.list_records() for memory in memories] == [[], []]
    for crew in crews:
        print("go", file=crew.stdin, flush=True)
    for crew in crews:
        with crew:
            crew.communicate()
            assert crew.returncode == 0, crew.stderr
    for memory in memories:  # handles that stayed open
        assert sorted(one.content for one in memory.list_records()) == [
            f"{name} saw {name}{i}." for name in ("ada", "bob") for i in range(4)
        ]


def test_copies_of_a_memory_are_one(place_url: str, namespace: str) -> None:
    memory: Any = BotWireMemory(namespace, url=place_url, llm=None, embedder=embed)
    given: dict[str, Any] = {"scope": "/b", "categories": [], "metadata": {}, "importance": 0.5}
    memory.remember("kept", **given)
    memory.close()
    memory.remember("late", **given)  # it can be used after closing
    again = copy.deepcopy(memory)
    again.remember("of a copy", **given)
    assert again._storage is memory._storage
    assert {one.content for one in memory.list_records()} == {"kept", "late", "of a copy"}


def test_what_a_crew_remembers_names_its_agent_and_its_kickoff(
    place_url: str, namespace: str
) -> None:
    runs = set()
    for number in range(2):
        memory = make_memory(f"{namespace}-{number}", place_url)
        make_crew(memory).kickoff({"message": TOLD})
        memory.drain_writes()
        (record,) = Memory(f"{namespace}-{number}", url=place_url).records(COLLECTION).list()
        assert record.author is not None
        assert (record.author.agent, record.author.framework) == ("Assistant", "crewai")
        runs.add(record.author.run)
    assert len(runs) == (2 if HAS_EXECUTIONS else 1)
    memory = make_memory(namespace, place_url)
    memory.remember("Grass is green.", scope="/", categories=["a"], importance=0.5)
    (record,) = Memory(namespace, url=place_url).records(COLLECTION).list()
    assert record.author is not None
    assert (record.author.agent, record.author.framework) == (None, "crewai")
