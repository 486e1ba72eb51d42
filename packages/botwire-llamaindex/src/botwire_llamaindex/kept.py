"""What a memory has already read of its conversation, so that it reads only what is new.

An agent asks for the same window several times per turn. Each time, the memory asks the history how
many items it has. Unless that matches what it has read plus what was added since, it reads
everything again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from botwire import AsyncHistory, History, HistoryInfo, Item
from botwire_llamaindex.convert import from_items
from botwire_llamaindex.window import Choice, WindowEntry


class _State(NamedTuple):
    """The result of the last read.

    Attributes:
        of: Identifies the conversation and how its tokens are counted.
        entries: The last messages, oldest first.
        complete: Whether these are all messages.
        last_seq: The sequence number of the newest item that was read.
        items: How many items the history had then; None if that is uncertain.
    """

    of: tuple[object, ...] = ()
    entries: Sequence[WindowEntry] = ()
    complete: bool = False
    last_seq: int = 0
    items: int | None = None


class Kept:
    """The last messages of a conversation, as the same objects each time.

    LlamaIndex's agents write the state of a run into the user's message once, and expect it there
    at the next step. So a memory returns the same objects again. The stored messages do not change,
    and a copy or a dump of the memory does not include these objects.
    """

    def __init__(self) -> None:
        self._state = _State()  # replaced as a whole: threads may share a memory

    def __reduce__(self) -> tuple[type[Kept], tuple[()]]:
        return Kept, ()

    def read(self, of: tuple[object, ...], history: History, choice: Choice, page: int) -> bool:
        """Fills a choice from the newest message on; returns whether it has the whole conversation.

        Args:
            of: Identifies the conversation and how its tokens are counted.
            history: The conversation.
            choice: An empty choice.
            page: How many items to read at a time if all must be read.
        """
        last = self._state if self._state.of == of else _State(of)
        if last.items is not None:
            info = history.info()
            later = history.read(last.last_seq) if info.last_seq > last.last_seq else []
            if (state := _followed(last, info, later, choice)) is not None:
                self._state = state
                return state.complete
        walk = _Walk(choice, last.entries)
        for item in history.newest_first(page_size=page):
            if walk.add(item):
                self._state = walk.state(of, history.info())
                return False
        self._state = walk.state(of, None)
        return True

    async def aread(
        self, of: tuple[object, ...], history: AsyncHistory, choice: Choice, page: int
    ) -> bool:
        """Like `read`."""
        last = self._state if self._state.of == of else _State(of)
        if last.items is not None:
            info = await history.info()
            later = await history.read(last.last_seq) if info.last_seq > last.last_seq else []
            if (state := _followed(last, info, later, choice)) is not None:
                self._state = state
                return state.complete
        walk = _Walk(choice, last.entries)
        async for item in history.newest_first(page_size=page):
            if walk.add(item):
                self._state = walk.state(of, await history.info())
                return False
        self._state = walk.state(of, None)
        return True


def _followed(
    last: _State, info: HistoryInfo, later: Sequence[Item], choice: Choice
) -> _State | None:
    """Fills a choice with earlier and newer messages; None if anything else has changed."""
    later = [item for item in later if item.seq <= info.last_seq]
    if last.items is None or info.count != last.items + len(later):
        return None  # some items were deleted or archived
    walk = _Walk(choice, ())
    for item in reversed(later):
        walk.add(item)
    entries = [*last.entries, *choice.entries]
    enough = choice.add_entries(entries)
    if not enough and not last.complete:
        return None
    complete = last.complete and not enough
    return _State(last.of, choice.entries, complete, info.last_seq, info.count)


class _Walk:
    """Feeds items into a choice, from the newest on."""

    def __init__(self, choice: Choice, known: Sequence[WindowEntry]) -> None:
        self.choice = choice
        self.newest: Item | None = None
        self.count = 0
        self._known = {entry.seq: entry for entry in known}

    def state(self, of: tuple[object, ...], info: HistoryInfo | None) -> _State:
        """Returns the state after the walk; without an info, the walk covered all items."""
        newest, entries = self.newest, self.choice.entries
        if info is None or newest is None:
            return _State(of, entries, True, newest.seq if newest else 0, self.count)
        # If the last change was the newest item, nothing has been deleted since.
        known = (info.last_seq, info.updated_at) == (newest.seq, newest.created_at)
        return _State(of, entries, False, newest.seq, info.count if known else None)

    def add(self, item: Item) -> bool:
        """Takes the next older item, if it is readable, and returns whether that is enough."""
        self.newest = self.newest or item
        self.count += 1
        if (entry := self._known.get(item.seq)) is not None:
            return self.choice.add_entry(entry)
        return any(self.choice.add(message, seq) for seq, message in from_items([item]))
