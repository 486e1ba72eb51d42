"""A team in a process of its own, for the tests of teams: runs, is killed, goes on.

Arguments: the URL, the namespace, the kind of team, and how the process behaves: ``stock`` runs
AutoGen's team alone, ``run`` to the end, ``model`` kills itself within a call of a model,
``event`` when its answer was seen and not yet saved, ``wait`` waits for a
line in its first call of a model.
Prints the thread of the team without ids and times.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import Team
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.messages import BaseAgentEvent, BaseChatMessage
from autogen_agentchat.teams import (
    DiGraphBuilder,
    GraphFlow,
    RoundRobinGroupChat,
    SelectorGroupChat,
    Swarm,
)
from autogen_core import FunctionCall
from autogen_core.model_context import ChatCompletionContext, UnboundedChatCompletionContext
from autogen_core.models import AssistantMessage, CreateResult, LLMMessage, ModelInfo, RequestUsage
from autogen_ext.models.replay import ReplayChatCompletionClient

from botwire import ConflictError
from botwire_autogen import BotWireChatCompletionContext, CheckpointedTeam

url, namespace, kind, mode = sys.argv[1:]
calls: list[str] = []
TURNS = {"b": "b and c", "c": "b and c"} if kind == "graph" else {}  # who speak at once


def late() -> bool:
    """Says whether this process is in its second turn: killed in its first, none gets on."""
    return TURNS.get(calls[0], calls[0]) != TURNS.get(calls[-1], calls[-1])


def tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Client(ReplayChatCompletionClient):
    """Answers with what it was shown, so that a difference in a context shows in the thread."""

    def __init__(self, name: str, hands_to: str | None) -> None:
        info = ModelInfo(
            vision=False,
            function_calling=True,
            json_output=False,
            family="unknown",
            structured_output=False,
        )
        super().__init__([], model_info=info)
        self.name = name
        self.hands_to = hands_to

    async def create(self, messages: Sequence[LLMMessage], **kwargs: Any) -> CreateResult:
        calls.append(self.name)
        if mode == "model" and late():
            die()
        if mode == "wait" and len(calls) == 1:
            tell("waiting")
            await asyncio.to_thread(sys.stdin.readline)
        spoken = sum(isinstance(message, AssistantMessage) for message in messages)
        if self.hands_to and spoken % 2 == 0:
            call = FunctionCall(
                id=f"{self.name}-{spoken}", name=f"transfer_to_{self.hands_to}", arguments="{}"
            )
            self.chat_completions = [
                CreateResult(
                    finish_reason="function_calls",
                    content=[call],
                    usage=RequestUsage(1, 1),
                    cached=False,
                )
            ]
        else:
            word = "finish" if spoken else "again"
            heard = [getattr(message, "source", "") for message in messages]
            self.chat_completions = [f"{self.name} {word} {spoken} {heard}"]
        self.reset()
        return await super().create(messages, **kwargs)


def context(name: str) -> ChatCompletionContext:
    if mode == "stock" or kind in ("graph", "selector"):
        return UnboundedChatCompletionContext()
    return BotWireChatCompletionContext(namespace, url=url, name=name)


def agent(name: str, hands_to: str | None = None) -> AssistantAgent:
    return AssistantAgent(
        name,
        Client(name, hands_to),
        handoffs=[hands_to] if hands_to else None,
        model_context=context(name),
    )


def select(thread: Sequence[BaseAgentEvent | BaseChatMessage]) -> str:
    return {"user": "a", "a": "c", "c": "b", "b": "a"}[thread[-1].source]


def make_team() -> Team:
    stock = mode == "stock"
    limit = MaxMessageTermination(8) if stock else None
    turns = None if stock else 1
    if kind == "round":
        agents = [agent("a"), agent("b"), agent("c")]
        return RoundRobinGroupChat(agents, termination_condition=limit, max_turns=turns)
    if kind == "selector":
        return SelectorGroupChat(
            [agent("a"), agent("b"), agent("c")],
            Client("selector", None),
            selector_func=select,
            allow_repeated_speaker=True,
            termination_condition=limit,
            max_turns=turns,
        )
    if kind == "swarm":
        hands = [agent("a", "b"), agent("b", "c"), agent("c", "a")]
        return Swarm(hands, termination_condition=limit, max_turns=turns)
    start, a, b, c, d, end = (agent(name) for name in ("start", "a", "b", "c", "d", "end"))
    graph = DiGraphBuilder()
    for node in (start, a, b, c, d, end):
        graph.add_node(node)
    graph.add_edge(start, a, activation_condition="any")
    graph.add_edge(a, b).add_edge(a, c).add_edge(b, d).add_edge(c, d)
    graph.add_edge(d, a, condition="again", activation_condition="any")
    graph.add_edge(d, end, condition="finish")
    return GraphFlow(graph.get_participants(), graph.build(), max_turns=20 if stock else 1)


async def main() -> None:
    team = make_team()
    if mode == "stock":
        await team.run(task="go")
        states = (await team.save_state())["agent_states"].values()
        thread = next(state["message_thread"] for state in states if "message_thread" in state)
    else:
        condition = None if kind == "graph" else MaxMessageTermination(8)
        checkpointed = CheckpointedTeam(
            team, namespace, url=url, termination_condition=condition, max_turns=20
        )
        try:
            async for _ in checkpointed.run_stream(task="go"):
                if mode == "event" and calls and late():
                    die()
        except ConflictError as error:
            tell(f"conflict: {error}")
            return
        assert not await checkpointed.pending()
        thread = [message.dump() for message in await checkpointed.thread()]
    tell(json.dumps([{**m, "id": None, "created_at": None} for m in thread], sort_keys=True))


asyncio.run(main())
