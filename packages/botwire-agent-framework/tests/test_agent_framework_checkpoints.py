"""A workflow resumes in another process with everything its executors keep."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import pickle
import signal
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Never

import pytest
from agent_framework import (
    Agent,
    CheckpointStorage,
    InMemoryCheckpointStorage,
    Message,
    RunContext,
    Workflow,
    WorkflowBuilder,
    WorkflowCheckpoint,
    WorkflowContext,
    WorkflowEvent,
    WorkflowExecutor,
    executor,
    step,
    workflow,
)
from agent_framework.exceptions import WorkflowCheckpointException
from agent_framework_orchestrations import (
    ConcurrentBuilder,
    GroupChatBuilder,
    HandoffBuilder,
    MagenticBuilder,
    MagenticContext,
    MagenticManagerBase,
    MagenticPlanReviewRequest,
    MagenticProgressLedger,
    MagenticProgressLedgerItem,
    SequentialBuilder,
)

from botwire import AsyncMemory, ConfigurationError, Memory, TransportError
from botwire_agent_framework import BotWireCheckpointStorage
from botwire_agent_framework.objects import Objects
from conftest import read_url, running
from tests.scripted_agent import ScriptedClient, call
from tests.scripted_workflow import TYPES, Answer, Loud, Mood, Order, Question, build
from tests.waiting import until
from tests.zygote import Zygote

NAME = "orders/ä"
DONE = "hello world: they differ True so"


def at(seconds: float, **fields: Any) -> WorkflowCheckpoint:
    """A checkpoint with a given time."""
    time = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    given = {"workflow_name": "w", "graph_signature_hash": "h", **fields}
    return WorkflowCheckpoint(timestamp=time.isoformat(), **given)


# --- the protocol ---------------------------------------------------------------------------------


async def answers(storage: CheckpointStorage) -> list[Any]:
    """Returns a storage's answers to the same calls."""
    said: list[Any] = [await storage.get_latest(workflow_name="w")]
    third, first, second = at(3), at(1), at(2.000001, state={"x": [1]})
    other = at(9, workflow_name="w/2", checkpoint_id="an/odd ä?id")
    saved = (third, first, second, other)
    said += [await storage.save(one) == one.checkpoint_id for one in saved]
    said += [asdict(await storage.load(one.checkpoint_id)) == asdict(one) for one in (first, other)]
    for name in ("w", "w/2", "w/", "", "none"):
        ids = await storage.list_checkpoint_ids(workflow_name=name)
        listed = await storage.list_checkpoints(workflow_name=name)
        latest = await storage.get_latest(workflow_name=name)
        order = {one.checkpoint_id: one.timestamp for one in (first, second, third, other)}
        assert sorted(ids) == sorted(one.checkpoint_id for one in listed)
        said.append(sorted(order[one] for one in ids))
        said.append(latest and latest.timestamp)
    # A copy is stored: later changes to the object are not, until it is saved again.
    second.state["x"].append(2)
    said.append((await storage.load(second.checkpoint_id)).state)
    await storage.save(second)
    await storage.save(second)
    said.append((await storage.load(second.checkpoint_id)).state)
    # Saved again for another workflow, with another time.
    second.workflow_name, second.timestamp = "moved", at(100).timestamp
    await storage.save(second)
    said.append(len(await storage.list_checkpoint_ids(workflow_name="w")))
    latest = await storage.get_latest(workflow_name="moved")
    said.append(latest and latest.state)
    said += [await storage.delete(one) for one in (third.checkpoint_id,) * 2]
    latest = await storage.get_latest(workflow_name="w")
    said.append(latest and latest.timestamp)
    for missing in (third.checkpoint_id, "never", "a/b"):
        with pytest.raises(WorkflowCheckpointException, match="No checkpoint found"):
            await storage.load(missing)
        said.append(await storage.delete(missing))
    said += [await storage.delete(one.checkpoint_id) for one in (first, second, other)]
    for name in ("w", "w/2", "moved"):
        said.append(await storage.list_checkpoint_ids(workflow_name=name))
    return said


async def test_it_answers_as_agent_frameworks_own_in_memory(any_url: str, namespace: str) -> None:
    storage = BotWireCheckpointStorage(namespace, url=any_url)
    assert await answers(storage) == await answers(InMemoryCheckpointStorage())
    assert Memory(namespace, url=any_url).list_keys() == []


async def test_a_storage_can_be_copied_and_pickled(place_url: str, namespace: str) -> None:
    storage = BotWireCheckpointStorage(namespace, url=place_url, types=TYPES)
    one = at(1, state={"order": Order("x", ("a",))})
    await storage.save(one)
    for again in (copy.copy(storage), copy.deepcopy(storage), pickle.loads(pickle.dumps(storage))):
        assert (await again.load(one.checkpoint_id)).state == one.state


async def test_ids_and_checkpoints_are_listed_by_time(any_url: str, namespace: str) -> None:
    storage = BotWireCheckpointStorage(namespace, url=any_url)
    for seconds in (30, -4000, 0, 29.5, 1):
        await storage.save(at(seconds, checkpoint_id=f"at {seconds}"))
    zone = "2026-01-01T02:00:02+02:00"  # two seconds after midnight
    await storage.save(WorkflowCheckpoint("w", "h", checkpoint_id="zone", timestamp=zone))
    naive = "2026-01-01T00:00:03"
    await storage.save(WorkflowCheckpoint("w", "h", checkpoint_id="naive", timestamp=naive))
    expected = ["at -4000", "at 0", "at 1", "zone", "naive", "at 29.5", "at 30"]
    assert await storage.list_checkpoint_ids(workflow_name="w") == expected
    listed = await storage.list_checkpoints(workflow_name="w")
    assert [one.checkpoint_id for one in listed] == expected
    with pytest.raises(WorkflowCheckpointException, match="ISO 8601"):
        await storage.save(WorkflowCheckpoint("w", "h", timestamp="yesterday"))


NAMES = ["w", "w/", "/w", "w%2F", "~w", "ä 🦊", "a" * 4000, "a" * 4001, "..", "*", "w*", "\ud800"]


async def test_a_workflow_sees_its_own_only(place_url: str, namespace: str) -> None:
    storage = BotWireCheckpointStorage(namespace, url=place_url)
    saved = {name: await storage.save(at(1, workflow_name=name)) for name in NAMES}
    for name, checkpoint_id in saved.items():
        assert await storage.list_checkpoint_ids(workflow_name=name) == [checkpoint_id]
        latest = await storage.get_latest(workflow_name=name)
        assert latest is not None
        assert (latest.workflow_name, latest.checkpoint_id) == (name, checkpoint_id)
    for other in (
        BotWireCheckpointStorage(f"{namespace}-2", url=place_url),
        BotWireCheckpointStorage(namespace, url=place_url, prefix="other"),
    ):
        assert await other.get_latest(workflow_name="w") is None
        with pytest.raises(WorkflowCheckpointException):
            await other.load(saved["w"])


async def test_a_thousand_checkpoints_and_the_latest_reads_one(namespace: str) -> None:
    url = "sqlite:///:memory:"
    storage = BotWireCheckpointStorage(namespace, client=AsyncMemory(namespace, url=url))
    ids = [await storage.save(at(i, state={"i": i})) for i in range(1100)]
    assert await storage.list_checkpoint_ids(workflow_name="w") == ids
    listed = await storage.list_checkpoints(workflow_name="w")
    assert [one.state["i"] for one in listed] == list(range(1100))
    latest = await storage.get_latest(workflow_name="w")
    assert latest is not None
    assert latest.checkpoint_id == ids[-1]


async def test_wrong_arguments_are_refused_and_secrets_not_shown(namespace: str) -> None:
    for wrong in ({"ttl": 0}, {"ttl": "1"}, {"prefix": 5}, {"types": [1]}):
        with pytest.raises(ConfigurationError):
            BotWireCheckpointStorage(namespace, **wrong)  # type: ignore[arg-type]
    storage = BotWireCheckpointStorage(namespace, url="http://127.0.0.1:1", api_key="bw_secret")
    assert "bw_secret" not in repr(storage)
    with pytest.raises(ConfigurationError, match="1024"):
        await storage.save(at(1, checkpoint_id="a" * 2000))
    with pytest.raises(ConfigurationError, match="checkpoint must be a WorkflowCheckpoint"):
        await storage.save(None)  # type: ignore[arg-type]


async def test_what_has_expired_is_gone(place_url: str, namespace: str) -> None:
    short = BotWireCheckpointStorage(namespace, url=place_url, ttl=0.05)
    saved = await short.save(at(1))
    await BotWireCheckpointStorage(namespace, url=place_url).save(at(0, checkpoint_id="kept"))
    memory = AsyncMemory(namespace, url=place_url)

    async def gone() -> bool:
        return not await memory.exists(f"workflow-ids/{saved}")

    await until(gone)
    await memory.aclose()
    assert await short.list_checkpoint_ids(workflow_name="w") == ["kept"]
    with pytest.raises(WorkflowCheckpointException, match="No checkpoint found"):
        await short.load(saved)


async def test_a_large_state_is_kept_whole_and_packed(server_url: str, namespace: str) -> None:
    said = [Message("user", [f"{i} " + "as was said before " * 200]) for i in range(2_000)]
    storage = BotWireCheckpointStorage(namespace, url=server_url)
    large = at(1, state={"_executor_state": {"a": {"cache": said}}, "b": said})
    assert len(str(Objects().to_data(large))) > 16 * 1024**2  # a server takes no such request
    saved = await storage.save(large)
    latest = await storage.get_latest(workflow_name="w")
    listed = await storage.list_checkpoints(workflow_name="w")
    for found in (await storage.load(saved), latest, *listed):
        assert found is not None
        assert [one.text for one in found.state["b"]] == [one.text for one in said]
    (key,) = Memory(namespace, url=server_url).list_keys("workflow/")
    assert len(Memory(namespace, url=server_url).get(key)) < 2_000_000


async def test_a_server_that_is_down_is_no_missing_checkpoint(unused_tcp_port: int) -> None:
    client = AsyncMemory("n", url=f"http://127.0.0.1:{unused_tcp_port}", timeout=0.3)
    storage = BotWireCheckpointStorage(client=client)
    for answer in (
        storage.save(at(1)),
        storage.load("x"),
        storage.delete("x"),
        storage.get_latest(workflow_name="w"),
        storage.list_checkpoints(workflow_name="w"),
        storage.list_checkpoint_ids(workflow_name="w"),
    ):
        with pytest.raises(TransportError, match=str(unused_tcp_port)):
            await answer


def test_eight_processes_save_and_nothing_is_lost(
    zygote: Zygote, any_url: str, namespace: str
) -> None:
    code = """
import asyncio, os, sys
from agent_framework import WorkflowCheckpoint
from botwire_agent_framework import BotWireCheckpointStorage

async def main(me):
    storage = BotWireCheckpointStorage(sys.argv[2], url=sys.argv[1])
    for i in range(5):
        await storage.save(WorkflowCheckpoint("w", "h", checkpoint_id=f"{me}-{i}"))
        # One that all of them save, each with another time and another workflow.
        await storage.save(WorkflowCheckpoint(f"of {me}", "h", checkpoint_id="shared"))

children = []
for me in range(8):
    if (child := os.fork()) == 0:
        try:
            asyncio.run(main(me))
            os._exit(0)
        finally:
            os._exit(1)
    children.append(child)
assert all([os.waitpid(child, 0)[1] == 0 for child in children])
"""
    assert zygote.run(code, any_url, namespace) == 0

    async def found() -> tuple[list[str], list[str]]:
        storage = BotWireCheckpointStorage(namespace, url=any_url)
        shared = [
            one
            for me in range(8)
            for one in await storage.list_checkpoint_ids(workflow_name=f"of {me}")
        ]
        return await storage.list_checkpoint_ids(workflow_name="w"), shared

    ids, shared = asyncio.run(found())
    assert sorted(ids) == sorted(f"{me}-{i}" for me in range(8) for i in range(5))
    assert shared == ["shared"]


# --- workflows ------------------------------------------------------------------------------------


async def test_a_workflow_goes_on_from_each_of_its_checkpoints(
    any_url: str, namespace: str
) -> None:
    storage = BotWireCheckpointStorage(namespace, url=any_url, types=TYPES)
    await build(storage).run("hello world")
    saved = await storage.list_checkpoints(workflow_name=NAME)
    assert len(saved) == 6
    for one in saved:
        again = BotWireCheckpointStorage(namespace, url=any_url, types=TYPES)
        result = await build(again).run(checkpoint_id=one.checkpoint_id)
        (event,) = result.get_request_info_events()
        assert event.data == Question(
            text="they differ", moods={"left": Mood.CALM, "right": Mood.LOUD}
        )
        assert event.response_type is Answer
        output = await build(again).run(
            responses={event.request_id: Answer(yes=True, why="so")},
            checkpoint_id=(await again.list_checkpoint_ids(workflow_name=NAME))[-1],
        )
        assert output.get_outputs() == [DONE]


RUN = """
import asyncio, os, signal, sys
from botwire_agent_framework import BotWireCheckpointStorage
from tests.scripted_workflow import TYPES, Answer, build

url, namespace, dies = sys.argv[1:]

def hook(name):
    if name == dies:
        os.kill(os.getpid(), signal.SIGKILL)

async def main():
    storage = BotWireCheckpointStorage(namespace, url=url, types=TYPES)
    latest = await storage.get_latest(workflow_name="orders/ä")
    workflow = build(storage, hook)
    if latest is None:
        await workflow.run("hello world")
    elif not latest.pending_request_info_events:
        await workflow.run(checkpoint_id=latest.checkpoint_id)
    else:
        (asked,) = latest.pending_request_info_events
        answer = {asked: Answer(yes=True, why="so")}
        await workflow.run(checkpoint_id=latest.checkpoint_id, responses=answer)
    hook("at the end")

asyncio.run(main())
"""


def test_a_workflow_that_is_killed_in_every_step_ends_as_one_that_is_not(
    zygote: Zygote, any_url: str, namespace: str
) -> None:
    # Each runs in its own process and continues from the previous one. After `decide`, one process
    # asks a human, who answers in another.
    for dies in ("start", "right", "gather", "decide", "at the end", "answered"):
        assert zygote.run(RUN, any_url, namespace, dies) == -signal.SIGKILL, dies

    async def end() -> list[Any]:
        storage = BotWireCheckpointStorage(namespace, url=any_url, types=TYPES)
        latest = await storage.get_latest(workflow_name=NAME)
        assert latest is not None
        # The human's answer was stored: no one is asked twice.
        assert not latest.pending_request_info_events
        assert latest.state["order"] == {"at": (1, 2), "text": "hello world", 7: {"hello world"}}
        seen = latest.state["_executor_state"]["left"]["seen"]
        assert (list(seen), seen.maxlen) == ([Order("hello world", ("new", "ä"))], 3)
        return (await build(storage).run(checkpoint_id=latest.checkpoint_id)).get_outputs()

    assert asyncio.run(end()) == [DONE]


async def test_a_server_that_goes_away_in_the_middle_costs_only_its_checkpoints(
    tmp_path: Path, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    database = tmp_path / "memory.db"
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(running(database))
        url = read_url(server)

        def hook(name: str) -> None:
            nonlocal server
            if name == "gather":
                server.kill()
                server.wait()
            elif name == "decide":
                server = stack.enter_context(running(database, "--port", url.rsplit(":", 1)[1]))
                assert read_url(server) == url

        client = AsyncMemory(namespace, url=url, timeout=1)
        storage = BotWireCheckpointStorage(client=client, types=TYPES)
        (event,) = (await build(storage, hook).run("hello world")).get_request_info_events()
        saved = await storage.list_checkpoints(workflow_name=NAME)
        # Agent Framework continues and logs it; the next checkpoint follows the last existing one.
        assert caplog.text.count("Failed to create checkpoint") == 6 - len(saved) > 0
        assert [one.previous_checkpoint_id for one in saved] == [
            None, *(one.checkpoint_id for one in saved[:-1])
        ]  # fmt: skip
        result = await build(storage).run(
            checkpoint_id=saved[-1].checkpoint_id,
            responses={event.request_id: Answer(yes=True, why="so")},
        )
        assert result.get_outputs() == [DONE]
        server.terminate()


async def test_a_class_that_was_not_given_is_said_and_the_run_goes_on(
    tmp_path: Any, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    # Agent Framework continues without a checkpoint that cannot be stored, and logs it.
    storage = BotWireCheckpointStorage(namespace, url=f"sqlite:///{tmp_path / 'm.db'}")
    result = await build(storage).run("hello world")
    assert len(result.get_request_info_events()) == 1
    assert "types=[Order]" in caplog.text
    assert len(await storage.list_checkpoint_ids(workflow_name=NAME)) == 1


def agents(*names: str, says: Sequence[Any] = ()) -> list[Agent]:
    clients = [ScriptedClient(*(says or [f"{name} spoke"] * 9)) for name in names]
    return [Agent(client=c, name=n, id=n) for c, n in zip(clients, names, strict=True)]


def sequential(storage: Any) -> Workflow:
    return SequentialBuilder(participants=agents("a", "b"), checkpoint_storage=storage).build()


def concurrent(storage: Any) -> Workflow:
    return ConcurrentBuilder(participants=agents("a", "b"), checkpoint_storage=storage).build()


def group(storage: Any) -> Workflow:
    def select(state: Any) -> str:
        return "ab"[state.current_round % 2]

    return GroupChatBuilder(
        participants=agents("a", "b"),
        selection_func=select,
        max_rounds=3,
        checkpoint_storage=storage,
    ).build()


def asking(storage: Any) -> Workflow:
    participants = agents("a", "b")
    builder = SequentialBuilder(participants=participants, checkpoint_storage=storage)
    return builder.with_request_info(agents=["a"]).build()


def handoff(storage: Any) -> Workflow:
    (one,) = agents("a", says=[call("handoff_to_b")])
    (two,) = agents("b")
    one.require_per_service_call_history_persistence = True
    two.require_per_service_call_history_persistence = True
    builder = HandoffBuilder(name="h", participants=[one, two], checkpoint_storage=storage)
    return builder.with_start_agent(one).build()


def nested(storage: Any) -> Workflow:
    @executor(id="double")
    async def double(text: str, ctx: WorkflowContext[Never, str]) -> None:
        await ctx.yield_output(text * 2)

    @executor(id="outer")
    async def outer(text: str, ctx: WorkflowContext[str]) -> None:
        await ctx.send_message(text)

    @executor(id="last")
    async def last(text: str, ctx: WorkflowContext[Never, str]) -> None:
        await ctx.yield_output(f"<{text}>")

    loud = Loud()
    inner = (
        WorkflowBuilder(start_executor=loud, name="inner", output_from=[double])
        .add_edge(loud, double)
        .build()
    )
    sub = WorkflowExecutor(inner, id="sub")
    return (
        WorkflowBuilder(
            start_executor=outer, name="outer", checkpoint_storage=storage, output_from=[last]
        )
        .add_edge(outer, sub)
        .add_edge(sub, last)
        .build()
    )


class Manager(MagenticManagerBase):
    """Has a plan, and finishes once somebody has spoken."""

    async def plan(self, context: MagenticContext) -> Message:
        return Message("assistant", ["ask a"], author_name="manager")

    async def replan(self, context: MagenticContext) -> Message:
        return await self.plan(context)

    async def create_progress_ledger(self, context: MagenticContext) -> MagenticProgressLedger:
        spoke = any(one.text == "a spoke" for one in context.chat_history)
        item = MagenticProgressLedgerItem
        return MagenticProgressLedger(
            is_request_satisfied=item("so", spoke),
            is_in_loop=item("no", False),
            is_progress_being_made=item("yes", True),
            next_speaker=item("as planned", "a"),
            instruction_or_question=item("as planned", "speak"),
        )

    async def prepare_final_answer(self, context: MagenticContext) -> Message:
        return Message("assistant", [f"{len(context.chat_history)} messages"])


def magentic(storage: Any) -> Workflow:
    return MagenticBuilder(
        participants=agents("a"),
        manager=Manager(),
        enable_plan_review=True,
        checkpoint_storage=storage,
    ).build()


async def test_a_plan_is_reviewed_in_another_process(any_url: str, namespace: str) -> None:
    ours, stock = BotWireCheckpointStorage(namespace, url=any_url), InMemoryCheckpointStorage()
    ended = []
    for storage in (stock, ours):
        flow = magentic(storage)
        (event,) = (await flow.run("say something")).get_request_info_events()
        assert isinstance(event.data, MagenticPlanReviewRequest)
        latest = await storage.get_latest(workflow_name=flow.name)
        assert latest is not None
        result = await magentic(storage).run(
            checkpoint_id=latest.checkpoint_id, responses={event.request_id: event.data.approve()}
        )
        ended.append(said(result))
        for one in await storage.list_checkpoints(workflow_name=flow.name):
            ended[-1] += (said(await magentic(storage).run(checkpoint_id=one.checkpoint_id)),)
    assert ended[0] == ended[1]
    assert "messages" in str(ended[1])
    assert len(ended[1]) > 5


def said(result: Any) -> Any:
    """Returns the outputs of a run, without generated ids and times."""
    outputs = [
        getattr(one, "text", one) if not isinstance(one, list) else [m.text for m in one]
        for one in result.get_outputs()
    ]
    asked = [event.source_executor_id for event in result.get_request_info_events()]
    return str(result.get_final_state()), [str(one) for one in outputs], asked


@pytest.mark.parametrize(
    "make", [sequential, concurrent, group, asking, handoff, nested], ids=lambda make: make.__name__
)
async def test_what_others_write_goes_on_from_each_checkpoint(
    tmp_path: Any, namespace: str, make: Any
) -> None:
    storage = BotWireCheckpointStorage(namespace, url=f"sqlite:///{tmp_path / 'm.db'}")
    flow = make(storage)
    expected = said(await flow.run("hello"))
    checkpoints = await storage.list_checkpoints(workflow_name=flow.name)
    assert len(checkpoints) >= 3
    stock = InMemoryCheckpointStorage()
    for one in checkpoints:
        await stock.save(one)
        ended = said(await make(storage).run(checkpoint_id=one.checkpoint_id))
        # Some outputs preceded the checkpoint: the stock storage's behavior is the reference.
        assert ended == said(await make(stock).run(checkpoint_id=one.checkpoint_id))
        assert ended[0] == expected[0]
        assert ended[2] == expected[2]


calls: list[str] = []


@step
async def fetch(city: str) -> dict[str, Any]:
    """Takes long."""
    calls.append(city)
    return {"city": city, "at": (1, 2)}


@workflow
async def report(city: str, ctx: RunContext) -> str:
    """Asks before it reports."""
    found = await fetch(city)
    fine = await ctx.request_info(Question(text=found["city"], moods={}), Answer)
    return f"{found['at']} {fine.yes}"


async def test_a_functional_workflow_goes_on_and_no_step_is_done_twice(
    place_url: str, namespace: str
) -> None:
    calls.clear()
    storage = BotWireCheckpointStorage(namespace, url=place_url, types=TYPES)
    asked = await report.build(checkpoint_storage=storage).run("Oslo")
    (event,) = asked.get_request_info_events()
    assert isinstance(event, WorkflowEvent)
    latest = await storage.get_latest(workflow_name="report")
    assert latest is not None
    result = await report.build(checkpoint_storage=storage).run(
        checkpoint_id=latest.checkpoint_id, responses={event.request_id: Answer(yes=True)}
    )
    assert result.get_outputs() == ["(1, 2) True"]
    assert calls == ["Oslo"]
