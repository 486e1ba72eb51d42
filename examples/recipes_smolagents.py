"""smolagents: an agent's steps on BotWire, stored by a step callback and given to the next process.

A step is stored when it has ended, so a process that is killed inside a tool leaves no call without
what it returned. Images are left out.
"""

from __future__ import annotations

import sys
from typing import Any

from smolagents import ActionStep, AgentLogger, LogLevel, TaskStep, ToolCall, ToolCallingAgent
from smolagents.memory import MemoryStep
from smolagents.monitoring import Timing
from smolagents.utils import AgentError

from botwire import History, Memory
from scripted.smolagents import ScriptedModel


class StoredSteps:
    """The steps of an agent: ``ToolCallingAgent(…, step_callbacks=[StoredSteps(history)])``.

    Args:
        history: Where they are stored.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._stored = 0

    def load(self, agent: Any) -> None:
        """Gives an agent the steps that are stored; then run it with ``reset=False``."""
        steps = [_from_value(item.value, agent.logger) for item in self._history.read()]
        agent.memory.steps = steps
        self._stored = len(steps)

    def __call__(self, step: MemoryStep, agent: Any) -> None:
        """Stores a step that has ended, together with the task that began the run."""
        new = [*agent.memory.steps[self._stored :], step]
        values = [_to_value(one) for one in new if isinstance(one, (TaskStep, ActionStep))]
        self._history.extend(values)
        self._stored += len(new)


def _to_value(step: TaskStep | ActionStep) -> dict[str, Any]:
    if isinstance(step, TaskStep):
        return {"task": step.task}
    kept = ("step_number", "timing", "tool_calls", "error", "model_output", "observations")
    value = step.dict()
    return {name: value[name] for name in (*kept, "action_output", "is_final_answer")}


def _from_value(value: dict[str, Any], logger: AgentLogger) -> TaskStep | ActionStep:
    if "task" in value:
        return TaskStep(value["task"])
    times, error = value["timing"], value["error"]
    calls = [ToolCall(id=call["id"], **call["function"]) for call in value["tool_calls"]]
    return ActionStep(
        **{
            **value,
            "timing": Timing(times["start_time"], times["end_time"]),
            "tool_calls": calls or None,
            "error": None if error is None else AgentError(error["message"], logger),
        }
    )


def main() -> None:
    """Answers each line of standard input, and remembers it."""
    steps = StoredSteps(Memory("smolagents-agent").history("user-42"))
    agent = ToolCallingAgent(
        tools=[],
        model=ScriptedModel(),  # your own model goes here
        step_callbacks=[steps],
        verbosity_level=LogLevel.OFF,
    )
    steps.load(agent)
    for line in sys.stdin:
        print(agent.run(line.strip(), reset=False), flush=True)


if __name__ == "__main__":
    main()
