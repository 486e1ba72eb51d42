"""A CheckpointedTeam is a team of AutoGen: the same messages, refusals, events and components."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from autogen_agentchat.agents import AssistantAgent, BaseChatAgent
from autogen_agentchat.base import Handoff, Response, TaskResult, Team
from autogen_agentchat.conditions import HandoffTermination, MaxMessageTermination
from autogen_agentchat.messages import (
    BaseChatMessage,
    HandoffMessage,
    MessageFactory,
    StructuredMessage,
    TextMessage,
)
from autogen_agentchat.teams import RoundRobinGroupChat, SelectorGroupChat, Swarm
from autogen_core import CancellationToken, FunctionCall
from autogen_core.model_context import UnboundedChatCompletionContext
from autogen_core.models import CreateResult, RequestUsage, UserMessage
from autogen_ext.models.replay import ReplayChatCompletionClient
from pydantic import BaseModel, ConfigDict, Field, computed_field
from pydantic.alias_generators import to_camel

from botwire import ConfigurationError, ConflictError, NotJSONError
from botwire_autogen import BotWireChatCompletionContext, BotWireStateStore, CheckpointedTeam

pytestmark = pytest.mark.anyio

INFO: Any = {
    "vision": False,
    "function_calling": True,
    "json_output": True,
    "family": "unknown",
    "structured_output": True,
}


class Plan(BaseModel):
    steps: list[str]


class Own(TextMessage):
    """A type that no team has registered."""

    type: Literal["Own"] = "Own"  # type: ignore[assignment]


class Planner(BaseChatAgent):
    @property
    def produced_message_types(self) -> Sequence[type[BaseChatMessage]]:
        return (StructuredMessage[Plan],)

    async def on_messages(
        self, messages: Sequence[BaseChatMessage], cancellation_token: CancellationToken
    ) -> Response:
        plan = StructuredMessage[Plan](source=self.name, content=Plan(steps=["a"]))
        return Response(chat_message=plan)

    async def on_reset(self, cancellation_token: CancellationToken) -> None:
        pass


def speaker(name: str, *says: str) -> AssistantAgent:
    return AssistantAgent(name, ReplayChatCompletionClient(list(says or ("x", "y", "z"))))


def pair(max_turns: int = 1, **options: Any) -> RoundRobinGroupChat:
    return RoundRobinGroupChat([speaker("a"), speaker("b")], max_turns=max_turns, **options)


def told(result: TaskResult) -> list[tuple[str, str, str]]:
    return [(type(m).__name__, m.source, m.to_text()) for m in result.messages]


def declared(max_turns: int) -> RoundRobinGroupChat:
    return RoundRobinGroupChat([Planner("planner", "plans")], max_turns=max_turns)


def given(max_turns: int) -> RoundRobinGroupChat:
    model = ReplayChatCompletionClient(['{"steps": ["a"]}'] * 5, model_info=INFO)
    agent = AssistantAgent("planner", model, output_content_type=Plan)
    return RoundRobinGroupChat(
        [agent], max_turns=max_turns, custom_message_types=[StructuredMessage[Plan]]
    )


@pytest.mark.parametrize("make", [declared, given])
async def test_the_messages_that_a_team_knows_are_known(
    place_url: str, namespace: str, make: Callable[[int], RoundRobinGroupChat]
) -> None:
    stock = await make(2).run(task="go")
    team = CheckpointedTeam(make(1), namespace, url=place_url, max_turns=2)
    assert told(await team.run(task="go")) == told(stock)
    again = CheckpointedTeam(make(1), namespace, url=place_url, max_turns=2)
    assert [m.to_text() for m in await again.thread()] == [text for _, _, text in told(stock)]


class Aliased(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)

    next_step: str
    done_by: str = Field(validation_alias="who", serialization_alias="by")


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")

    steps: list[str]

    @computed_field
    @property
    def first(self) -> str:
        return self.steps[0]


class Picture(BaseModel):
    data: bytes


def contents(content: BaseModel) -> RoundRobinGroupChat:
    """Returns a team of two agents that send this content."""
    kind = StructuredMessage[type(content)]  # type: ignore[misc]

    class Sender(BaseChatAgent):
        produced_message_types = (kind,)

        async def on_messages(self, messages: Any, cancellation_token: Any) -> Response:
            return Response(chat_message=kind(source=self.name, content=content))

        async def on_reset(self, cancellation_token: CancellationToken) -> None:
            pass

    return RoundRobinGroupChat([Sender("a", "sends"), Sender("b", "sends")], max_turns=1)


@pytest.mark.parametrize(
    "content", [Aliased(nextStep="go", who="me"), Strict(steps=["a"])], ids=["aliases", "strict"]
)
async def test_contents_that_autogen_cannot_load_are_loaded(
    place_url: str, namespace: str, content: BaseModel
) -> None:
    team = CheckpointedTeam(contents(content), namespace, url=place_url, max_turns=1)
    await team.run(task="go")
    again = CheckpointedTeam(contents(content), namespace, url=place_url, max_turns=1)
    (answer,) = (await again.run()).messages
    thread = await again.thread()
    found = [one.content for one in [*thread, answer] if isinstance(one, StructuredMessage)]
    assert found == [content] * 3


async def test_a_message_with_bytes_is_refused_with_advice(place_url: str, namespace: str) -> None:
    picture = Picture(data=b"\xff")
    team = CheckpointedTeam(contents(picture), namespace, url=place_url, max_turns=1)
    with pytest.raises(NotJSONError, match=r"state of the team cannot be stored .*ser_json_bytes"):
        await team.run(task="go")
    other = CheckpointedTeam(contents(picture), namespace, name="other", url=place_url)
    with pytest.raises(NotJSONError, match=r"StructuredMessage\[Picture\] of 'user' cannot be"):
        await other.run(task=StructuredMessage[Picture](source="user", content=picture))
    assert not await other.pending()


@pytest.mark.parametrize(
    "task",
    [[], ["go"], ("go",), 7, [TextMessage(content="x", source="user"), "go"], ()],
    ids=["none", "text", "tuple", "number", "mixed", "empty-tuple"],
)
async def test_a_task_that_autogen_refuses_is_refused_alike_and_not_saved(
    place_url: str, namespace: str, task: Any
) -> None:
    with pytest.raises(ValueError, match=r"[Tt]ask") as stock:
        await pair().run(task=task)
    team = CheckpointedTeam(pair(), namespace, url=place_url, max_turns=2)
    with pytest.raises(ValueError, match=r"[Tt]ask") as ours:
        await team.run(task=task)
    assert str(ours.value) == str(stock.value)
    assert not await team.pending()
    assert not await team.thread()
    assert len((await team.run(task="go")).messages) == 3


async def test_a_message_of_an_unknown_type_is_refused_before_anything_is_saved(
    place_url: str, namespace: str
) -> None:
    team = CheckpointedTeam(pair(), namespace, url=place_url, max_turns=2)
    with pytest.raises(ValueError, match="custom_message_types"):
        await team.run(task=Own(content="go", source="user"))
    assert not await team.thread()
    knows = CheckpointedTeam(
        pair(), namespace, url=place_url, max_turns=1, custom_message_types=[Own, TextMessage]
    )
    result = await knows.run(task=Own(content="go", source="user"))
    assert type(result.messages[0]) is Own


async def test_a_reply_that_a_swarm_does_not_take_leaves_no_run_behind(
    place_url: str, namespace: str
) -> None:
    call = CreateResult(
        finish_reason="function_calls",
        content=[FunctionCall(id="1", name="transfer_to_user", arguments="{}")],
        usage=RequestUsage(prompt_tokens=1, completion_tokens=1),
        cached=False,
    )
    model = ReplayChatCompletionClient([call, "thanks", "x", "y"], model_info=INFO)

    def swarm() -> CheckpointedTeam:
        agent = AssistantAgent("ana", model, handoffs=[Handoff(target="user")])
        return CheckpointedTeam(
            Swarm([agent], max_turns=1),
            namespace,
            url=place_url,
            termination_condition=HandoffTermination("user"),
            max_turns=3,
        )

    team = swarm()
    await team.run(task="refund")
    for other in (team, swarm()):
        with pytest.raises(ValueError, match="handoff target"):
            await other.run(task="here you are")
        assert not await other.pending()
    reply = HandoffMessage(source="user", target="ana", content="order 7")
    result = await swarm().run(task=reply)
    assert "Maximum" in str(result.stop_reason)


async def test_events_of_a_team_are_in_the_result_after_a_failure_too(
    place_url: str, namespace: str
) -> None:
    stock = await pair(max_turns=3, emit_team_events=True).run(task="go")

    def team(*second: str) -> CheckpointedTeam:
        silent = AssistantAgent("b", ReplayChatCompletionClient([*second]))
        agents = [speaker("a", "x", "y"), silent]
        inner = RoundRobinGroupChat([*agents], max_turns=1, emit_team_events=True)
        return CheckpointedTeam(inner, namespace, url=place_url, max_turns=3)

    with pytest.raises(RuntimeError, match="No more mock responses"):
        await team().run(task="go")
    resumed = team("x")
    result = await resumed.run(task="go")
    kinds = [(kind, source) for kind, source, _ in told(result)]
    assert kinds == [(kind, source) for kind, source, _ in told(stock)]
    assert [kind for kind, _ in kinds].count("SelectSpeakerEvent") == 3


@pytest.mark.parametrize("kept", ["stock", "botwire"])
async def test_what_a_selectors_context_held_before_stays(
    place_url: str, namespace: str, kept: str
) -> None:
    rule = UserMessage(content="Prefer b.", source="user")

    def team(max_turns: int, context: Any) -> tuple[SelectorGroupChat, ReplayChatCompletionClient]:
        chooses = ReplayChatCompletionClient(["b", "a", "b", "a"])
        chat = SelectorGroupChat(
            [speaker("a"), speaker("b")], chooses, max_turns=max_turns, model_context=context
        )
        return chat, chooses

    def shown(model: ReplayChatCompletionClient) -> list[str]:
        return [str(call["messages"][0].content).replace("\n", " ") for call in model.create_calls]

    stock, expected = team(2, UnboundedChatCompletionContext([rule]))
    await stock.run(task="go")
    prompts = []
    for _ in range(2):  # the second is another process with its own task
        context: Any = UnboundedChatCompletionContext([rule])
        if kept == "botwire":
            context = BotWireChatCompletionContext(
                namespace, url=place_url, name="selector", initial_messages=[rule]
            )
        inner, model = team(1, context)
        checkpointed = CheckpointedTeam(inner, namespace, url=place_url, max_turns=2)
        await checkpointed.run(task="go")
        prompts += shown(model)
    assert prompts[:2] == shown(expected)
    assert all(prompt.count("Prefer b.") == 1 for prompt in prompts)


async def test_it_is_a_team_and_a_component(place_url: str, namespace: str) -> None:
    team = CheckpointedTeam(
        pair(),
        namespace,
        url=place_url,
        name="talk",
        termination_condition=MaxMessageTermination(3),
        max_turns=5,
    )
    assert isinstance(team, Team)
    assert (team.name, team.description) == (team._team.name, team._team.description)
    dumped = team.dump_component().model_dump_json()
    again = Team.load_component(json.loads(dumped))
    assert isinstance(again, CheckpointedTeam)
    assert again.dump_component() == team.dump_component()
    assert len((await again.run(task="go")).messages) == 3
    await again.pause()
    await again.resume()
    state = json.loads(json.dumps(await again.save_state()))
    assert len(await team.thread()) == 3
    await team.reset()
    assert await team.thread() == []
    await team.load_state(state)
    assert len(await team.thread()) == 3
    assert (await team.save_state())["team"] == state["team"]
    wrong: Any
    for wrong, says in (
        ({"odd": 1}, "not the state"),
        (5, "state must be a dict, not int: 5"),
        ({"team": 5}, r"state\['team'\] must be a dict"),
        ({**state, "run": 5}, r"state\['run'\] must be a dict"),
        ({**state, "run": {}}, "not the state"),
        ({"agent_states": 5}, "agent_states of the state must be a dict"),
    ):
        with pytest.raises(ConfigurationError, match=says):
            await team.load_state(wrong)
    assert len(await team.thread()) == 3


async def test_a_wrong_argument_is_named(namespace: str) -> None:
    wrong: Any
    for wrong, says in (
        ({"name": 5}, "a history name must be a string, not int: 5"),
        ({"name": ""}, "must not be empty"),
        ({"termination_condition": 5}, "termination_condition must be a TerminationCondition"),
        ({"custom_message_types": 5}, "custom_message_types must be a list of classes"),
        ({"custom_message_types": [5]}, r"custom_message_types\[0\] must be a type"),
        ({"team": 5}, "team must be a Team, not int: 5"),
    ):
        with pytest.raises(ConfigurationError, match=says):
            CheckpointedTeam(**{"team": pair(), "namespace": namespace, **wrong})
    team = CheckpointedTeam(pair(), namespace, url="sqlite://")
    with pytest.raises(ConfigurationError, match="cancellation_token must be a CancellationToken"):
        await team.run(task="go", cancellation_token=5)  # type: ignore[arg-type]
    store = BotWireStateStore(namespace, url="sqlite://")
    for call, says in (
        (store.save(5, {}), "name must be a string, not int: 5"),  # type: ignore[arg-type]
        (store.save("t", 5), "state must be a dict, not int: 5"),  # type: ignore[arg-type]
        (store.save("t", {}, extra=5), "extra must be a dict, not int: 5"),  # type: ignore[arg-type]
        (store.load(5), "name must be a string"),  # type: ignore[arg-type]
        (store.delete(5), "name must be a string"),  # type: ignore[arg-type]
    ):
        with pytest.raises(ConfigurationError, match=says):
            await call  # type: ignore[misc]


class Pausable(BaseChatAgent):
    """Answers when it was paused and resumed."""

    def __init__(self) -> None:
        super().__init__("pausable", "waits")
        self.begun, self.paused, self.resumed = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @property
    def produced_message_types(self) -> Sequence[type[BaseChatMessage]]:
        return (TextMessage,)

    async def on_messages(
        self, messages: Sequence[BaseChatMessage], cancellation_token: CancellationToken
    ) -> Response:
        self.begun.set()
        await self.paused.wait()
        await self.resumed.wait()
        return Response(chat_message=TextMessage(content="back", source=self.name))

    async def on_reset(self, cancellation_token: CancellationToken) -> None:
        pass

    async def on_pause(self, cancellation_token: CancellationToken) -> None:
        self.paused.set()

    async def on_resume(self, cancellation_token: CancellationToken) -> None:
        self.resumed.set()


async def test_a_team_that_runs_can_be_paused(place_url: str, namespace: str) -> None:
    agent = Pausable()
    team = CheckpointedTeam(
        RoundRobinGroupChat([agent], max_turns=1), namespace, url=place_url, max_turns=1
    )
    await team.pause()  # no agent is running
    run = asyncio.create_task(team.run(task="go"))
    await agent.begun.wait()
    await team.pause()
    await team.resume()
    assert (await run).messages[-1].to_text() == "back"


async def test_it_can_be_a_part_of_a_larger_team(place_url: str, namespace: str) -> None:
    def outer(inner: Team) -> RoundRobinGroupChat:
        return RoundRobinGroupChat([inner, speaker("c")], max_turns=2)

    stock = await outer(pair(max_turns=2)).run(task="go")
    ours = CheckpointedTeam(pair(), namespace, url=place_url, max_turns=2)
    assert told(await outer(ours).run(task="go")) == told(stock)


async def test_a_team_that_runs_does_not_run_again(place_url: str, namespace: str) -> None:
    team = CheckpointedTeam(pair(), namespace, url=place_url, max_turns=2)
    stream = team.run_stream(task="go")
    await anext(stream)
    with pytest.raises(ValueError, match="already running"):
        await team.run(task="go")
    with pytest.raises(RuntimeError, match="running"):
        await team.reset()
    await stream.aclose()
    assert len((await team.run(task="go")).messages) == 3
    run = asyncio.create_task(team.run(task="more"))
    await asyncio.sleep(0)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    await team.abandon()
    assert (await team.run(task="again")).stop_reason


class Counted(TextMessage):
    """A message that counts how often messages of its type are dumped."""

    type: Literal["Counted"] = "Counted"  # type: ignore[assignment]
    dumps: ClassVar[int] = 0

    def dump(self) -> Mapping[str, Any]:
        type(self).dumps += 1
        return super().dump()


class Speaker(Planner):
    @property
    def produced_message_types(self) -> Sequence[type[BaseChatMessage]]:
        return (Counted,)

    async def on_messages(
        self, messages: Sequence[BaseChatMessage], cancellation_token: CancellationToken
    ) -> Response:
        return Response(chat_message=Counted(source=self.name, content="x"))


async def test_a_late_turn_writes_down_no_more_than_an_early_one(
    tmp_path: Path, namespace: str
) -> None:
    url = f"sqlite:///{tmp_path / 'memory.db'}"
    agents = [Speaker("a", "Speaks."), Speaker("b", "Speaks.")]
    team = RoundRobinGroupChat([*agents], max_turns=1, custom_message_types=[Counted])
    saved = CheckpointedTeam(team, namespace, url=url, max_turns=20)
    dumps = []
    for _ in range(4):
        Counted.dumps = 0
        await saved.run(task="go")
        dumps.append(Counted.dumps)
    assert len(await saved.thread()) == 84
    assert dumps[3] <= dumps[1], dumps


async def test_a_team_opened_again_loads_each_message_once(
    tmp_path: Path, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'memory.db'}"

    def opened(max_turns: int) -> CheckpointedTeam:
        agents = [Speaker("a", "Speaks."), Speaker("b", "Speaks.")]
        team = RoundRobinGroupChat([*agents], max_turns=1, custom_message_types=[Counted])
        return CheckpointedTeam(team, namespace, url=url, max_turns=max_turns)

    await opened(20).run(task="go")
    loaded = 0
    create = MessageFactory.create

    def counted(self: MessageFactory, data: Mapping[str, Any]) -> Any:
        nonlocal loaded
        loaded += 1
        return create(self, data)

    monkeypatch.setattr(MessageFactory, "create", counted)
    await opened(1).run(task="more")
    assert len(await opened(1).thread()) == 23
    assert loaded < 2 * 21 + 23  # twice: a turn, and the call of `thread`


async def test_a_state_that_continues_what_is_stored_adds_to_it(
    place_url: str, namespace: str
) -> None:
    store = BotWireStateStore(namespace, url=place_url)

    def state(*contents: str) -> Any:
        thread = [TextMessage(content=one, source="user").dump() for one in contents]
        return {"agent_states": {"manager": {"message_thread": thread}}}

    def told(saved: Any) -> list[str]:
        thread = saved.state["agent_states"]["manager"]["message_thread"]
        return [message["content"] for message in thread]

    version = await store.save("t", state("a", "b"))
    later = await store.save("t", state("c"), if_version=version, stored=2)
    for stale in (version, later + 1):
        with pytest.raises(ConflictError):
            await store.save("t", state("lost"), if_version=stale, stored=2)
    with pytest.raises(ConfigurationError, match="if_version"):
        await store.save("t", state("lost"), stored=2)
    claimed = await BotWireStateStore(namespace, url=place_url).claim("t")
    assert told(claimed) == ["a", "b", "c"]
    with pytest.raises(ConflictError):  # whoever claims a state has it
        await store.save("t", state("lost"), if_version=later, stored=3)
    assert claimed is not None
    await store.save("t", state("d"), if_version=claimed.version)
    assert told(await store.load("t")) == ["d"]


async def test_a_loaded_state_replaces_the_stored_thread_or_continues_it(
    place_url: str, namespace: str
) -> None:
    team = CheckpointedTeam(pair(), namespace, url=place_url, max_turns=1)
    await team.run(task="one")
    first = await team.save_state()
    await team.run(task="two")
    second = await team.save_state()
    for state, count in ((first, 2), (second, 4), (second, 4), (first, 2)):
        other = CheckpointedTeam(pair(), namespace, url=place_url, max_turns=1)
        await other.load_state(state)
        assert len(await other.thread()) == count
        await other.run(task="more")
        told = [message.to_text() for message in await team.thread()]
        assert told[:count:2] == ["one", "two"][: count // 2]
        assert told[count] == "more"
        assert len(told) == count + 2
