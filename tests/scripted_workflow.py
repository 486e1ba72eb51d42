"""A workflow for tests: executors side by side, an agent, state of every kind, and a human."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Never

from agent_framework import (
    Agent,
    AgentExecutor,
    AgentExecutorRequest,
    AgentExecutorResponse,
    Executor,
    Message,
    Workflow,
    WorkflowBuilder,
    WorkflowContext,
    handler,
    response_handler,
)
from pydantic import BaseModel

from tests.scripted_agent import ScriptedClient


class Mood(Enum):
    """What is found in a text."""

    CALM = "calm"
    LOUD = "loud"


@dataclass(frozen=True, slots=True)
class Order:
    """What comes in."""

    text: str
    tags: tuple[str, ...] = ()


@dataclass
class Finding:
    """What one of several executors found."""

    who: str
    mood: Mood
    words: list[str] = field(default_factory=list)


class Question(BaseModel):
    """What a human is asked."""

    text: str
    moods: dict[str, Mood]


class Answer(BaseModel):
    """What a human says."""

    yes: bool
    why: str = ""


TYPES = (Mood, Order, Finding, Question, Answer)


class Start(Executor):
    """Gives an order to all that look at it, a round after the other."""

    def __init__(self, hook: Callable[[str], None]) -> None:
        super().__init__("start")
        self._hook = hook

    @handler
    async def begin(self, text: str, ctx: WorkflowContext[Order]) -> None:
        """Takes a text."""
        self._hook("start")
        ctx.set_state("order", {"at": (1, 2), "text": text, 7: {text}})
        await ctx.send_message(Order(text, ("new", "ä")))


class Look(Executor):
    """Looks at an order, and counts how many it has seen."""

    def __init__(self, name: str, mood: Mood, hook: Callable[[str], None]) -> None:
        super().__init__(name)
        self._mood = mood
        self._hook = hook
        self._seen: deque[Order] = deque(maxlen=3)

    @handler
    async def look(self, order: Order, ctx: WorkflowContext[Finding]) -> None:
        """Takes an order."""
        self._hook(self.id)
        self._seen.append(order)
        await ctx.send_message(Finding(self.id, self._mood, order.text.split()))

    async def on_checkpoint_save(self) -> dict[str, Any]:
        """Returns what it has seen."""
        return {"seen": self._seen}

    async def on_checkpoint_restore(self, state: dict[str, Any]) -> None:
        """Takes what it had seen."""
        self._seen = state["seen"]


class Gather(Executor):
    """Asks an agent about all findings."""

    def __init__(self, hook: Callable[[str], None]) -> None:
        super().__init__("gather")
        self._hook = hook

    @handler
    async def gather(
        self, findings: list[Finding], ctx: WorkflowContext[AgentExecutorRequest]
    ) -> None:
        """Takes what all found."""
        self._hook("gather")
        ctx.set_state("findings", sorted(findings, key=lambda one: one.who))
        said = " and ".join(f"{one.who}: {one.mood.value}" for one in ctx.get_state("findings"))
        await ctx.send_message(AgentExecutorRequest(messages=[Message("user", [said])]))


class Decide(Executor):
    """Asks a human whether what the agent said is right."""

    def __init__(self, hook: Callable[[str], None]) -> None:
        super().__init__("decide")
        self._hook = hook

    @handler
    async def ask(self, said: AgentExecutorResponse, ctx: WorkflowContext[Never, str]) -> None:
        """Takes what the agent said."""
        self._hook("decide")
        moods = {one.who: one.mood for one in ctx.get_state("findings")}
        await ctx.request_info(Question(text=said.agent_response.text, moods=moods), Answer)

    @response_handler
    async def answered(
        self, question: Question, answer: Answer, ctx: WorkflowContext[Never, str]
    ) -> None:
        """Takes what the human said."""
        self._hook("answered")
        order = ctx.get_state("order")
        await ctx.yield_output(f"{order['text']}: {question.text} {answer.yes} {answer.why}")


def build(storage: Any, hook: Callable[[str], None] = lambda _: None) -> Workflow:
    """Returns the workflow.

    Args:
        storage: Where its checkpoints are kept.
        hook: Called with the name of each executor that begins.
    """
    start, gather, decide = Start(hook), Gather(hook), Decide(hook)
    looks = [Look("left", Mood.CALM, hook), Look("right", Mood.LOUD, hook)]
    agent = AgentExecutor(Agent(client=ScriptedClient("they differ"), name="judge"), id="judge")
    return (
        WorkflowBuilder(
            name="orders/ä",
            start_executor=start,
            checkpoint_storage=storage,
            output_from=[decide],
        )
        .add_fan_out_edges(start, looks)
        .add_fan_in_edges(looks, gather)
        .add_edge(gather, agent)
        .add_edge(agent, decide)
        .build()
    )


class Loud(Executor):
    """Says a text louder; asks nobody."""

    def __init__(self) -> None:
        super().__init__("loud")

    @handler
    async def shout(self, text: str, ctx: WorkflowContext[str]) -> None:
        """Takes a text."""
        await ctx.send_message(text.upper())
