"""Stores a model's reply only if the conversation is still the one that the model was shown.

Otherwise two concurrent requests on one conversation, in one process or in two, would interleave.
One of them gets a `ConflictError` and must be run again. Tool results are exempt: they may be
written in between, and are stored even if the request that called the tools is refused.

    answerer = answerers.of_task(history.name)
    last = (await history.info()).last_seq  # before the items are read
    answerer.shown(await history.read(), last)  # the model is shown these items
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
    """What one request has seen of a conversation.

    Attributes:
        seen: The number of the last item it has seen; None if it has seen nothing, so it may always
            write.
    """

    def __init__(self) -> None:
        self.seen: int | None = None
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

    def wrote(self, seqs: Iterable[int]) -> None:
        """Records the items that this request has written."""
        for seq in seqs:
            if self.seen is not None and seq == self.seen + 1:
                self.seen = seq
            elif self.seen is not None:
                self._own.add(seq)

    async def overtaken(self, history: AsyncHistory) -> bool:
        """Returns whether someone else has spoken since."""
        return self.seen is not None and self._spoken(await history.read(self.seen))

    async def answer(
        self,
        history: AsyncHistory,
        write: Callable[[int | None], Awaitable[T]],
        *,
        where: str,
        keep: bool = False,
    ) -> T:
        """Stores the output of a model or its tools and returns the result of `write`.

        Args:
            history: The conversation's history.
            write: Stores the output if this is still the history's last item; None stores it in any
                case.
            where: The conversation's name in errors.
            keep: Store the output even if the request is refused, so that no tool result is lost.

        Raises:
            ConflictError: Someone else has spoken since the model was shown the conversation.
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
                    f"another request wrote to {where} since this one read it, and only one at a "
                    f"time can reply: run this request again ({error.detail})",
                    request_id=error.request_id,
                ) from error

    def _spoken(self, later: Iterable[Item]) -> bool:
        return any(item.seq not in self._own and _speaks(item.value) for item in later)


class Answerers:
    """The answerers of running tasks. A task runs one request at a time."""

    def __init__(self) -> None:
        self._of: weakref.WeakKeyDictionary[asyncio.Task[Any], tuple[str, Answerer]] = (
            weakref.WeakKeyDictionary()
        )

    def of_task(self, name: str) -> Answerer:
        """Returns the running task's answerer; a new one if its last had another history."""
        task = asyncio.current_task()
        held = None if task is None else self._of.get(task)
        if held is None or held[0] != name:
            held = (name, Answerer())
            if task is not None:
                self._of[task] = held
        return held[1]


def _speaks(value: Any) -> bool:
    return isinstance(value, dict) and value.get("role") in _SPEAKERS
