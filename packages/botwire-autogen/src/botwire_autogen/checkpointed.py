"""A team that is saved after each turn and goes on where its process was killed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any

from autogen_agentchat.base import TaskResult, TaskRunner, Team, TerminationCondition
from autogen_agentchat.messages import (
    BaseAgentEvent,
    BaseChatMessage,
    MessageFactory,
    TextMessage,
)
from autogen_agentchat.teams import MagenticOneGroupChat
from autogen_core import CancellationToken

import botwire
from botwire import AsyncMemory, ConfigurationError
from botwire_autogen.teams import BotWireStateStore, manager_state, restore

_TURN_ENDED = "Maximum number of turns 1 reached."  # the manager's reason to stop after one turn


class CheckpointedTeam(TaskRunner):
    """Runs a team turn by turn and saves it after each, when its state is whole.

    AutoGen's state of a running team is torn: a message may be in one agent and not yet in
    another. So the team is made with ``max_turns=1`` and without a termination condition, and this
    class calls it again and again. The task is saved before the first turn; a turn in which the
    process was killed is run again, the others are not.

    A new process makes the same team and calls `run` with the same task, or with none: an
    unfinished run goes on. Another process that still had it gets a `ConflictError`, so no two go
    on. After an error, the same object goes on as a new process would.

    RoundRobinGroupChat, SelectorGroupChat, Swarm and GraphFlow can be resumed. MagenticOne cannot:
    its plan is made anew with every run. What an agent of your own keeps in itself must be in its
    ``save_state``. `TimeoutTermination` counts from the resume.

    Args:
        team: Made with ``max_turns=1`` and without ``termination_condition``.
        namespace: Whose team.
        name: The team's name in the store.
        termination_condition: When a run ends; it is given all new messages of each turn.
        max_turns: How many turns a run has at most.
        custom_message_types: The same as the team was given.
        client: A `Memory` or `AsyncMemory` of BotWire to use.
        url: Where memory lives, as for BotWire's `Memory`.
        api_key: For a server.

    Raises:
        ConfigurationError: An argument is not valid, or the team cannot be resumed.
    """

    def __init__(
        self,
        team: Team,
        namespace: str,
        *,
        name: str = "team",
        termination_condition: TerminationCondition | None = None,
        max_turns: int | None = None,
        custom_message_types: Sequence[type[BaseAgentEvent | BaseChatMessage]] = (),
        client: botwire.Memory | AsyncMemory | None = None,
        url: str | None = None,
        api_key: str | None = None,
    ) -> None:
        if isinstance(team, MagenticOneGroupChat):
            raise ConfigurationError("MagenticOne plans anew with every run: it cannot be resumed")
        # AutoGen has no public way to ask; a component's dump fails for functions and own agents.
        if getattr(team, "_max_turns", 1) != 1 or getattr(team, "_termination_condition", None):
            raise ConfigurationError(
                "make the team with max_turns=1 and without termination_condition, and give both "
                "to CheckpointedTeam"
            )
        if max_turns is not None and max_turns < 1:
            raise ConfigurationError(f"max_turns is at least 1, not {max_turns}")
        self._team = team
        self._name = name
        self._condition = termination_condition
        self._max_turns = max_turns
        self._factory = MessageFactory()
        for message_type in custom_message_types:
            self._factory.register(message_type)
        self._store = BotWireStateStore(namespace, client=client, url=url, api_key=api_key)
        self._version: int | None = None  # None: not loaded, or the team was left within a turn
        self._turns: list[int] = []  # where the turns of the run begin in the thread
        self._running = False  # whether a run is unfinished
        self._thread: list[dict[str, Any]] = []

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._store.connection.namespace!r}, name={self._name!r})"

    async def pending(self) -> bool:
        """Says whether a run was saved that has not ended."""
        extra = await self._store.load_extra(self._name)
        return extra is not None and bool(extra["running"])

    async def thread(self) -> list[BaseAgentEvent | BaseChatMessage]:
        """Returns the messages of the team as they are saved."""
        saved = await self._store.load(self._name)
        return [] if saved is None else self._messages(_thread(saved.state))

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
        """Yields the messages of each turn and last the result, as a team of AutoGen does.

        Args:
            task: What to do. If a run of this task is unfinished, it goes on.
            cancellation_token: Ends the turn; the run can be resumed.
            output_task_messages: Whether the task is among the messages.

        Raises:
            ConflictError: Another process has the team now.
            ConfigurationError: A run of another task is unfinished.
        """
        given = _task(task)
        if self._version is None:
            await self._load()
        version, self._version = self._version, None  # until a turn is whole, it is loaded anew
        assert version is not None
        if self._running and given and not _same(given, self._thread[self._turns[0] :]):
            raise ConfigurationError(
                f"{self!r} has an unfinished run of another task: run it to its end without a "
                "task, or abandon it"
            )
        stop: str | None
        if self._running:
            stop = await self._replay()
        else:
            version = await self._begin(given, version)
            if output_task_messages:
                for message in given:
                    yield message
            stop = await self._ask(self._turns[0])
        task_length = (self._turns[1] if len(self._turns) > 1 else len(self._thread)) - (
            self._turns[0]
        )
        while stop is None:
            reason: str | None = None
            begin = len(self._thread)
            try:
                async for event in self._team.run_stream(cancellation_token=cancellation_token):
                    if isinstance(event, TaskResult):
                        reason = event.stop_reason
                    else:
                        yield event
            except RuntimeError:  # AutoGen's, of whatever an agent raised
                # Who took the team over has moved the agents' contexts away too: say that.
                await self._store.check(self._name, version)
                raise
            state = await self._team.save_state()
            self._thread = _thread(state)
            self._turns.append(begin)
            stop = reason if reason != _TURN_ENDED else await self._ask(begin)
            self._running = stop is None
            version = await self._save(state, version)
        if self._running:  # the task itself, or a turn that was replayed, ended it
            self._running = False
            version = await self._save(await self._team.save_state(), version)
        if self._condition is not None:
            await self._condition.reset()
        self._version = version
        first = self._turns[0] + (0 if output_task_messages else task_length)
        yield TaskResult(messages=self._messages(self._thread[first:]), stop_reason=stop)

    async def abandon(self) -> None:
        """Ends an unfinished run where it was last saved, so that another task may be given.

        What was said stays in the conversation. Another process that still has the run gets a
        `ConflictError` from its next save.
        """
        await self._load()
        assert self._version is not None
        if self._running:
            self._running = False
            self._version = await self._save(await self._team.save_state(), self._version)

    async def reset(self) -> None:
        """Forgets the team's conversation, stored and here, that of its agents too."""
        saved = await self._store.claim(self._name)
        if saved is not None:
            # Whoever finds this goes on with it: the contexts of agents may be stored elsewhere.
            extra = {**saved.extra, "running": False, "reset": True}
            await self._store.save(self._name, saved.state, extra=extra, if_version=saved.version)
        await self._team.reset()
        if self._condition is not None:
            await self._condition.reset()
        await self._store.delete(self._name)
        self._version = None

    async def _load(self) -> None:
        saved = await self._store.claim(self._name)
        if saved is not None and saved.extra.get("reset"):
            await self.reset()
            saved = None
        if saved is None:
            self._version, self._thread, self._turns, self._running = 0, [], [], False
            return
        await restore(self._team, saved.state)
        self._version = saved.version
        self._thread = _thread(saved.state)
        self._turns = list(saved.extra["turns"])
        self._running = bool(saved.extra["running"])

    async def _begin(self, task: Sequence[BaseChatMessage], version: int) -> int:
        """Puts the task where AutoGen's start would, into the thread and to each agent.

        So it is saved before the first turn, and every turn is started alike.
        """
        if self._condition is not None:
            await self._condition.reset()
        state = await self._team.save_state()
        dumped = [dict(message.dump()) for message in task]
        agents = {name: dict(agent) for name, agent in state["agent_states"].items()}
        for agent in agents.values():
            field = "message_thread" if "message_thread" in agent else "message_buffer"
            agent[field] = [*agent[field], *dumped]
        state = {**state, "agent_states": agents}
        await restore(self._team, state)
        self._thread = _thread(state)
        self._turns = [len(self._thread) - len(dumped)]
        self._running = True
        # Loading made new references to contexts that are kept on BotWire.
        return await self._save(await self._team.save_state(), version)

    async def _save(self, state: Any, version: int) -> int:
        extra = {"turns": self._turns, "running": self._running}
        return await self._store.save(self._name, state, extra=extra, if_version=version)

    async def _replay(self) -> str | None:
        """Tells the condition, turn by turn, what it was told before the process ended."""
        if self._condition is not None:
            await self._condition.reset()
        stop: str | None = None
        for index, begin in enumerate(self._turns):
            stop = await self._ask(begin, index + 1)
            if stop is not None:
                break
        return stop

    async def _ask(self, begin: int, turns: int | None = None) -> str | None:
        """Returns why to stop after the turn that began there, or None."""
        count = len(self._turns) if turns is None else turns
        end = self._turns[count] if count < len(self._turns) else len(self._thread)
        new = self._messages(self._thread[begin:end])
        if self._condition is not None and (new or count > 1):
            message = await self._condition(new)
            if message is not None:
                return message.content
        if self._max_turns is not None and count > self._max_turns:  # the first is the task
            return f"Maximum number of turns {self._max_turns} reached."
        return None

    def _messages(self, dumped: Sequence[dict[str, Any]]) -> list[BaseAgentEvent | BaseChatMessage]:
        return [self._factory.create(message) for message in dumped]


def _thread(state: Any) -> list[dict[str, Any]]:
    return list(manager_state(state["agent_states"])["message_thread"])


def _task(
    task: str | BaseChatMessage | Sequence[BaseChatMessage] | None,
) -> list[BaseChatMessage]:
    if task is None:
        return []
    if isinstance(task, str):
        return [TextMessage(content=task, source="user")]
    return [task] if isinstance(task, BaseChatMessage) else list(task)


def _same(task: Sequence[BaseChatMessage], thread: Sequence[dict[str, Any]]) -> bool:
    """Says whether a thread begins with a task, whose ids and times are new with each call."""
    told = [message.dump() for message in task]
    return len(told) <= len(thread) and all(
        {**one, "id": None, "created_at": None} == {**two, "id": None, "created_at": None}
        for one, two in zip(told, thread, strict=False)
    )
