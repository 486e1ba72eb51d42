"""A workflow that waits for a person: asked in one process, answered in the next."""

import asyncio
import sys
from dataclasses import dataclass
from typing import Never

from agent_framework import (
    Executor,
    Workflow,
    WorkflowBuilder,
    WorkflowContext,
    handler,
    response_handler,
)

from botwire_agent_framework import BotWireCheckpointStorage


@dataclass
class Request:
    """A task to be approved."""

    task: str


class Ask(Executor):
    """Asks a person before anything is done."""

    @handler
    async def ask(self, task: str, ctx: WorkflowContext[Never, str]) -> None:
        """Asks for approval of a task."""
        await ctx.request_info(Request(task), bool)

    @response_handler
    async def answered(
        self, request: Request, answer: bool, ctx: WorkflowContext[Never, str]
    ) -> None:
        """Does the task, or not, as the person decided."""
        await ctx.yield_output(f"{'Done' if answer else 'Left'}: {request.task}")


# Objects of your own classes are restored if the classes are named here.
storage = BotWireCheckpointStorage("agent-framework-approval", types=[Request])


def workflow() -> Workflow:
    """Returns the workflow, with the same name and steps in every process."""
    return WorkflowBuilder(
        name="approval", start_executor=Ask("ask"), checkpoint_storage=storage, output_from="all"
    ).build()


async def main() -> None:
    """Takes each line as a task, or as the answer to the pending request."""
    for line in sys.stdin:
        said = line.strip()
        latest = await storage.get_latest(workflow_name="approval")
        if latest is not None and latest.pending_request_info_events:
            (waiting,) = latest.pending_request_info_events
            result = await workflow().run(
                checkpoint_id=latest.checkpoint_id, responses={waiting: said == "yes"}
            )
            print(*result.get_outputs(), flush=True)
        else:
            result = await workflow().run(said)
            (event,) = result.get_request_info_events()
            print(f"Shall I: {event.data.task}?", flush=True)


asyncio.run(main())
