"""Retention: applying does what the plan says, calls keep their answers, holds protect all."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from botwire import (
    AsyncMemory,
    ConfigurationError,
    ConflictError,
    Memory,
    NotFoundError,
    PermissionDeniedError,
    Record,
    transfer,
)
from botwire import operations as ops
from botwire.cli import main
from botwire.engines.sqlite import MEMORY, SQLiteEngine
from botwire.exact import Json
from botwire.messages import Message, ToolCall
from botwire.names import SYSTEM_NAMESPACE
from botwire.operations.terms import AUDIT_LOG
from botwire.retention import AsyncRetention, Policy, Retention
from botwire.tool_calls import CallIds, match_calls
from tests.clients import Awaited
from tests.pages import run_page
from tests.stores import HOUR, TimedStore

pytestmark = pytest.mark.anyio


def retention_of(memory: Any) -> Any:
    """Returns the retention of a client's store, of the client's flavor."""
    if isinstance(memory, AsyncMemory):
        return AsyncRetention(engine=memory.engine)
    return Awaited(Retention(engine=memory.engine))


def says(text: str) -> dict[str, Any]:
    return Message("user", text).to_item()


def calls(*ids: str) -> dict[str, Any]:
    made = tuple(ToolCall(id, "weather", {"city": "Oslo"}) for id in ids)
    return Message("assistant", "", tool_calls=made).to_item()


def answers(id: str) -> dict[str, Any]:
    return Message("tool", "12 degrees", tool_call_id=id).to_item()


def conversation(turns: int) -> list[dict[str, Any]]:
    """Returns turns of four messages: a question, a call, its answer, and a reply."""
    return [
        message
        for turn in range(turns)
        for message in (
            says(f"question {turn}"),
            calls(f"c{turn}"),
            answers(f"c{turn}"),
            Message("assistant", f"reply {turn}").to_item(),
        )
    ]


def open_ends(values: list[Any]) -> tuple[int, int]:
    """Returns how many calls have no answer, and how many answers no call."""
    matched = match_calls(CallIds.of(Message.from_item(value)) for value in values)
    return len(matched.unanswered), len(matched.orphans)


# --- plan and apply -------------------------------------------------------------------------


async def test_applying_deletes_what_the_plan_says(memory: Any, namespace: str) -> None:
    chat = memory.history("chat")
    await chat.extend(conversation(400))
    await chat.archive(up_to=200)
    await memory.history("short").append(says("hi"))
    await memory.records().put([Record(f"fact {i}", f"{i:03}") for i in range(230)])
    retention = retention_of(memory)
    await retention.set(Policy("all", namespace, count=10))
    before = await _bytes(memory)
    plan = await retention.plan(namespace)
    assert [one[1:5] for one in plan.removals] == [
        ("history", "chat", "all", 1589),
        ("collection", "default", "all", 220),
    ]
    assert await _bytes(memory) == before
    assert await retention.apply(namespace) == plan
    assert await _bytes(memory) == before - plan.bytes
    assert (await retention.plan(namespace)).removals == []
    left = [item.value for item in await chat.read(archived=True)]
    # The oldest of the last ten is an answer, so its call stays too.
    assert left == conversation(400)[-11:]
    assert open_ends(left) == (0, 0)
    assert await memory.history("short").count() == 1
    newest = {record.id for record in await memory.records().list(limit=20)}
    assert newest == {f"{i:03}" for i in range(220, 230)}


async def _bytes(memory: Any) -> int:
    (usage,) = await _apply(memory, ops.ReadUsage())
    return int(usage.bytes)


async def _apply(memory: Any, *operations: ops.AnyOperation) -> list[Any]:
    batch = ops.Batch(memory.namespace, operations)
    if isinstance(memory, AsyncMemory):
        return list(await memory.engine.apply(batch))
    return list(memory.engine.apply(batch))


async def test_bytes_are_limited_per_history(memory: Any, namespace: str) -> None:
    await memory.history("large").extend(["x" * 1_000] * 50)
    await memory.history("small").extend(["x"] * 50)
    retention = retention_of(memory)
    await retention.set(Policy("bytes", namespace, histories="*", bytes=10_500))
    plan = await retention.plan(namespace)
    assert [(one.name, one.count) for one in plan.removals] == [("large", 40)]
    assert await retention.apply(namespace) == plan
    assert await memory.history("large").count() == 10
    assert await memory.history("small").count() == 50


async def test_the_strictest_of_several_policies_counts(memory: Any, namespace: str) -> None:
    for name in ("chat-1", "log-1"):
        await memory.history(name).extend(list(range(20)))
    retention = retention_of(memory)
    await retention.set(Policy("wide", namespace, count=15))
    await retention.set(Policy("chats", namespace, histories="chat-*", count=5))
    plan = await retention.plan(namespace)
    assert [(one.name, one.policy, one.count) for one in plan.removals] == [
        ("chat-1", "chats, wide", 15),
        ("log-1", "wide", 5),
    ]
    assert await retention.apply(namespace) == plan
    assert await memory.history("chat-1").tail(9) == [15, 16, 17, 18, 19]


async def test_a_fork_loses_its_beginning_alone(memory: Any, namespace: str) -> None:
    base = memory.history("base")
    await base.extend(list(range(30)))
    await base.fork("fork", up_to=20)
    retention = retention_of(memory)
    await retention.set(Policy("forks", namespace, histories="fork", count=5))
    plan = await retention.plan(namespace)
    assert await retention.apply(namespace) == plan
    assert await memory.history("fork").tail(9) == [15, 16, 17, 18, 19]
    assert await base.count() == 30


async def test_policies_are_listed_replaced_and_removed(memory: Any, namespace: str) -> None:
    retention = retention_of(memory)
    mine, below = Policy("p", namespace, count=3), Policy("p", f"{namespace}/*", age=HOUR)
    for policy in (Policy("p", namespace, count=9), mine, below):
        await retention.set(policy)
    await retention.hold("h", namespace, histories="chat", reason="court")
    held = Policy("h", namespace, "chat", hold=True, reason="court")
    assert await retention.policies(f"{namespace}*") == [mine, below, held]
    assert await retention.policies(namespace) == [mine, held]
    with pytest.raises(ConflictError, match="is a hold"):
        await retention.set(Policy("h", namespace, count=1))
    await retention.remove("p", namespace)
    await retention.remove("h", namespace)
    with pytest.raises(NotFoundError, match="no policy 'p'"):
        await retention.remove("p", namespace)
    assert await retention.policies(f"{namespace}*") == [below]


def test_a_policy_either_limits_or_holds() -> None:
    with pytest.raises(ConfigurationError, match="limits nothing"):
        Policy("p", "n")
    with pytest.raises(ConfigurationError, match="a hold keeps everything"):
        Policy("p", "n", count=1, hold=True)
    for wrong in ({"count": 0}, {"bytes": -1}, {"age": 0}, {"age": float("nan")}):
        with pytest.raises(ConfigurationError):
            Policy("p", "n", **wrong)  # type: ignore[arg-type]


# --- calls and answers ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "left"),
    [
        ([calls("a"), answers("a"), says("x")], 3),
        ([says("w"), calls("a", "b"), answers("b"), answers("a"), says("x")], 4),
        ([calls("a"), says("w"), answers("a"), says("x"), says("y")], 2),  # all of it may go
        ([calls("never"), says("w"), says("x"), says("y")], 2),
        ([says("w"), calls("waits"), answers("other"), answers("more")], 3),
        ([calls("a"), answers("a"), calls("a"), answers("a"), says("x")], 3),
        ([answers("no call"), says("x"), says("y")], 2),
    ],
)
def test_a_call_stays_until_its_answers_may_go(values: list[Any], left: int) -> None:
    memory = Memory("n", engine=SQLiteEngine(MEMORY))
    memory.history("chat").extend(values)
    retention = Retention(engine=memory.engine)
    retention.set(Policy("two", "n", count=2))
    retention.apply()
    assert memory.history("chat").tail(9) == values[len(values) - left :]


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Conversations in which calls are answered later, out of order, twice or never."""
    values: list[dict[str, Any]] = []
    for step in draw(st.lists(st.integers(0, 9), max_size=40)):
        if step < 3:
            values.append(says("hi"))
        elif step < 6:
            values.append(calls(*draw(st.lists(st.sampled_from("abcd"), min_size=1, max_size=3))))
        else:
            values.append(answers(draw(st.sampled_from("abcd"))))
    return values


@settings(max_examples=40)
@given(conversations(), st.integers(1, 12), st.integers(1, 4))
def test_no_cut_goes_through_a_call(values: list[Any], count: int, part: int) -> None:
    memory = Memory("n", engine=SQLiteEngine(MEMORY))
    chat = memory.history("chat")
    chat.extend(values)
    find = ops.FindOldItems("chat", count=count, limit=part)
    planned = 0
    known = [CallIds.of(Message.from_item(value)) for value in values]
    pairs = match_calls(known).answered.items()
    while True:
        (found,) = memory.engine.apply(ops.Batch("n", (find,)))
        if not found.items:
            break
        trim = ops.TrimHistory("chat", found.up_to, "p")
        (trimmed,) = memory.engine.apply(ops.Batch("n", (trim,)))
        assert (trimmed.count, trimmed.bytes) == (found.items, found.bytes)
        planned += found.items
        gone = len(values) - chat.count()
        assert gone == planned
        assert chat.tail(99) == values[gone:]
        assert not [1 for call, answer in pairs if call.message < gone <= answer.message]
        if not found.more:
            break
    assert chat.count() >= min(count, len(values))
    memory.engine.close()


# --- time -----------------------------------------------------------------------------------


def test_what_is_old_goes(store: TimedStore) -> None:
    memory, retention = store.memory, Retention(engine=store.engine)
    chat = memory.history("chat")
    chat.extend([says("old"), calls("a")])
    chat.set_metadata({"title": "Weather"})
    memory.history("titled").set_metadata({"title": "empty"})
    memory.records().put([Record("old", "1"), Record("written again", "2")])
    memory.set("state", 1)
    store.clock.wait(2 * HOUR)
    chat.extend([answers("a"), says("new")])
    memory.records().put([Record("written again", "2"), Record("new", "3")])
    retention.set(Policy("hour", "*", age=HOUR))
    plan = retention.plan()
    assert [(one.shape, one.name, one.count) for one in plan.removals] == [
        ("history", "chat", 1),
        ("history", "titled", 0),
        ("collection", "default", 1),
    ]
    assert retention.apply() == plan
    assert chat.tail(9) == [calls("a"), answers("a"), says("new")]
    assert [history.name for history in memory.list_histories()] == ["chat"]
    assert {record.id for record in memory.records().list()} == {"2", "3"}
    store.clock.wait(2 * HOUR)
    plan = retention.plan()
    assert retention.apply() == plan
    # A conversation without items loses its title; keys are state, and have a ttl instead.
    assert memory.list_histories() == []
    assert memory.get("state") == 1
    assert list(transfer.check(store.engine)) == []


# --- holds ----------------------------------------------------------------------------------


def _delete_in_transaction(memory: Memory) -> None:
    with memory.transaction() as tx:
        tx.set("new", 1)
        tx.delete("k")


def _mirror_nothing(memory: Memory) -> None:
    (state,) = memory.engine.apply(ops.Batch(memory.namespace, (ops.StatNamespace(),)))
    span = ops.Span(None, None, state.revision + 1)
    memory.engine.apply(ops.Batch(memory.namespace, (ops.RestoreKeys((), ops.OVERWRITE, span),)))


DELETIONS: dict[str, Callable[[Memory], object]] = {
    "delete a key": lambda memory: memory.delete("k"),
    "clear keys": lambda memory: memory.clear(),
    "delete an item": lambda memory: memory.history("chat").delete(1),
    "pop": lambda memory: memory.history("chat").pop(),
    "clear a history": lambda memory: memory.history("chat").clear(),
    "replace a history": lambda memory: memory.history("chat").replace(["x"]),
    "update an item": lambda memory: memory.history("chat").update(1, "x"),
    "delete records": lambda memory: memory.records().delete(ids=["r"]),
    "clear records": lambda memory: memory.records().clear(),
    "in a transaction": _delete_in_transaction,
    "forget": lambda memory: transfer.forget(memory.engine, memory.namespace, rewrite=False),
    "trim": lambda memory: memory.engine.apply(
        ops.Batch(memory.namespace, (ops.TrimHistory("chat", 9, "p"),))
    ),
    "mirror": _mirror_nothing,
}


def _fill(memory: Memory) -> None:
    memory.set("k", 1)
    memory.history("chat").extend([says("one"), says("two")])
    memory.records().put([Record("fact", "r")])


def _content(memory: Memory) -> object:
    output = io.BytesIO()
    transfer.export(memory.engine, output, namespaces=[memory.namespace])
    return output.getvalue().splitlines()[1:]


def test_nothing_deletes_what_is_held(shared_url: str, namespace: str) -> None:
    with Memory(namespace, url=shared_url) as memory, Retention(url=shared_url) as retention:
        _fill(memory)
        retention.hold("case", f"{namespace}*", reason="litigation")
        before = _content(memory)
        for name, delete in DELETIONS.items():
            with pytest.raises(PermissionDeniedError) as refused:
                delete(memory)
            assert "the hold 'case' on the namespaces" in refused.value.detail, name
            assert "(litigation)" in refused.value.detail
            assert _content(memory) == before, name
        retention.remove("case", f"{namespace}*")
        assert memory.history("chat").clear() == 2
        assert memory.clear() == 1


def test_what_is_held_can_be_written_to_and_missing_things_deleted(
    url: str, namespace: str
) -> None:
    with Memory(namespace, url=url) as memory:
        retention = Retention(engine=memory.engine)
        _fill(memory)
        retention.hold("case", namespace)
        memory.set("k", 2)
        memory.history("chat").append(says("three"))
        memory.history("chat").archive(up_to=1)
        memory.history("new").replace(["x"])
        memory.records().put([Record("fact, corrected", "r")])
        assert memory.delete("no such key") is False
        assert memory.history("none").clear() == 0
        assert not memory.history("chat").delete(99)
        assert memory.records().delete(ids=["none"]) == 0
        assert memory.history("chat").count() == 2


def test_a_hold_on_histories_holds_nothing_else(url: str, namespace: str) -> None:
    with Memory(namespace, url=url) as memory:
        retention = Retention(engine=memory.engine)
        _fill(memory)
        memory.history("other").extend(list(range(2 * ops.PART)))
        retention.hold("case", namespace, histories="chat*")
        with pytest.raises(PermissionDeniedError):
            transfer.forget(memory.engine, namespace, rewrite=False)
        # Nothing of it is erased, however many parts that takes.
        assert memory.history("other").count() == 2 * ops.PART
        with pytest.raises(PermissionDeniedError):
            memory.history("chat").pop()
        assert memory.history("other").clear() == 2 * ops.PART
        assert memory.delete("k") is True
        assert memory.records().clear() == 1


def test_policies_leave_out_what_is_held(url: str, namespace: str) -> None:
    with Memory(namespace, url=url) as memory:
        retention = Retention(engine=memory.engine)
        for name in ("free", "held"):
            memory.history(name).extend([1, 2, 3])
        retention.hold("case", namespace, histories="held")
        retention.set(Policy("one", namespace, count=1))
        plan = retention.plan(namespace)
        assert [(one.name, one.count, one.held) for one in plan.removals] == [
            ("free", 2, False),
            ("held", 0, True),
        ]
        assert retention.apply(namespace) == plan
        assert memory.history("held").count() == 3


def test_what_is_held_does_not_expire(store: TimedStore) -> None:
    memory, retention = store.memory, Retention(engine=store.engine)
    expiring: Any = {"ttl": HOUR}
    memory.set("before", 1, **expiring)
    memory.history("before", **expiring).append(1)
    memory.records().put([Record("before", "1")], **expiring)
    retention.hold("case", "n")
    memory.history("after", **expiring).append(2)
    memory.records().put([Record("after", "2")], **expiring)
    memory.history("before").expire(ttl=1)
    for _ in range(2):
        store.clock.wait(5 * HOUR)
        store.engine.sweep()
        assert memory.get("before") == 1
        assert [history.name for history in memory.list_histories()] == ["after", "before"]
        assert {match.record.id for match in memory.records().search(text="before after")} == {
            "1",
            "2",
        }
    retention.remove("case", "n")
    memory.set("after", 3, **expiring)
    store.clock.wait(2 * HOUR)
    assert memory.list_keys() == ["before"]
    assert list(transfer.check(store.engine)) == []


def test_a_lease_in_a_held_namespace_ends(store: TimedStore) -> None:
    memory, retention = store.memory, Retention(engine=store.engine)
    retention.hold("case", "n")
    version = memory.set("lease", "mine", ttl=HOUR, if_version=0)
    version = memory.set("lease", "mine", ttl=HOUR, if_version=version)
    assert memory.delete("lease", if_version=version) is True
    memory.set("lease", "of a process that is killed", ttl=HOUR, if_version=0)
    store.clock.wait(2 * HOUR)
    memory.set("lease", "theirs", if_version=0)
    with pytest.raises(PermissionDeniedError):
        memory.delete("lease")


def test_a_copy_into_a_held_namespace_deletes_nothing(tmp_path: Path) -> None:
    with (
        Memory("n", url=f"sqlite:///{tmp_path / 'from.db'}") as source,
        Memory("n", url=f"sqlite:///{tmp_path / 'to.db'}") as target,
    ):
        _fill(source)
        source.set("gone", 1)
        transfer.copy(source.engine, target.engine)
        Retention(engine=target.engine).hold("case", "n")
        source.set("new", 1, ttl=HOUR)
        transfer.copy(source.engine, target.engine)
        entry = target.entry("new")
        assert entry is not None
        assert entry.expires_at is None
        source.delete("gone")
        with pytest.raises(PermissionDeniedError):
            transfer.copy(source.engine, target.engine)
        assert target.get("gone") == 1


def test_policies_and_holds_move_with_their_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = [f"sqlite:///{tmp_path / name}.db" for name in ("from", "copied", "imported")]
    source, copied, imported = (Memory("n", url=url) for url in urls)
    with source, copied, imported:
        _fill(source)
        mine = Retention(engine=source.engine)
        mine.set(Policy("p", "n*", histories="chat", age=HOUR, count=3))
        mine.hold("case", "n", reason="\ud800")
        file = io.BytesIO()
        transfer.export(source.engine, file)
        transfer.copy(source.engine, copied.engine)
        for _ in range(2):  # it can be repeated
            transfer.load(imported.engine, file.getvalue().splitlines())
        for store in (copied, imported):
            assert Retention(engine=store.engine).policies() == mine.policies()
            with pytest.raises(PermissionDeniedError):
                store.clear()
        # Files from before policies existed can be read.
        old = file.getvalue().replace(b', "policy": 2}', b"}").splitlines()
        old = [line for line in old if b'"type":"policy"' not in line]
        transfer.load(imported.engine, old)
        # A partial export omits them, and a different policy is not silently replaced.
        part = io.BytesIO()
        transfer.export(source.engine, part, namespaces=["n"])
        assert b'"type":"policy"' not in part.getvalue()
        other = Retention(engine=copied.engine)
        other.set(Policy("p", "n*", count=9))
        with pytest.raises(ConflictError, match="another policy 'p'"):
            transfer.copy(source.engine, copied.engine)
        # The comparison after a copy finds it and what the target lacks, but not the target's own.
        assert main(["copy", urls[0], urls[1], "--on-conflict", "keep", "--verify"]) == 1
        assert "'n*': policy 'p' is different" in capsys.readouterr().err
        other.remove("case", "n")
        other.set(Policy("theirs", "x", count=9))
        found = [str(one) for one in transfer.compare(source.engine, copied.engine)]
        assert found == [
            "'n': hold 'case' is only in the first",
            "'n*': policy 'p' is different",
            "'x': policy 'theirs' is only in the second",
        ]
        transfer.copy(source.engine, copied.engine, conflict=ops.OVERWRITE)
        other.remove("theirs", "x")
        assert other.policies() == mine.policies()
        other.set(Policy("theirs", "x", count=9))
        assert main(["copy", urls[0], urls[1], "--verify"]) == 0


def test_a_restoration_replaces_no_held_item(tmp_path: Path) -> None:
    with (
        Memory("n", url=f"sqlite:///{tmp_path / 'from.db'}") as source,
        Memory("n", url=f"sqlite:///{tmp_path / 'to.db'}") as target,
    ):
        _fill(source)
        transfer.copy(source.engine, target.engine)
        Retention(engine=target.engine).hold("case", "n")
        source.history("chat").update(1, says("changed"))
        source.history("chat").append(says("three"))
        with pytest.raises(PermissionDeniedError):
            transfer.copy(source.engine, target.engine, conflict=ops.OVERWRITE)
        assert target.history("chat").tail(9) == [says("one"), says("two")]


# --- interrupted ----------------------------------------------------------------------------

KILLED = """
    import os, signal, sys
    from botwire.engines.sqlite import SQLiteEngine
    from botwire.retention import Retention

    class Killed(SQLiteEngine):
        left = int(sys.argv[2])

        def apply(self, batch):
            results = super().apply(batch)
            self.left -= batch.writes
            if not self.left:
                os.kill(os.getpid(), signal.SIGKILL)
            return results

    Retention(engine=Killed(sys.argv[1])).apply()
"""


def test_applying_is_resumed_after_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "memory.db"
    with Memory("n", url=f"sqlite:///{path}") as memory:
        chat = memory.history("chat")
        chat.extend(conversation(1_200))
        memory.history("other").extend(conversation(20))
        retention = Retention(engine=memory.engine)
        retention.set(Policy("short", "*", count=3))
        plan = retention.plan()
        counts = [chat.count()]
        for _ in range(2):
            program = [sys.executable, "-c", textwrap.dedent(KILLED), str(path), "2"]
            done = subprocess.run(program, check=False, timeout=60)
            assert done.returncode == -signal.SIGKILL
            counts.append(chat.count())
            assert open_ends(chat.tail(5_000)) == (0, 0)
        assert counts[0] > counts[1] > counts[2] > 3
        retention.apply()
        assert retention.plan().removals == []
        assert chat.tail(9) == conversation(1_200)[-3:]
        log = memory.engine.apply(ops.Batch(SYSTEM_NAMESPACE, (ops.ReadHistory(AUDIT_LOG),)))
        applied = [item.value.value for item in log[0].items]
        parts = [one for one in applied if one["event"] == "retention.apply"]
        assert sum(one["count"] for one in parts) == plan.count
        assert sum(one["bytes"] for one in parts) == plan.bytes
        assert {one["policy"] for one in parts} == {"short"}
        assert max(one["count"] for one in parts) <= ops.PART


def test_an_upload_of_megabytes_goes_in_parts(tmp_path: Path) -> None:
    with Memory("n", url=f"sqlite:///{tmp_path / 'memory.db'}") as memory:
        memory.history("files").extend(["x" * 1_500_000] * 12)
        retention = Retention(engine=memory.engine)
        retention.set(Policy("p", "n", count=1))
        plan = retention.plan()
        assert retention.apply() == plan
        (page,) = memory.engine.apply(ops.Batch(SYSTEM_NAMESPACE, (ops.ReadHistory(AUDIT_LOG),)))
        parts = [item.value.value.get("count") for item in page.items]
        assert parts == [None, 3, 3, 3, 2]


def test_a_value_is_what_was_written(tmp_path: Path) -> None:
    # What only looks like a message must not stop the removal.
    odd: list[Any] = [
        {"envelope": 1, "tool_calls": [{"id": ["x"]}], "role": "assistant", "text": ""},
        {"envelope": 1, "role": "tool", "text": "", "tool_call_id": {"a": 1}},
        {"envelope": 9, "tool_calls": 3},
        '"envelope" "tool_call',
    ]
    with Memory("n", url=f"sqlite:///{tmp_path / 'memory.db'}") as memory:
        memory.history("odd").extend([*odd, 1])
        retention = Retention(engine=memory.engine)
        retention.set(Policy("p", "n", count=1))
        assert retention.apply().count == 4
        assert Json.of(memory.history("odd").tail(9)).value == [1]


def test_the_example_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOTWIRE_URL", f"sqlite:///{tmp_path / 'memory.db'}")
    run_page(Path(__file__).resolve().parents[2] / "docs" / "operating.md")
