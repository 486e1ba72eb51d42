"""Runs teams in processes that are killed and resumed, for the tests of teams.

``autogen_team_process.py URL NAMESPACE KIND WAY`` where the way is one of

- ``points:SEED:COUNT``: a run writes or reads the store so many times; before such a call, or after
  it, a process is killed and a new one goes on, for COUNT of these points, or with 0 for all. What
  is stored is the same between two points, so all of them are every moment there is.
- ``random:SEED:COUNT``: so many processes are killed from outside at random moments.
- ``again:SEED``: one run, whose processes are killed at random points again and again.
- ``conflict``: while a process waits for its model another one takes the team over.

A process is a fork of this one, which has imported everything and opened nothing. Each answer is a
line of JSON; `expected` is what AutoGen's own team says that nobody kills, and the messages of both
are compared without ids and times. An agent says whose messages it was shown, so that a difference
in a context shows in the thread.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
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
from autogen_core.memory import MemoryContent, MemoryMimeType
from autogen_core.model_context import ChatCompletionContext, UnboundedChatCompletionContext
from autogen_core.models import AssistantMessage, CreateResult, LLMMessage, ModelInfo, RequestUsage
from autogen_ext.models.replay import ReplayChatCompletionClient

from botwire import ConflictError
from botwire.connection import Connection
from botwire_autogen import BotWireChatCompletionContext, BotWireMemory, CheckpointedTeam

KINDS = ("round", "selector", "chosen", "swarm", "graph")
TASKS = ("go", "more")
FACTS = (b"\xff", "the sky is blue")
PATIENCE = 60  # seconds for a process that is not killed
INFO = ModelInfo(
    vision=False,
    function_calling=True,
    json_output=False,
    family="unknown",
    structured_output=False,
)

Wait = Callable[[], None]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Client(ReplayChatCompletionClient):
    """Answers with the messages it was shown, or hands over."""

    def __init__(self, name: str, hands_to: str | None, wait: Wait | None) -> None:
        super().__init__([], model_info=INFO)
        self.name, self.hands_to, self.wait = name, hands_to, wait

    async def create(self, messages: Sequence[LLMMessage], **kwargs: Any) -> CreateResult:
        if self.wait is not None:
            await asyncio.to_thread(self.wait)
        spoken = sum(isinstance(message, AssistantMessage) for message in messages)
        answer: str | CreateResult
        if self.hands_to and spoken % 2 == 0:
            call = FunctionCall(f"{self.name}-{spoken}", "{}", f"transfer_to_{self.hands_to}")
            answer = CreateResult(
                finish_reason="function_calls",
                content=[call],
                usage=RequestUsage(1, 1),
                cached=False,
            )
        else:
            word = "finish" if spoken else "again"
            heard = [getattr(message, "source", "system") for message in messages]
            answer = f"{self.name} {word} {spoken} {heard}"
        self.chat_completions = [answer]
        self.reset()
        return await super().create(messages, **kwargs)


class Chooser(ReplayChatCompletionClient):
    """Chooses the next speaker by the length of the conversation it was shown."""

    def __init__(self) -> None:
        super().__init__([], model_info=INFO)

    async def create(self, messages: Sequence[LLMMessage], **kwargs: Any) -> CreateResult:
        shown = str(messages[-1].content).count(" again ")
        shown += str(messages[-1].content).count(" finish ")
        self.chat_completions = ["acbab"[shown % 5]]
        self.reset()
        return await super().create(messages, **kwargs)


class Run:
    """What one process does.

    Args:
        url: Where memory lives.
        namespace: Whose.
        kind: Of the team.
        stock: AutoGen's own team, in memory.
        wait: What each call of a model waits for.
    """

    def __init__(
        self, url: str, namespace: str, kind: str, *, stock: bool = False, wait: Wait | None = None
    ) -> None:
        self.url, self.namespace, self.kind = url, namespace, kind
        self.stock, self.wait = stock, wait
        self.calls = 0

    def count_calls(self, deadly: int | None) -> None:
        """Counts the calls of the store; kills the process before or after one of them."""
        engine = type(Connection(self.namespace, url=self.url).async_memory.engine)
        apply = engine.apply

        async def counted(inner: Any, *arguments: Any, **options: Any) -> Any:
            if deadly == 2 * self.calls:
                die()
            answer = await apply(inner, *arguments, **options)
            if deadly == 2 * self.calls + 1:
                die()
            self.calls += 1
            return answer

        engine.apply = counted  # type: ignore[method-assign]

    def context(self, name: str) -> ChatCompletionContext:
        # The store would determine the order of agents that speak at the same time.
        if self.stock or self.kind in ("graph", "selector"):
            return UnboundedChatCompletionContext()
        return BotWireChatCompletionContext(self.namespace, url=self.url, name=name)

    def memory(self) -> BotWireMemory:
        # On a busy machine a memory must not time out, which the thread would show.
        return BotWireMemory(self.namespace, url=self.url, recall_timeout=PATIENCE)

    def agent(self, name: str, hands_to: str | None = None) -> AssistantAgent:
        memory = [self.memory()] if self.kind == "round" else None
        return AssistantAgent(
            name,
            Client(name, hands_to, self.wait),
            handoffs=[hands_to] if hands_to else None,
            model_context=self.context(name),
            memory=memory,
        )

    def team(self) -> Team:
        limit = MaxMessageTermination(6) if self.stock else None
        turns = None if self.stock else 1
        options: Any = {"termination_condition": limit, "max_turns": turns}
        if self.kind == "round":
            return RoundRobinGroupChat([*map(self.agent, "abc")], **options)
        if self.kind in ("selector", "chosen"):
            return SelectorGroupChat(
                [*map(self.agent, "abc")],
                Chooser(),
                selector_func=_select if self.kind == "selector" else None,
                allow_repeated_speaker=True,
                model_context=None if self.kind == "selector" else self.context("chooser"),
                **options,
            )
        if self.kind == "swarm":
            hands = [self.agent(one, other) for one, other in ("ab", "bc", "ca")]
            return Swarm([*hands], **options)
        start, a, b, c, d, end = map(self.agent, ("start", "a", "b", "c", "d", "end"))
        graph = DiGraphBuilder()
        for node in (start, a, b, c, d, end):
            graph.add_node(node)
        graph.add_edge(start, a, activation_condition="any")
        graph.add_edge(a, b).add_edge(a, c).add_edge(b, d).add_edge(c, d)
        graph.add_edge(d, a, condition="again", activation_condition="any")
        graph.add_edge(d, end, condition="finish")
        return GraphFlow(graph.get_participants(), graph.build(), max_turns=20 if self.stock else 1)

    async def thread(self) -> list[Any]:
        """Runs to the end of the last task and returns the thread."""
        if self.kind == "round":
            await self._remember()
        team = self.team()
        if self.stock:
            for task in TASKS:
                await team.run(task=task)
            agents = (await team.save_state())["agent_states"].values()
            return list(next(a["message_thread"] for a in agents if "message_thread" in a))
        condition = None if self.kind == "graph" else MaxMessageTermination(6)
        checkpointed = CheckpointedTeam(
            team, self.namespace, url=self.url, termination_condition=condition, max_turns=20
        )
        if await checkpointed.pending():
            await checkpointed.run()
        given = sum(message.source == "user" for message in await checkpointed.thread())
        for task in TASKS[given:]:
            await checkpointed.run(task=task)
        assert not await checkpointed.pending()
        return [message.dump() for message in await checkpointed.thread()]

    async def _remember(self) -> None:
        memory = self.memory()
        known = len((await memory.query()).results)
        for fact in FACTS[known:]:
            mime = MemoryMimeType.TEXT if isinstance(fact, str) else MemoryMimeType.BINARY
            await memory.add(MemoryContent(content=fact, mime_type=mime))

    async def answer(self) -> dict[str, Any]:
        try:
            thread = await self.thread()
        except ConflictError as error:
            return {"conflict": str(error)}
        return {"thread": [{**m, "id": None, "created_at": None} for m in thread]}


def _select(thread: Sequence[BaseAgentEvent | BaseChatMessage]) -> str:
    return {"user": "a", "a": "c", "c": "b", "b": "a"}[thread[-1].source]


class Process:
    """A fork that executes a run and writes its answer."""

    def __init__(self, run: Run, deadly: int | None = None) -> None:
        reads, writes = os.pipe()
        self.id = os.fork()
        if self.id:
            os.close(writes)
            self._answer = reads
            return
        try:
            os.close(reads)
            if not run.stock:
                run.count_calls(deadly)
            answer = {**asyncio.run(run.answer()), "calls": run.calls}
            with os.fdopen(writes, "w") as pipe:
                json.dump(answer, pipe)
            os._exit(0)
        except BaseException:  # noqa: BLE001 - whatever it is must not go on as the parent
            traceback.print_exc()
        finally:
            os._exit(1)

    def end(self) -> dict[str, Any] | None:
        """Waits for the end and returns the answer; None if it was killed."""
        with os.fdopen(self._answer) as pipe:
            if not select.select([pipe], [], [], PATIENCE)[0]:
                os.kill(self.id, signal.SIGKILL)
                raise TimeoutError("a team does not get on")
            answer = pipe.read()
        status = os.waitstatus_to_exitcode(os.waitpid(self.id, 0)[1])
        if status == -signal.SIGKILL:
            return None
        if status:
            raise RuntimeError(f"a process ended with status {status}")
        found: dict[str, Any] = json.loads(answer)
        return found


def tell(**what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def points(new: Callable[[str], Run], expected: Any, seed: int, count: int) -> None:
    whole = Process(new("whole")).end()
    assert whole is not None
    tell(point=None, died=False, same=whole["thread"] == expected)
    every = range(2 * whole["calls"])
    for point in sorted(random.Random(seed).sample(every, count)) if count else every:
        died = Process(new(f"p{point}"), point).end() is None
        answer = Process(new(f"p{point}")).end()
        tell(point=point, died=died, same=answer is not None and answer["thread"] == expected)


def at_random(new: Callable[[str], Run], expected: Any, seed: int, count: int) -> None:
    source = random.Random(seed)
    began = time.monotonic()
    Process(new("whole")).end()
    lasts = time.monotonic() - began
    for number in range(count):
        process = Process(new(f"r{number}"))
        time.sleep(source.uniform(0, lasts))
        os.kill(process.id, signal.SIGKILL)
        died = process.end() is None
        answer = Process(new(f"r{number}")).end()
        tell(point=number, died=died, same=answer is not None and answer["thread"] == expected)


def again(new: Callable[[str], Run], expected: Any, seed: int) -> None:
    source = random.Random(seed)
    whole = Process(new("whole")).end()
    assert whole is not None
    deaths = 0
    while (answer := Process(new("again"), source.randrange(whole["calls"] + 20)).end()) is None:
        deaths += 1
    tell(point=deaths, died=deaths > 0, same=answer["thread"] == expected)


def conflict(new: Callable[[str], Run], expected: Any) -> None:
    goes_on, go_on = os.pipe()
    begun, begin = os.pipe()

    def wait() -> None:
        os.write(begin, b"x")
        os.read(goes_on, 1)

    slow = new("conflict")
    slow.wait = wait
    slow_process = Process(slow)
    os.read(begun, 1)
    quick = Process(new("conflict")).end()
    assert quick is not None
    os.write(go_on, b"x" * 100)
    loser = slow_process.end()
    assert loser is not None
    tell(point=None, died=False, same=quick["thread"] == expected, conflict=loser.get("conflict"))


def main() -> None:
    url, namespace, kind, way = sys.argv[1:]

    def new(name: str) -> Run:
        # One file each, so that no run has to clean up after another.
        place = url.replace(".db", f"-{name}.db") if url.startswith("sqlite:") else url
        return Run(place, f"{namespace}-{kind}-{name}", kind)

    stock = new("stock")
    stock.stock = True
    answer = Process(stock).end()
    assert answer is not None
    expected = answer["thread"]
    assert len(expected) > 8, expected
    name, *numbers = way.split(":")
    ways: dict[str, Callable[..., None]] = {
        "points": points,
        "random": at_random,
        "again": again,
        "conflict": conflict,
    }
    ways[name](new, expected, *map(int, numbers))


if __name__ == "__main__":
    main()
