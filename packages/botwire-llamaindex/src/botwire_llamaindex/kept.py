"""What a memory has read of its conversation, so that it reads only what is new.

An agent asks for the same window several times a turn. Nothing is taken for granted: each time the
history says how many items it has, and what was read is read again unless that is what was read and
what has come since.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from botwire import AsyncHistory, History, HistoryInfo, Item
from botwire_llamaindex.convert import from_items
from botwire_llamaindex.window import Choice, Entry


class _State(NamedTuple):
    """What was read last.

    Attributes:
        of: Whose messages they are, and what they are counted by.
        entries: The last messages, oldest first.
        complete: Whether they are all there are.
        last_seq: The sequence number up to which was read.
        items: How many items the history had then; None if that is not certain.
    """

    of: tuple[object, ...] = ()
    entries: Sequence[Entry] = ()
    complete: bool = False
    last_seq: int = 0
    items: int | None = None


class Kept:
    """The last messages of a conversation.

    LlamaIndex's agents write the state of a run into the user's message, once, and expect it to be
    there at the next step, so a memory gives the same objects again. What is stored stays as it
    was, and a copy or a dump of the memory has none of it.
    """

    def __init__(self) -> None:
        self._state = _State()  # replaced as a whole: threads may share a memory

    def __reduce__(self) -> tuple[type[Kept], tuple[()]]:
        return Kept, ()

    def read(self, of: tuple[object, ...], history: History, choice: Choice, page: int) -> bool:
        """Fills a choice from the newest message on; says whether it has the whole conversation.

        Args:
            of: Whose messages these are, and what they are counted by.
            history: The conversation.
            choice: An empty one.
            page: How many items to read at a time, if all must be read.
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
    """Fills a choice with what was read and what has come since; None if more has changed."""
    later = [item for item in later if item.seq <= info.last_seq]
    if last.items is None or info.count != last.items + len(later):
        return None  # some were deleted or archived
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
    """Items on their way into a choice, from the newest on."""

    def __init__(self, choice: Choice, known: Sequence[Entry]) -> None:
        self.choice = choice
        self.newest: Item | None = None
        self.count = 0
        self._known = {entry.seq: entry for entry in known}

    def state(self, of: tuple[object, ...], info: HistoryInfo | None) -> _State:
        """Returns what was walked over: all there was, if there is no info."""
        newest, entries = self.newest, self.choice.entries
        if info is None or newest is None:
            return _State(of, entries, True, newest.seq if newest else 0, self.count)
        # If the last change was the newest item, nothing has been deleted since.
        known = (info.last_seq, info.updated_at) == (newest.seq, newest.created_at)
        return _State(of, entries, False, newest.seq, info.count if known else None)

    def add(self, item: Item) -> bool:
        """Takes the next older item, if it can be read, and says whether it is enough."""
        self.newest = self.newest or item
        self.count += 1
        if (entry := self._known.get(item.seq)) is not None:
            return self.choice.add_entry(entry)
        return any(self.choice.add(message, seq) for seq, message in from_items([item]))
