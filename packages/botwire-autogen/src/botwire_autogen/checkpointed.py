"""A team that is saved after each turn and resumes where its process was killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Self, Unpack

from autogen_agentchat.base import TaskResult, Team, TerminationCondition
from autogen_agentchat.messages import (
    BaseAgentEvent,
    BaseChatMessage,
    MessageFactory,
)
from autogen_agentchat.teams import MagenticOneGroupChat
from autogen_core import CancellationToken, Component, ComponentModel
from pydantic import BaseModel

from botwire import ConfigurationError
from botwire.arguments import check_mapping, check_type
from botwire.client.encoding import encode_each
from botwire.connection import ConnectionOptions, takes_connection
from botwire.off_loop import off_loop
from botwire.operations import check_count
from botwire_autogen.dumps import dump, dumped_state, load
from botwire_autogen.tasks import same_task, task_messages
from botwire_autogen.team_progress import TeamProgress
from botwire_autogen.team_states import (
    described,
    manager_of,
    restore,
    state_after,
    thread_of,
    with_thread,
)
from botwire_autogen.teams import BotWireStateStore, check_team_name

_TURN_ENDED = "Maximum number of turns 1 reached."  # the manager's reason to stop after one turn


class CheckpointedTeamConfig(BaseModel):
    """The configuration of a `CheckpointedTeam` in a component, without the server's API key."""

    team: ComponentModel
    namespace: str
    url: str | None = None
    name: str | None = None
    termination_condition: ComponentModel | None = None
    max_turns: int | None = None


class CheckpointedTeam(Team, Component[CheckpointedTeamConfig]):
    """Runs a team turn by turn and saves it after each turn, when its state is consistent.

    AutoGen's state of a running team is inconsistent: a message may have reached one agent and not
    yet another. So you create the team with ``max_turns=1`` and without a termination condition,
    and this class calls it repeatedly. It saves the task before the first turn. If the process is
    killed, only the turn it was in is run again.

    To resume, a new process creates the same team and calls `run` with the same task or with none:
    the unfinished run continues. A process that still holds the run gets a `ConflictError`, so
    only one process continues. After an error, the same object resumes as a new process would.

    RoundRobinGroupChat, SelectorGroupChat, Swarm and GraphFlow can be resumed. MagenticOne cannot,
    because it makes a new plan for every run. The internal state of a custom agent must be part of
    its ``save_state``. `TimeoutTermination` counts from the resume.

    Args:
        team: A team created with ``max_turns=1`` and without ``termination_condition``.
        namespace: The namespace of the team.
        name: The team's name in the store. Defaults to ``team``; then a team of another kind or
            with other agents needs a name in this namespace. Teams with the same kind and agents
            are the same team.
        termination_condition: Decides when a run ends; gets all new messages of each turn.
        max_turns: Maximum number of turns per run.
        custom_message_types: Message types that neither the team nor its agents declare.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid, or the team cannot be resumed.
    """

    component_config_schema = CheckpointedTeamConfig
    component_provider_override = "botwire_autogen.CheckpointedTeam"

    @takes_connection
    def __init__(
        self,
        team: Team,
        namespace: str,
        *,
        name: str | None = None,
        termination_condition: TerminationCondition | None = None,
        max_turns: int | None = None,
        custom_message_types: Sequence[type[BaseAgentEvent | BaseChatMessage]] = (),
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        check_type(team, Team, "team")
        if isinstance(team, MagenticOneGroupChat):
            raise ConfigurationError(
                "MagenticOne makes a new plan in every run, so it cannot be resumed"
            )
        # AutoGen has no public API for these; a component dump fails for functions and custom
        # agents.
        if getattr(team, "_max_turns", 1) != 1 or getattr(team, "_termination_condition", None):
            raise ConfigurationError(
                "make the team with max_turns=1 and without termination_condition, and give both "
                "to CheckpointedTeam"
            )
        if max_turns is not None:
            check_count(max_turns, "max_turns", least=1)
        if termination_condition is not None:
            check_type(termination_condition, TerminationCondition, "termination_condition")
        self._team = team
        self._name = name
        self._key = check_team_name(name)
        self._condition = termination_condition
        self._max_turns = max_turns
        # AutoGen has no public API for the message types of a team either.
        self._factory = getattr(team, "_message_factory", None) or MessageFactory()
        for message_type in encode_each(
            custom_message_types, type, "custom_message_types", "classes"
        ):
            if not self._factory.is_registered(message_type):
                self._factory.register(message_type)
        self._store = BotWireStateStore(namespace, **connection)
        self._ours = name is not None  # whether the stored state is known to be this team's
        self._version: int | None = None  # None: not loaded, or the team was left during a turn
        self._progress = TeamProgress()
        self._busy = False  # whether this object runs the team
        self._ended = asyncio.Event()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._store.connection.namespace!r}, name={self._key!r})"

    @property
    def name(self) -> str:
        """The name of the team within a larger team of teams."""
        return self._team.name

    @property
    def description(self) -> str:
        """What the team is for."""
        return self._team.description

    async def pending(self) -> bool:
        """Returns whether an unfinished run is stored."""
        await self._check_ours()
        extra = await self._store.load_extra(self._key)
        return extra is not None and bool(extra["running"])

    async def thread(self) -> list[BaseAgentEvent | BaseChatMessage]:
        """Returns the stored messages of the team."""
        await self._check_ours()
        saved = await self._store.load(self._key)
        return [] if saved is None else await off_loop(self._messages, thread_of(saved.state))

    async def run(
        self,
        *,
        task: str | BaseChatMessage | Sequence[BaseChatMessage] | None = None,
        cancellation_token: CancellationToken | None = None,
        output_task_messages: bool = True,
    ) -> TaskResult:
        """Runs to the end and returns the messages of the whole run; see `run_stream`."""
        result: TaskResult | None = None
        async for message in self.run_stream(
            task=task,
            cancellation_token=cancellation_token,
            output_task_messages=output_task_messages,
        ):
            if isinstance(message, TaskResult):
                result = message
        assert result is not None  # the last of a stream
        return result

    async def run_stream(
        self,
        *,
        task: str | BaseChatMessage | Sequence[BaseChatMessage] | None = None,
        cancellation_token: CancellationToken | None = None,
        output_task_messages: bool = True,
    ) -> AsyncGenerator[BaseAgentEvent | BaseChatMessage | TaskResult, None]:
        """Yields the messages of each turn and finally the result, as AutoGen's teams do.

        Args:
            task: What to do. An unfinished run of this task continues.
            cancellation_token: Ends the turn; the run can be resumed.
            output_task_messages: Whether to yield the task's messages too.

        Raises:
            ConflictError: Another process now holds the team.
            ConfigurationError: A run of another task is unfinished, or another team in the
                namespace has no name either.
        """
        given = task_messages(task, self._factory)
        if cancellation_token is not None:
            check_type(cancellation_token, CancellationToken, "cancellation_token")
        if self._busy:
            raise ValueError(
                "The team is already running, it cannot run again until it is stopped."
            )
        self._busy = True
        self._ended.clear()
        try:
            # Closed here: a stream that is left half-read would otherwise end the turn at any
            # later time, while this object is said to be free.
            async with aclosing(self._run(given, cancellation_token, output_task_messages)) as run:
                async for message in run:
                    yield message
        finally:
            self._busy = False
            self._ended.set()

    async def _run(
        self,
        given: Sequence[BaseChatMessage],
        cancellation_token: CancellationToken | None,
        output_task_messages: bool,
    ) -> AsyncGenerator[BaseAgentEvent | BaseChatMessage | TaskResult, None]:
        if self._version is None:
            await self._load()
        progress = self._progress
        started = progress.thread[progress.turns[0] :] if progress.running else []
        if progress.running and given and not same_task(given, started):
            raise ConfigurationError(
                f"{self!r} has an unfinished run of another task: run it to its end without a "
                "task, or abandon it"
            )
        if not progress.running:
            await self._validate(given)
        version, self._version = self._version, None  # reloaded until a turn is complete
        assert version is not None
        stop: str | None
        if progress.running:
            stop = await self._replay()
        else:
            version = await self._begin(given, version)
            if output_task_messages:
                for message in given:
                    yield message
            stop = await self._ask(1)
        while stop is None:
            reason: str | None = None
            begin = len(progress.thread)
            said: list[BaseAgentEvent | BaseChatMessage] = []
            # Not closed here: AutoGen's stream would wait for an agent that waits for a person.
            turn = self._team.run_stream(cancellation_token=cancellation_token)
            try:
                async for event in turn:
                    if isinstance(event, TaskResult):
                        reason = event.stop_reason
                    else:
                        said.append(event)
                        yield event
            except RuntimeError:  # AutoGen wraps whatever an agent raised
                # A process that took the team over also took its agents' contexts: report that.
                await self._store.check(self._key, version)
                raise
            state = await self._state()
            progress.end_turn(begin, said)
            stop = reason if reason != _TURN_ENDED else await self._ask(len(progress.turns))
            progress.running = stop is None
            version = await self._save(state, version)
        if progress.running:  # the task itself or a replayed turn has ended the run
            progress.running = False
            version = await self._save(await self._state(), version)
        if self._condition is not None:
            await self._condition.reset()
        self._version = version
        first = progress.turns[0] + (0 if output_task_messages else len(progress.turn(0)))
        yield TaskResult(messages=self._messages(progress.with_events(first)), stop_reason=stop)

    async def _validate(self, task: Sequence[BaseChatMessage]) -> None:
        """Lets the team's manager refuse a task before anything is saved."""
        manager = await manager_of(self._team)
        if manager is not None:
            await manager.validate_group_state(list(task) or None)

    async def abandon(self) -> None:
        """Ends an unfinished run where it was last saved, so that another task can start.

        The messages stay in the conversation. A process that still holds the run gets a
        `ConflictError` when it next saves.
        """
        await self._load()
        assert self._version is not None
        if self._progress.running:
            self._progress.running = False
            self._version = await self._save(await self._state(), self._version)

    async def reset(self) -> None:
        """Deletes the team's conversation, stored and in memory, including its agents'."""
        if self._busy:
            raise RuntimeError("The team is running. It must be stopped before it can be reset.")
        await self._reset()

    async def _reset(self) -> None:
        await self._check_ours()
        saved = await self._store.claim(self._key)
        if saved is not None:
            # A process that finds this mark finishes the reset: agents' contexts may be stored
            # elsewhere.
            extra = {**saved.extra, "running": False, "reset": True}
            await self._store.save(
                self._key,
                with_thread(saved.state, []),
                extra=extra,
                if_version=saved.version,
                stored=len(thread_of(saved.state)),
            )
        await self._team.reset()
        if self._condition is not None:
            await self._condition.reset()
        await self._store.delete(self._key)
        self._version = None

    async def pause(self) -> None:
        """Pauses the agents of a running team, as AutoGen's teams do."""
        await self._while_running(self._team.pause())

    async def resume(self) -> None:
        """Resumes the agents of a paused team."""
        await self._while_running(self._team.resume())

    async def _while_running(self, call: Coroutine[Any, Any, None]) -> None:
        """Awaits a call until the run ends, because AutoGen's stopped teams would never answer."""
        if not self._busy:
            call.close()
            return
        task, ended = asyncio.ensure_future(call), asyncio.ensure_future(self._ended.wait())
        await asyncio.wait([task, ended], return_when=asyncio.FIRST_COMPLETED)
        for one in (ended, task):
            if not one.done():
                one.cancel()
        if not task.cancelled() and task.done():
            task.result()

    async def save_state(self) -> Mapping[str, Any]:
        """Returns the team's state and its run's position. Resuming does not need this call."""
        if self._version is None and not self._busy:
            await self._load()
        return {
            "type": "CheckpointedTeamState",
            "version": "1.0.0",
            "team": await dumped_state(self._team.save_state()),
            "run": self._extra(),
        }

    async def load_state(self, state: Mapping[str, Any]) -> None:
        """Restores a state of `save_state`, or one of the inner team itself, and saves it.

        Raises:
            ConfigurationError: It is no state, or of a team with other agents.
            ConflictError: Another process holds the team.
        """
        if self._busy:
            raise RuntimeError("The team cannot be loaded while it is running.")
        inner = check_mapping(check_mapping(state, "state").get("team", state), "state['team']")
        run = check_mapping(state.get("run", {"turns": [], "running": False}), "state['run']")
        if "agent_states" not in inner or not {"turns", "running"} <= run.keys():
            raise ConfigurationError(
                "this is not the state of a CheckpointedTeam or of an AutoGen team"
            )
        check_mapping(inner["agent_states"], "agent_states of the state")
        await self._check_ours()
        saved = await self._store.claim(self._key)
        await restore(self._team, inner)
        progress = self._progress = TeamProgress.of(inner, run)
        stored, version = ([], 0) if saved is None else (thread_of(saved.state), saved.version)
        progress.stored = len(stored) if progress.thread[: len(stored)] == stored else 0
        self._version = await self._save(await self._state(), version)

    async def _load(self) -> None:
        await self._check_ours()
        saved = await self._store.claim(self._key)
        if saved is not None and saved.extra.get("reset"):
            await self._reset()
            saved = None
        if saved is None:
            self._version, self._progress = 0, TeamProgress()
            return
        await restore(self._team, saved.state)
        self._version = saved.version
        self._progress = TeamProgress.of(saved.state, saved.extra)
        self._progress.stored = len(self._progress.thread)

    async def _check_ours(self) -> None:
        if not self._ours:
            await self._store.check_owner(self._team)
            self._ours = True

    def _extra(self) -> dict[str, Any]:
        return {"team": described(self._team), **self._progress.extra()}

    async def _begin(self, task: Sequence[BaseChatMessage], version: int) -> int:
        """Adds the task to the thread and to each agent, as AutoGen does at the start of a run.

        So the task is saved before the first turn, and every turn starts the same way.
        """
        if self._condition is not None:
            await self._condition.reset()
        present = await self._state()
        dumped = [dump(message) for message in task]
        agents = {name: dict(agent) for name, agent in present["agent_states"].items()}
        for agent in agents.values():
            field = "message_thread" if "message_thread" in agent else "message_buffer"
            agent[field] = [*agent[field], *dumped]
        state = {**present, "agent_states": agents}
        await restore(self._team, state, present, self._progress.thread)
        self._progress.begin(dumped)
        # Loading created new references to contexts that are stored on BotWire.
        return await self._save(await self._state(), version)

    async def _state(self) -> Mapping[str, Any]:
        """Takes what is new in the team's thread, and returns the team's state without a thread."""
        state = await state_after(self._team, len(self._progress.thread))
        self._progress.thread += thread_of(state)
        return with_thread(state, [])

    async def _save(self, state: Mapping[str, Any], version: int) -> int:
        progress = self._progress
        version = await self._store.save(
            self._key,
            with_thread(state, progress.thread[progress.stored :]),
            extra=self._extra(),
            if_version=version,
            stored=progress.stored,
        )
        progress.stored = len(progress.thread)
        return version

    async def _replay(self) -> str | None:
        """Replays to the condition, turn by turn, what it got before the process ended."""
        if self._condition is not None:
            await self._condition.reset()
        stop: str | None = None
        for turns in range(1, len(self._progress.turns) + 1):
            stop = await self._ask(turns)
            if stop is not None:
                break
        return stop

    async def _ask(self, turns: int) -> str | None:
        """Returns the reason to stop after the first `turns` turns, or None."""
        new = self._messages(self._progress.turn(turns - 1))
        if self._condition is not None and (new or turns > 1):
            message = await self._condition(new)
            if message is not None:
                return message.content
        if self._max_turns is not None and turns > self._max_turns:  # the first is the task
            return f"Maximum number of turns {self._max_turns} reached."
        return None

    def _messages(self, dumped: Sequence[dict[str, Any]]) -> list[BaseAgentEvent | BaseChatMessage]:
        return [load(message, self._factory) for message in dumped]

    def _to_config(self) -> CheckpointedTeamConfig:
        reference = self._store.connection.reference()
        condition = self._condition
        return CheckpointedTeamConfig(
            team=self._team.dump_component(),
            namespace=reference["namespace"],
            url=reference.get("url"),
            name=self._name,
            termination_condition=condition.dump_component() if condition else None,
            max_turns=self._max_turns,
        )

    @classmethod
    def _from_config(cls, config: CheckpointedTeamConfig) -> Self:
        condition = config.termination_condition
        return cls(
            Team.load_component(config.team),
            config.namespace,
            url=config.url,
            name=config.name,
            termination_condition=(
                TerminationCondition.load_component(condition) if condition else None
            ),
            max_turns=config.max_turns,
        )
