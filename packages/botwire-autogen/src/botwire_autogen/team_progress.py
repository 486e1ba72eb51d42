"""What a `CheckpointedTeam` saves besides its agents: the team's messages, and its run's turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from autogen_agentchat.messages import (
    BaseAgentEvent,
    BaseChatMessage,
    ModelClientStreamingChunkEvent,
)

from botwire.tagged import from_json, to_json
from botwire_autogen.dumps import dump
from botwire_autogen.team_states import thread_of


@dataclass
class TeamProgress:
    """The messages of a team, and the turns of its last run.

    Attributes:
        thread: All messages, dumped.
        turns: Where each turn begins in the thread. The task counts as the first turn.
        running: Whether the run is unfinished.
        events: What agents reported besides messages, such as the choice of the next speaker, each
            with its position in the thread.
        stored: How many messages of the thread are stored.
    """

    thread: list[dict[str, Any]] = field(default_factory=list)
    turns: list[int] = field(default_factory=list)
    running: bool = False
    events: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    stored: int = 0

    @classmethod
    def of(cls, state: Any, extra: Mapping[str, Any]) -> Self:
        """Returns the progress in a team's state and in what `extra` returned."""
        events = [(at, event) for at, event in from_json(extra.get("events", []))]
        return cls(thread_of(state), list(extra["turns"]), bool(extra["running"]), events)

    def extra(self) -> dict[str, Any]:
        """Returns the turns, whether the run is unfinished, and the events, as JSON."""
        return {
            "turns": self.turns,
            "running": self.running,
            "events": to_json([list(event) for event in self.events], "events"),
        }

    def begin(self, task: Sequence[dict[str, Any]]) -> None:
        """Begins a run with the messages of its task."""
        self.turns = [len(self.thread)]
        self.thread += task
        self.running = True
        self.events = []

    def end_turn(self, begin: int, said: Sequence[BaseAgentEvent | BaseChatMessage]) -> None:
        """Notes a turn whose messages are in the thread.

        Args:
            begin: Where it begins in the thread.
            said: What the team yielded in it, messages and events.
        """
        self.turns.append(begin)
        known = {message["id"] for message in self.thread[begin:]}
        position = begin
        for message in said:
            if message.id in known:
                position += 1
            elif not isinstance(message, ModelClientStreamingChunkEvent):
                self.events.append((position, dump(message)))

    def turn(self, number: int) -> list[dict[str, Any]]:
        """Returns the messages of a turn; the task is number 0."""
        end = self.turns[number + 1] if number + 1 < len(self.turns) else len(self.thread)
        return self.thread[self.turns[number] : end]

    def with_events(self, first: int) -> list[dict[str, Any]]:
        """Returns messages and events from a position in the thread on, in their order."""
        messages: list[dict[str, Any]] = []
        events = [(at, event) for at, event in self.events if at >= first]
        for index, message in enumerate(self.thread[first:], first):
            messages += [event for at, event in events if at == index]
            messages.append(message)
        return messages + [event for at, event in events if at >= len(self.thread)]
