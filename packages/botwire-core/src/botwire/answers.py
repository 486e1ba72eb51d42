"""Stores a model's reply only if the conversation is still the one that the model was shown.

Otherwise two concurrent requests on one conversation, in one process or in two, would interleave.
One of them gets a `ConflictError` and must be run again. Tool results are exempt: they may be
written in between, and are stored even if the request that called the tools is refused.

    answerer = answerers.of_task(history.name)
    last = await answerer.last_seq(history)  # before the items are read
    answerer.shown(await history.read(), last)  # the model is shown these items
    await answerer.answer(history, lambda last: history.extend([item], if_last=last), where="…")

A request may run inside another, for example if an agent is a tool of another agent. What it writes
to the same conversation then counts as written by the outer request too.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

from botwire.client import AsyncHistory
from botwire.errors import ConflictError
from botwire.models import Item

_LONGEST_CANCELLATION = 1.0  # seconds; a commit takes milliseconds, unless the server is down
_SPEAKERS = ("user", "assistant", "system")


class Answerer:
    """What one request has seen of a conversation.

    Args:
        conversation: The namespace and the name of the history, by which the requests inside which
            it runs and the writes in progress are found; None: there are none.

    Attributes:
        conversation: As given.
        seen: The number of the last item it has seen; None if it has seen nothing, so it may always
            write.
    """

    def __init__(self, conversation: tuple[str, str] | None = None) -> None:
        self.seen: int | None = None
        self.conversation = conversation
        self._own: set[int] = set()  # items it wrote after someone else's

    def shown(self, items: Sequence[Item], last: int) -> None:
        """Records that the model is shown the conversation up to the last of these items.

        Args:
            items: What the model is shown.
            last: The history's `last_seq`, read before the items were. It is higher than the
                last item's number if items at the end were deleted.
        """
        self.saw(max(last, items[-1].seq) if items else last)

    def saw(self, seq: int | None) -> None:
        """Records the last item seen; None once the request has ended."""
        self.seen = seq
        self._own.clear()

    async def last_seq(self, history: AsyncHistory) -> int:
        """Returns the history's `last_seq`, which counts what this process is writing to it.

        A request that was cancelled in the middle of a write ends only after it (see `_store`), and
        the next one may already begin.
        """
        if writes := [one for one, to in _writes().items() if to == self.conversation]:
            await asyncio.wait(writes, timeout=_LONGEST_CANCELLATION)
        return (await history.info()).last_seq

    def begins(self) -> None:
        """Makes this the current task's request. Requests of tasks it starts run inside it."""
        task = asyncio.current_task()
        if task is not None:
            _running.set((*_outer(task), (task, self)))

    def wrote(self, seqs: Iterable[int]) -> None:
        """Records the items that this request has written, also for those it runs inside."""
        seqs = tuple(seqs)
        self._wrote(seqs)
        if self.conversation is not None:
            for _, outer in _outer(asyncio.current_task()):
                if outer.conversation == self.conversation:
                    outer._wrote(seqs)

    def _wrote(self, seqs: Iterable[int]) -> None:
        for seq in seqs:
            if self.seen is not None and seq == self.seen + 1:
                self.seen = seq
            elif self.seen is not None and seq > self.seen:
                self._own.add(seq)

    async def overtaken(self, history: AsyncHistory) -> bool:
        """Returns whether someone else has spoken since."""
        return self.seen is not None and self._spoken(await history.read(self.seen))

    async def answer(
        self,
        history: AsyncHistory,
        write: Callable[[int | None], Awaitable[list[int]]],
        *,
        where: str,
        keep: bool = False,
    ) -> list[int]:
        """Stores the output of a model or its tools and returns the numbers of its items.

        Args:
            history: The conversation's history.
            write: Stores the output if this is still the history's last item, and returns the
                numbers; None stores it in any case.
            where: The conversation's name in errors.
            keep: Store the output even if the request is refused, so that no tool result is lost.

        Raises:
            ConflictError: Someone else has spoken since the model was shown the conversation.
        """
        after = self.seen
        while True:
            try:
                return await self._store(write(after))
            except ConflictError as error:
                later = [] if after is None else await history.read(after)
                if later and not self._spoken(later):
                    after = later[-1].seq
                    continue
                if keep:
                    with suppress(ConflictError):
                        await self._store(write(None))
                raise ConflictError(
                    f"another request wrote to {where} since this one read it, and only one at a "
                    f"time can reply: run this request again ({error.detail})",
                    request_id=error.request_id,
                ) from error

    async def _store(self, write: Awaitable[list[int]]) -> list[int]:
        """Waits for a write, for a while even if this task is cancelled, and records its items.

        A write in progress takes effect despite the cancellation. If the next request read the
        conversation before that, it would take the items for someone else's.
        """
        task = asyncio.ensure_future(write)
        if self.conversation is not None:
            writes = _writes()
            writes[task] = self.conversation
            task.add_done_callback(writes.pop)
        try:
            seqs = await asyncio.shield(task)
        except asyncio.CancelledError:
            done, _ = await asyncio.wait({task}, timeout=_LONGEST_CANCELLATION)
            if not done:
                task.cancel()
            elif not task.cancelled() and task.exception() is None:
                self.wrote(task.result())
            raise
        self.wrote(seqs)
        return seqs

    def _spoken(self, later: Iterable[Item]) -> bool:
        return any(item.seq not in self._own and _speaks(item.value) for item in later)


_Writes = dict[asyncio.Task[Any], tuple[str, str]]
_writes_of: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Writes]
_writes_of = weakref.WeakKeyDictionary()


def _writes() -> _Writes:
    """Returns the writes in progress on the running loop, each with its conversation."""
    return _writes_of.setdefault(asyncio.get_running_loop(), {})


_Running = tuple[asyncio.Task[Any], Answerer]
_running: ContextVar[tuple[_Running, ...]] = ContextVar("botwire_requests", default=())
"""The requests inside which the current code runs, the outermost first, with their tasks."""


def _outer(task: asyncio.Task[Any] | None) -> list[_Running]:
    """Returns the requests that a task's own runs inside; those of tasks that ended are over."""
    return [one for one in _running.get() if one[0] is not task and not one[0].done()]


class Answerers:
    """The answerers of running tasks. A task runs one request at a time.

    Args:
        namespace: The namespace of the conversations.
        run: Returns a different object for each request of a task, for frameworks that tell them
            apart; None: a task's next request has seen what its previous one saw.
    """

    def __init__(self, namespace: str, run: Callable[[], object] | None = None) -> None:
        self._namespace = namespace
        self._run = run
        self._of: weakref.WeakKeyDictionary[asyncio.Task[Any], tuple[str, object, Answerer]] = (
            weakref.WeakKeyDictionary()
        )

    def __reduce__(self) -> tuple[type[Answerers], tuple[Any, ...]]:
        """Returns what a copy or a pickle is made from: all but the requests of this process."""
        return type(self), (self._namespace, self._run)

    def of_task(self, name: str) -> Answerer:
        """Returns the running task's answerer; a new one for another history or request."""
        task = asyncio.current_task()
        run = None if self._run is None else self._run()
        held = None if task is None else self._of.get(task)
        if held is None or held[0] != name or held[1] is not run:
            held = (name, run, Answerer((self._namespace, name)))
            if task is not None:
                self._of[task] = held
        held[2].begins()
        return held[2]


def _speaks(value: Any) -> bool:
    return isinstance(value, dict) and value.get("role") in _SPEAKERS
