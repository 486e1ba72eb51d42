"""Crews with a memory, flows and knowledge keep the promises of every adapter."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, ClassVar

import pytest
from crewai.flow import Flow, listen, persist, start
from pydantic import BaseModel

from botwire.testing import AdapterTests, Address, Seen, Turn
from botwire_crewai import (
    BotWireFlowPersistence,
    BotWireKnowledgeStorage,
    BotWireMemory,
    BotWireStorage,
)
from tests.crews import ScriptedLLM, embed, make_crew, make_memory

# CrewAI looks at every attribute of an agent that it makes, the outdated ones too.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

TENANT: ContextVar[str] = ContextVar("tenant")


class Model(ScriptedLLM):
    """Gives the turn's answer, says that all of it is worth remembering, and calls the tool."""

    turn: Any = None
    loop: Any = None
    shown: Any = None

    def call(
        self,
        messages: Any,
        *args: Any,
        response_model: type[BaseModel] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Answers an agent, or a question from CrewAI's memory."""
        if response_model is None:
            shown = [Seen(message["role"], str(message["content"])) for message in messages]
            self.shown.append(shown)
            if self.turn.tool is not None:
                asyncio.run_coroutine_threadsafe(self.turn.tool(), self.loop).result()
            return self.turn.answer
        if response_model.__name__ == "ExtractedMemories":
            return response_model(memories=[f"{self.turn.said}\n{self.turn.answer}"])
        return super().call(messages, *args, response_model=response_model, **kwargs)


@dataclass
class Tenant:
    """A memory of many tenants, and one of them."""

    memory: BotWireMemory
    name: str

    @property
    def storage(self) -> BotWireStorage:
        """The storage of the memory."""
        TENANT.set(self.name)
        return self.memory._storage  # type: ignore[no-any-return]


class TestMemory(AdapterTests):
    """Crews of many tenants with one memory, whose namespace follows a context variable."""

    not_applicable: ClassVar = {
        "test_a_run_after_a_deleted_message_is_not_refused": "CrewAI keeps no conversation here",
        "test_a_model_never_sees_a_call_without_its_answer": (
            "CrewAI remembers a task once it is over: of a killed one there is nothing, no call"
        ),
        "test_objects_of_a_users_own_classes_come_back_after_a_restart": (
            "a memory is text, and its metadata JSON"
        ),
        "test_default_names_never_share_a_history": (
            "a crew's memory is the project's, as CrewAI's own store has it"
        ),
    }

    def open(self, address: Address, user: str) -> Any:
        memory = make_memory(TENANT, address.url, llm=Model(model="scripted"))
        return Tenant(memory, f"{address.namespace}/{user}")

    async def turn(self, agent: Any, turn: Turn) -> Sequence[Sequence[Seen]]:
        TENANT.set(agent.name)
        llm = agent.memory._llm  # the field holds a copy of it
        llm.turn, llm.loop, llm.shown = turn, asyncio.get_running_loop(), []
        await make_crew(agent.memory, llm).akickoff({"message": turn.said})
        return list(llm.shown)

    async def shown(self, address: Address, user: str) -> Sequence[Seen]:
        return await self.messages(self.open(address, user))

    async def messages(self, agent: Any) -> Sequence[Seen]:
        texts = [one.content for one in reversed(agent.storage.list_records())]
        return [Seen("user", line) for text in texts for line in text.split("\n")]

    async def save(self, agent: Any) -> Any:
        storage = agent.storage
        return [storage.get_record(one.id) for one in storage.list_records()]

    async def load(self, agent: Any, state: Any) -> None:
        await self.clear(agent)
        agent.storage.save(state)

    async def clear(self, agent: Any) -> None:
        agent.storage.reset()

    async def give_refused(self, agent: Any) -> None:
        TENANT.set(agent.name)
        given: dict[str, Any] = {"scope": "/", "categories": [], "importance": 0.5}
        agent.memory.remember("no", metadata={"object": object()}, **given)


class Role(Enum):
    USER = "user"
    ASSISTANT = "assistant"


class Said(BaseModel):
    role: Role
    text: str
    at: datetime = datetime(2026, 1, 1, tzinfo=UTC)


class Talk(BaseModel):
    id: str = ""
    message: str = ""
    said: list[Said] = []


@dataclass
class Chat:
    """A conversation of a flow."""

    store: BotWireFlowPersistence
    user: str

    def flow(self, turn: Turn, shown: list[list[Seen]]) -> Flow[Talk]:
        @persist(self.store)
        class Talking(Flow[Talk]):
            @start()
            def hear(self) -> None:
                self.state.said.append(Said(role=Role.USER, text=turn.said))

            @listen(hear)
            async def answer(self) -> None:
                shown.append([Seen(one.role.value, one.text) for one in self.state.said])
                if turn.tool is not None:
                    await turn.tool()
                self.state.said.append(Said(role=Role.ASSISTANT, text=turn.answer))

        return Talking(suppress_flow_events=True)


class TestFlow(AdapterTests):
    """Flows that keep a conversation in their state."""

    not_applicable: ClassVar = {
        "test_a_run_after_a_deleted_message_is_not_refused": "CrewAI keeps no conversation here",
        "test_default_names_never_share_a_history": ("CrewAI gives each flow an id of its own"),
    }

    def open(self, address: Address, user: str) -> Any:
        return Chat(BotWireFlowPersistence(address.namespace, url=address.url), user)

    async def turn(self, agent: Any, turn: Turn) -> Sequence[Sequence[Seen]]:
        shown: list[list[Seen]] = []
        await agent.flow(turn, shown).kickoff_async({"id": agent.user})
        return shown

    async def messages(self, agent: Any) -> Sequence[Seen]:
        return [Seen(one["role"], one["text"]) for one in (await self.save(agent))["said"]]

    async def save(self, agent: Any) -> Any:
        return agent.store.load_state(agent.user)

    async def load(self, agent: Any, state: Any) -> None:
        agent.store.save_state(agent.user, "load", state)

    async def clear(self, agent: Any) -> None:
        await self.load(agent, Talk(id=agent.user))

    async def give_refused(self, agent: Any) -> None:
        await agent.flow(Turn("no"), []).kickoff_async({"id": agent.user, "said": "no list"})

    async def store_own(self, address: Address) -> None:
        await self.turn(self.open(address, "own"), Turn("mine"))

    async def read_own(self, address: Address) -> Any:
        seen: list[Any] = []

        @persist(BotWireFlowPersistence(address.namespace, url=address.url))
        class Reading(Flow[Talk]):
            @start()
            def read(self) -> None:
                seen.extend(self.state.said)

        await Reading(suppress_flow_events=True).kickoff_async({"id": "own"})
        return seen

    def own(self) -> Any:
        return [Said(role=Role.USER, text="mine"), Said(role=Role.ASSISTANT, text="fine")]


class TestKnowledge(AdapterTests):
    """Knowledge that gains a document with every turn."""

    not_applicable: ClassVar = {
        "test_a_run_after_a_deleted_message_is_not_refused": "CrewAI keeps no conversation here",
        "test_a_model_never_sees_a_call_without_its_answer": "documents hold no calls",
        "test_two_requests_at_once_lose_and_mix_nothing": "documents have no order",
        "test_two_processes_at_once_lose_and_mix_nothing": "likewise",
        "test_objects_of_a_users_own_classes_come_back_after_a_restart": "a document is text",
        "test_every_saved_state_can_be_loaded_again": "knowledge is made from its sources",
        "test_default_names_never_share_a_history": (
            "crews of a project that name no collection share one, as with CrewAI's own storage"
        ),
    }

    def open(self, address: Address, user: str) -> Any:
        return BotWireKnowledgeStorage(
            address.namespace, url=address.url, embedder=embed, collection_name=user
        )

    async def turn(self, agent: Any, turn: Turn) -> Sequence[Sequence[Seen]]:
        await agent.asave([turn.said])
        if turn.tool is not None:
            await turn.tool()
        return [await self.messages(agent)]

    async def messages(self, agent: Any) -> Sequence[Seen]:
        found = await agent.asearch(["word"], limit=100, score_threshold=0.0)
        return [Seen("user", one["content"]) for one in found]

    async def give_refused(self, agent: Any) -> None:
        agent.embedder = lambda texts: [[1.0] * (n + 1) for n, _ in enumerate(texts)]
        try:
            await agent.asave(["no", "neither"])
        finally:
            agent.embedder = embed
