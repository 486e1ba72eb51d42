"""A team that is killed repeatedly says the same as one that is never killed."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import TaskResult
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.teams import MagenticOneGroupChat, RoundRobinGroupChat, Swarm
from autogen_ext.models.replay import ReplayChatCompletionClient

from botwire import ConfigurationError, ConflictError
from botwire_autogen import CheckpointedTeam, resume_team, save_team
from tests.programs import RUN
from tests.zygote import Zygote

PROCESS = str(Path(__file__).with_name("autogen_team_process.py"))
KINDS = ["round", "selector", "chosen", "swarm", "graph"]


def team(*names: str, **options: Any) -> RoundRobinGroupChat:
    agents = [
        AssistantAgent(name, ReplayChatCompletionClient([f"{name}{i}" for i in range(9)]))
        for name in names or ("a", "b")
    ]
    return RoundRobinGroupChat(agents, **{"max_turns": 1, **options})  # type: ignore[arg-type]


Killed = Callable[[str, str, str, str], list[dict[str, Any]]]


@pytest.fixture
def killed(zygote: Zygote) -> Killed:
    """Returns the answers of the processes; see `autogen_team_process.py`."""

    def run(url: str, namespace: str, kind: str, way: str) -> list[dict[str, Any]]:
        said = zygote.read(RUN, PROCESS, url, namespace, kind, way)
        return [json.loads(line) for line in said.splitlines()]

    return run


# All points, which take a minute: autogen_team_process.py URL NAMESPACE KIND points:0:0
@pytest.mark.parametrize("kind", KINDS)
def test_a_team_killed_at_any_point_says_what_it_would_have_said(
    killed: Killed, tmp_path: Path, namespace: str, kind: str
) -> None:
    url = f"sqlite:///{tmp_path / 'memory.db'}"
    whole, *answers = killed(url, namespace, kind, "points:1:8")
    assert whole["same"]
    assert len(answers) == 8
    assert all(answer["died"] for answer in answers)
    assert [answer["point"] for answer in answers if not answer["same"]] == []


@pytest.mark.parametrize("kind", ["round", "graph"])
def test_a_team_killed_again_and_again_over_http_gets_on(
    killed: Killed, server_url: str, namespace: str, kind: str
) -> None:
    (answer,) = killed(server_url, namespace, kind, "again:3")
    assert answer["died"]
    assert answer["same"]


def test_a_team_killed_again_and_again_on_postgresql_gets_on(
    killed: Killed, postgres_url: str, namespace: str
) -> None:
    (answer,) = killed(postgres_url, namespace, "swarm", "again:5")
    assert answer["died"]
    assert answer["same"]


@pytest.mark.parametrize("place", ["embedded", "server_url", "postgres_url"])
def test_of_two_processes_that_resume_one_gets_a_conflict(
    killed: Killed, request: pytest.FixtureRequest, tmp_path: Path, namespace: str, place: str
) -> None:
    url = f"sqlite:///{tmp_path / 'memory.db'}"
    if place != "embedded":
        url = request.getfixturevalue(place)
    (answer,) = killed(url, namespace, "round", "conflict")
    assert answer["same"]
    assert answer["conflict"].startswith("the team 'team' was saved or resumed by another process")


@pytest.mark.anyio
async def test_a_saved_team_is_resumed_by_another_object(place_url: str, namespace: str) -> None:
    first = team()
    assert await resume_team(first, namespace, url=place_url) == 0
    await first.run(task="go")
    version = await save_team(first, namespace, url=place_url, if_version=0)
    second, third = team(), team()
    held = await resume_team(second, namespace, url=place_url)
    assert held > version
    assert [m.source for m in (await second.run()).messages] == ["b"]
    with pytest.raises(ConflictError, match="another process"):
        await save_team(first, namespace, url=place_url, if_version=version)
    await save_team(second, namespace, url=place_url, if_version=held)
    assert await resume_team(third, namespace, url=place_url)
    assert [m.source for m in (await third.run()).messages] == ["a"]


@pytest.mark.anyio
async def test_a_team_that_is_saved_again_is_as_it_was_last(place_url: str, namespace: str) -> None:
    first = team()
    for _ in range(3):
        await first.run(task="go")
        await save_team(first, namespace, url=place_url)
    other = team()
    await other.run(task="something else")
    await save_team(other, namespace, url=place_url)
    third = team()
    await resume_team(third, namespace, url=place_url)
    assert await third.save_state() == await other.save_state()


@pytest.mark.anyio
async def test_resuming_at_once_gives_the_team_to_one(place_url: str, namespace: str) -> None:
    first = team()
    await first.run(task="go")
    await save_team(first, namespace, url=place_url)
    teams = [team() for _ in range(4)]
    got = await asyncio.gather(
        *(resume_team(one, namespace, url=place_url) for one in teams), return_exceptions=True
    )
    versions = [version for version in got if isinstance(version, int)]
    assert all(isinstance(other, (int, ConflictError)) for other in got)
    saves = await asyncio.gather(
        *(
            save_team(one, namespace, url=place_url, if_version=version)
            for one, version in zip(teams, got, strict=True)
            if isinstance(version, int)
        ),
        return_exceptions=True,
    )
    assert len(versions) >= 1
    assert sum(isinstance(save, int) for save in saves) == 1


@pytest.mark.anyio
async def test_a_renamed_agent_is_named(place_url: str, namespace: str) -> None:
    for name in ("mine", None):
        await save_team(team("a", "b"), namespace, url=place_url, name=name)
        with pytest.raises(ConfigurationError, match=r"'b'.*'c'"):
            await resume_team(team("a", "c"), namespace, url=place_url, name=name)


@pytest.mark.anyio
async def test_a_run_after_a_run_goes_on_with_the_conversation(
    place_url: str, namespace: str
) -> None:
    def make() -> CheckpointedTeam:
        condition = MaxMessageTermination(3)
        return CheckpointedTeam(team(), namespace, url=place_url, termination_condition=condition)

    one = make()
    first = await one.run(task="go")
    assert [m.source for m in first.messages] == ["user", "a", "b"]
    assert first.stop_reason is not None
    assert first.stop_reason.startswith("Maximum number of messages 3 reached")
    again = await one.run(task="more", output_task_messages=False)
    assert [m.source for m in again.messages] == ["a", "b"]
    other = make()
    stream = [m async for m in other.run_stream(task="last")]
    assert isinstance(stream[-1], TaskResult)
    assert len(await other.thread()) == 9
    await other.reset()
    assert await other.thread() == []


@pytest.mark.anyio
async def test_a_task_that_ends_the_run_asks_no_agent(place_url: str, namespace: str) -> None:
    one = CheckpointedTeam(
        team(), namespace, url=place_url, termination_condition=MaxMessageTermination(1)
    )
    result = await one.run(task="go")
    assert [m.source for m in result.messages] == ["user"]
    assert not await one.pending()


@pytest.mark.anyio
async def test_turns_are_counted(place_url: str, namespace: str) -> None:
    one = CheckpointedTeam(team(), namespace, url=place_url, max_turns=3)
    assert [m.source for m in (await one.run(task="go")).messages] == ["user", "a", "b", "a"]


@pytest.mark.anyio
async def test_a_run_that_was_left_goes_on_and_another_task_has_to_wait(
    place_url: str, namespace: str
) -> None:
    def make() -> CheckpointedTeam:
        return CheckpointedTeam(team(), namespace, url=place_url, max_turns=4)

    stream = make().run_stream(task="go")
    async for message in stream:
        if getattr(message, "source", None) == "b":
            break
    await stream.aclose()
    assert await make().pending()
    with pytest.raises(ConfigurationError, match="unfinished"):
        await make().run(task="something else")
    result = await make().run(task="go")
    assert [m.source for m in result.messages] == ["user", "a", "b", "a", "b"]


@pytest.mark.anyio
async def test_two_teams_do_not_share_a_state_without_a_name(
    tmp_path: Path, namespace: str
) -> None:
    url = f"sqlite:///{tmp_path / 'memory.db'}"
    mine = CheckpointedTeam(team(), namespace, url=url, max_turns=1)
    await mine.run(task="my word is tea")
    thread = await mine.thread()
    for other in (team("a", "c"), team(name="poets"), Swarm(team()._participants, max_turns=1)):
        for use in (
            CheckpointedTeam(other, namespace, url=url).run(task="what is my word?"),
            CheckpointedTeam(other, namespace, url=url).thread(),
            CheckpointedTeam(other, namespace, url=url).reset(),
            save_team(other, namespace, url=url),
            resume_team(other, namespace, url=url),
        ):
            with pytest.raises(ConfigurationError, match="give each a name="):
                await use
    named = CheckpointedTeam(team("a", "c"), namespace, url=url, name="ours", max_turns=1)
    assert len((await named.run(task="hello")).messages) == 2
    again = CheckpointedTeam(team(), namespace, url=url, max_turns=1)
    assert await again.thread() == thread
    assert len((await again.run(task="more")).messages) == 2


def test_teams_that_cannot_be_resumed_are_refused() -> None:
    model = ReplayChatCompletionClient(["x"])
    magentic = MagenticOneGroupChat([AssistantAgent("a", model)], model)
    with pytest.raises(ConfigurationError, match="MagenticOne"):
        CheckpointedTeam(magentic, "n")
    for options in ({"max_turns": 2}, {"termination_condition": MaxMessageTermination(2)}):
        with pytest.raises(ConfigurationError, match=re.escape("max_turns=1")):
            CheckpointedTeam(team(**options), "n")
