"""An answer is stored only if nothing was added since its model was shown the conversation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from botwire import AsyncHistory, AsyncMemory, ConflictError
from botwire.answers import Answerer, Answerers
from botwire.messages import Message

pytestmark = pytest.mark.anyio


def said(role: Any, text: str) -> dict[str, Any]:
    return Message(role, text, tool_call_id="c" if role == "tool" else None).to_item()


@pytest.fixture
async def history(tmp_path: Path, namespace: str) -> Any:
    memory = AsyncMemory(namespace, url=f"sqlite:///{tmp_path / 'memory.db'}")
    yield memory.history("talk")
    await memory.aclose()


async def answer(
    history: AsyncHistory, answerer: Answerer, role: str = "assistant", **options: Any
) -> list[int]:
    item = said(role, "answer")
    return await answerer.answer(
        history, lambda last: history.extend([item], if_last=last), where="'talk'", **options
    )


async def look(history: AsyncHistory, answerer: Answerer) -> None:
    """Shows a model the conversation, as adapters do."""
    last = await answerer.last_seq(history)
    answerer.shown(await history.read(), last)


async def texts(history: AsyncHistory) -> list[str]:
    return [item.value["text"] for item in await history.read()]


async def test_an_answer_after_somebody_else_has_spoken_is_refused(history: AsyncHistory) -> None:
    for begin in ([], [said("user", "hello")]):
        await history.replace(begin)
        answerer = Answerer()
        await look(history, answerer)
        await history.append(said("user", "another"))
        before = await texts(history)
        for _ in range(2):  # also if it retries without looking
            with pytest.raises(ConflictError, match="another request wrote to 'talk'"):
                await answer(history, answerer)
        assert await texts(history) == before
        assert await answerer.overtaken(history)
        with pytest.raises(ConflictError):
            await answer(history, answerer, keep=True)
        assert await texts(history) == [*before, "answer"]


async def test_what_was_written_and_deleted_was_said_too(history: AsyncHistory) -> None:
    answerer = Answerer()
    await look(history, answerer)
    await history.append(said("user", "another"))
    await history.clear()
    async with asyncio.timeout(5):
        with pytest.raises(ConflictError):
            await answer(history, answerer)


async def test_what_was_deleted_before_it_was_shown_refuses_nobody(history: AsyncHistory) -> None:
    answerer = Answerer()
    await history.extend([said("user", "hello"), said("user", "a slip")])
    await history.pop()
    await look(history, answerer)
    assert await answer(history, answerer) == [3]
    await history.clear()
    await look(history, answerer)
    await history.append(said("user", "another"))
    with pytest.raises(ConflictError):
        await answer(history, answerer)


async def test_tools_of_others_and_own_items_disturb_nobody(history: AsyncHistory) -> None:
    answerer = Answerer()
    await history.append(said("user", "hello"))
    await look(history, answerer)
    await history.append(said("tool", "of a refused request"))
    answerer.wrote([await history.append(said("user", "and this"))])
    await history.append({"event": "no message"})
    assert not await answerer.overtaken(history)
    assert await answer(history, answerer) == [5]
    answerer.saw(5)
    answerer.wrote([await history.append(said("user", "more"))])
    assert answerer.seen == 6
    assert await answer(history, answerer) == [7]


async def test_one_that_was_shown_nothing_writes_whatever_is_there(history: AsyncHistory) -> None:
    answerer = Answerer()
    await history.append(said("user", "hello"))
    answerer.wrote([1])
    assert await answer(history, answerer) == [2]
    assert not await answerer.overtaken(history)


async def test_each_task_has_its_own(history: AsyncHistory) -> None:
    answerers = Answerers("space")
    answerers.of_task("talk").saw(1)

    async def other() -> int | None:
        return answerers.of_task("talk").seen

    assert await asyncio.create_task(other()) is None
    assert answerers.of_task("talk").seen == 1
    assert answerers.of_task("another").seen is None
    assert answerers.of_task("talk").seen is None  # the task has moved on to another conversation


async def test_a_request_inside_another_is_no_other_request(history: AsyncHistory) -> None:
    answerers, others = Answerers("space"), Answerers("space")

    async def ask(answerers: Answerers, *, inner: bool) -> None:
        answerer = answerers.of_task("talk")
        await look(history, answerer)
        await answer(history, answerer, "user")
        if inner:  # as a tool does
            await history.append(said("tool", "of a refused request"))
            async with asyncio.TaskGroup() as tools:
                tools.create_task(ask(others, inner=False))
        await answer(history, answerer)

    for _ in range(2):  # a task's next request is not inside its last one
        await ask(answerers, inner=True)
    assert await history.count() == 10
    async with asyncio.TaskGroup() as tasks:
        race = [tasks.create_task(refused(ask(answerers, inner=False))) for _ in range(2)]
    assert sorted(task.result() for task in race) == [False, True]


async def refused(request: Awaitable[None]) -> bool:
    try:
        await request
    except ConflictError:
        return True
    return False


async def test_a_task_may_alternate_between_objects(history: AsyncHistory) -> None:
    mine, others, inner = (Answerers("space") for _ in range(3))

    async def ask() -> None:
        await answer(history, inner.of_task("talk"))

    for answerers in (mine, others, mine):
        answerer = answerers.of_task("talk")
        await look(history, answerer)
        await asyncio.create_task(ask())
        await answer(history, answerer)
    assert await history.count() == 6


@pytest.mark.parametrize("is_refused", [False, True])
async def test_a_write_that_is_cancelled_is_over_before_the_next_request(
    history: AsyncHistory, *, is_refused: bool
) -> None:
    begun, goes_on = asyncio.Event(), asyncio.Event()

    async def write(last: int | None) -> list[int]:
        if last is None or not is_refused:
            begun.set()
            await goes_on.wait()  # like a commit, which nobody can stop
        return await history.extend([said("assistant", "answer")], if_last=last)

    async def ask() -> None:
        answerer = Answerers("space").of_task("talk")
        if is_refused:
            answerer.saw(0)  # before the outer request spoke
        await answerer.answer(history, write, where="'talk'", keep=True)

    outer = Answerers("space").of_task("talk")
    await look(history, outer)
    await answer(history, outer, "user")
    inner = asyncio.create_task(ask())
    await begun.wait()
    inner.cancel()
    asyncio.get_running_loop().call_soon(goes_on.set)
    with pytest.raises(asyncio.CancelledError):
        await inner
    assert await texts(history) == ["answer", "answer"]
    await answer(history, outer)


async def test_a_request_sees_what_a_cancelled_one_is_writing(history: AsyncHistory) -> None:
    begun, goes_on = asyncio.Event(), asyncio.Event()

    async def write(last: int | None) -> list[int]:
        begun.set()
        await goes_on.wait()  # like a commit, which nobody can stop
        return await history.extend([said("assistant", "late")], if_last=last)

    stopped = asyncio.create_task(
        Answerers("space").of_task("talk").answer(history, write, where="'talk'")
    )
    await begun.wait()
    stopped.cancel()
    answerer = Answerers("space").of_task("talk")
    reading = asyncio.create_task(answerer.last_seq(history))
    other = Answerers("space").of_task("something else")
    assert await other.last_seq(history) == 0  # nothing is written to it, so it need not wait
    assert not reading.done()
    goes_on.set()
    answerer.shown([], await reading)
    assert await answer(history, answerer) == [2]
    with pytest.raises(asyncio.CancelledError):
        await stopped


async def test_a_request_about_something_else_is_not_part_of_the_outer_one(
    history: AsyncHistory,
) -> None:
    outer = Answerers("space").of_task("talk")
    await look(history, outer)

    async def elsewhere() -> None:
        Answerers("another space").of_task("talk").wrote([1])

    await asyncio.create_task(elsewhere())
    await history.append(said("user", "another"))
    with pytest.raises(ConflictError):
        await answer(history, outer)
