"""Answers: stored only if nobody has spoken since the model was shown the conversation.

Two requests at once on one conversation, in one process or in two, would mix otherwise. One of them
is refused with a `ConflictError`, and runs again. What tools returned is nobody's turn: it may come
in between, and it is stored even if the request that called them is refused.

    answerer = answerers.of_task(history.name)
    await answerer.shown(history, items)  # a model is shown these
    await answerer.answer(history, lambda last: history.extend([item], if_last=last), where="…")
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from botwire.client import AsyncHistory
from botwire.errors import ConflictError
from botwire.models import Item

T = TypeVar("T")

_SPEAKERS = ("user", "assistant", "system")


class Answerer:
    """What one request knows of a conversation.

    Attributes:
        seen: The last item it knows; None if it was shown nothing, and may write whatever is there.
    """

    def __init__(self) -> None:
        self.seen: int | None = None
        self._own: set[int] = set()  # what it wrote after others had written

    async def shown(self, history: AsyncHistory, items: Sequence[Item]) -> None:
        """Notes that a model is shown a conversation up to the last of these items."""
        if items:
            self.saw(items[-1].seq)
        else:
            info = await history.info()
            self.saw(info.last_seq - info.count)  # what came meanwhile was not seen

    def saw(self, seq: int | None) -> None:
        """Notes up to which item the conversation is known; None: the request has ended."""
        self.seen = seq
        self._own.clear()

    def wrote(self, seqs: Iterable[int]) -> None:
        """Notes what this request has stored itself."""
        for seq in seqs:
            if self.seen is not None and seq == self.seen + 1:
                self.seen = seq
            elif self.seen is not None:
                self._own.add(seq)

    async def overtaken(self, history: AsyncHistory) -> bool:
        """Says whether somebody else has spoken since."""
        return self.seen is not None and self._spoken(await history.read(self.seen))

    async def answer(
        self,
        history: AsyncHistory,
        write: Callable[[int | None], Awaitable[T]],
        *,
        where: str,
        keep: bool = False,
    ) -> T:
        """Stores what a model or its tools answered, and returns what `write` does.

        Args:
            history: The conversation's.
            write: Stores it if the history's last item is still this one; None: in any case.
            where: What the conversation is called in the error.
            keep: Store it even if the request is refused, as what a tool did must not be lost.

        Raises:
            ConflictError: Somebody else has spoken since the model was shown the conversation.
        """
        after = self.seen
        while True:
            try:
                return await write(after)
            except ConflictError as error:
                later = [] if after is None else await history.read(after)
                if later and not self._spoken(later):
                    after = later[-1].seq
                    continue
                if keep:
                    with suppress(ConflictError):
                        await write(None)
                raise ConflictError(
                    f"another request wrote to {where} since this one read it: only one at a time "
                    f"can answer. Run this one again ({error.detail})",
                    request_id=error.request_id,
                ) from error

    def _spoken(self, later: Iterable[Item]) -> bool:
        return any(item.seq not in self._own and _speaks(item.value) for item in later)


class Answerers:
    """The answerer of each running task: a task runs one request at a time."""

    def __init__(self) -> None:
        self._of: weakref.WeakKeyDictionary[asyncio.Task[Any], tuple[str, Answerer]] = (
            weakref.WeakKeyDictionary()
        )

    def of_task(self, name: str) -> Answerer:
        """Returns the running task's, a new one if its last was for a history of another name."""
        task = asyncio.current_task()
        held = None if task is None else self._of.get(task)
        if held is None or held[0] != name:
            held = (name, Answerer())
            if task is not None:
                self._of[task] = held
        return held[1]


def _speaks(value: Any) -> bool:
    return isinstance(value, dict) and value.get("role") in _SPEAKERS
