"""Files that agents read and write: knowledge, logs, skills."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import logging
from collections.abc import Sequence
from typing import Any, NamedTuple, Unpack

from ag2.knowledge import ChangeSubscription
from ag2.knowledge.base import ChangeCallback

from botwire import AsyncHistory, BotWireError, ConflictError, Item
from botwire.arguments import check_seconds, check_type
from botwire.connection import Connected, ConnectionOptions
from botwire.names import check_prefix, check_string
from botwire.operations import PART
from botwire.splitting import in_batches

logger = logging.getLogger("botwire.ag2")

_TRIES = 100  # appends by others that may come first
_PAGE = 200
_RETRY_SECONDS = 1.0


class _End(NamedTuple):
    """Where a file ends.

    Attributes:
        seq: The last sequence number of its history.
        offset: Its length in bytes.
    """

    seq: int
    offset: int


class BotWireKnowledgeStore(Connected, framework="ag2", shows="_prefix"):
    """AG2's `ag2.knowledge.KnowledgeStore` on BotWire: ``KnowledgeConfig(store=…)``.

    A file is a history of pieces of text. An append is atomic across processes and costs the same
    however long the file is, and `read_range` near the end only reads the end. `on_change` sees the
    changes of all processes.

    Paths look as in AG2: ``/dir/file.txt``. A folder exists if there are files in it.

    Args:
        namespace: The namespace of the files. Defaults to the client's, then to
            ``BOTWIRE_NAMESPACE``, then to ``default``.
        prefix: The prefix of the histories that hold the files. Agents with the same namespace and
            prefix share their files, including their working memory.
        poll: Seconds between polls for changes when nothing happens.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    def __init__(
        self,
        namespace: str | None = None,
        *,
        prefix: str = "knowledge",
        poll: float = 0.5,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        super().__init__(namespace, **connection)
        self._prefix = check_prefix(prefix).rstrip("/")
        check_seconds(poll, "poll")
        self._poll = poll
        self._ends: dict[str, _End] = {}

    async def read(self, path: str) -> str | None:
        """Returns the content of a file, or None if it does not exist."""
        items = await self._history(_normal(path)).read()
        return "".join(map(_text, items)) if items else None

    async def write(self, path: str, content: str) -> None:
        """Replaces the content of a file."""
        normal = _normal(path)
        self._ends.pop(normal, None)
        await self._history(normal).replace([_piece(content, 0)])

    async def append(self, path: str, content: str) -> int:
        """Appends to a file and returns the byte offset of the new text; atomic across processes.

        Raises:
            ConflictError: A hundred appends by others came first.
        """
        normal = _normal(path)
        history = self._history(normal)
        end = self._ends.pop(normal, None)
        for _ in range(_TRIES):
            if end is None:
                end = await self._end(history)
            try:
                seqs = await history.extend([_piece(content, end.offset)], if_last=end.seq)
            except ConflictError:
                end = None
            else:
                self._ends[normal] = _End(seqs[0], end.offset + len(_bytes(content)))
                return end.offset
        raise ConflictError(f"{path!r:.200} is being written by too many others: try again later")

    async def read_range(self, path: str, start: int, end: int | None = None) -> str:
        """Returns the text between two byte offsets; without `end`, to the end of the file.

        A negative `start` counts from the end, as in AG2's own in-memory store. A file that does
        not exist is empty.
        """
        for name, offset in (("start", start), ("end", 0 if end is None else end)):
            check_type(offset, int, name)
        history = self._history(_normal(path))
        whole = (await self._end(history)).offset
        stop = whole if end is None else min(end, whole)
        if start >= stop:
            return ""
        start, stop, _ = slice(start, stop).indices(whole)
        if start >= stop:
            return ""
        pieces = await self._pieces(history, start, stop, backwards=start > whole / 2)
        first = pieces[0].value["offset"]
        raw = b"".join(_bytes(_text(piece)) for piece in pieces)
        return raw[start - first : stop - first].decode("utf-8", "surrogatepass")

    async def _pieces(
        self, history: AsyncHistory, start: int, stop: int, *, backwards: bool
    ) -> Sequence[Item]:
        """Returns the pieces that contain a range of bytes, and perhaps more."""
        pieces: builtins.list[Item] = []
        if backwards:
            async for item in history.newest_first():
                pieces.append(item)
                if item.value["offset"] <= start:
                    break
            return pieces[::-1]
        while not pieces or pieces[-1].value["offset"] < stop:
            page = await history.read(after=pieces[-1].seq if pieces else 0, limit=_PAGE)
            pieces += page
            if len(page) < _PAGE:
                break
        return pieces

    async def list(self, path: str = "/") -> builtins.list[str]:
        """Returns the names in a folder; those of folders end with a slash."""
        folder = self._name(_normal(path)).rstrip("/") + "/"
        children = set()
        for info in await self.connection.async_memory.list_histories(folder):
            if info.count:
                child, slash, _ = info.name[len(folder) :].partition("/")
                children.add(child + slash)
        return sorted(children)

    async def exists(self, path: str) -> bool:
        """Returns whether a file or a folder exists."""
        normal = _normal(path)
        return bool(await self._history(normal).count()) or bool(await self.list(normal))

    async def delete(self, path: str) -> None:
        """Deletes a file, or a folder and its contents; a no-op if it is missing.

        A few files are deleted in one step, and many in several.
        """
        name = self._name(_normal(path)).rstrip("/")
        memory = self.connection.async_memory
        files = [
            info.name
            for info in await memory.list_histories(name)
            if info.count and (info.name == name or info.name.startswith(name + "/"))
        ]
        for batch in in_batches(files, PART, len):
            async with memory.transaction() as tx:
                for file in batch:
                    # Sequence numbers are never reused, so this piece makes a writer that remembers
                    # the old end of the file notice that the end has moved.
                    tx.history(file).append(_piece("", 0))
                    tx.history(file).clear()
        self._ends.clear()

    async def on_change(self, path: str, callback: ChangeCallback) -> ChangeSubscription:
        """Calls `callback` with each path that changes, for a file or everything in a folder.

        It sees the changes of all processes from now on, until the subscription is closed. An error
        that the callback raises is logged.
        """
        after = await self.connection.async_memory.revision()
        watched = self._name(_normal(path))
        return _Subscription(asyncio.create_task(self._watch(watched, after, callback)))

    async def _watch(self, watched: str, after: int, callback: ChangeCallback) -> None:
        while True:
            memory = self.connection.async_memory
            try:
                async for change in memory.watch(watched, after=after, poll=self._poll):
                    after = change.revision
                    name = change.name if change.action != "reset" else watched
                    if change.shape != "history" and change.action != "reset":
                        continue
                    if name == watched or name.startswith(watched.rstrip("/") + "/"):
                        await self._call(callback, name[len(self._prefix) :] or "/")
            except BotWireError as error:
                logger.warning("%r could not read changes and will retry: %r", self, error)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _call(self, callback: ChangeCallback, path: str) -> None:
        try:
            await callback(path)
        except Exception:
            logger.exception("a callback for changes of %r failed", path)

    async def _end(self, history: AsyncHistory) -> _End:
        info = await history.info()
        # If someone writes between these two reads, an append to this end is a conflict.
        offset = 0
        for last in await history.tail(1):
            offset = last["offset"] + len(_bytes(last["text"]))
        return _End(info.last_seq, offset)

    def _name(self, normal: str) -> str:
        return self._prefix + normal

    def _history(self, normal: str) -> AsyncHistory:
        return self.connection.async_memory.history(self._name(normal))


class _Subscription:
    """A subscription, as `on_change` returns it."""

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self._task = task

    async def close(self) -> None:
        """Stops calling the callback."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


def _normal(path: str) -> str:
    """Returns a path as AG2's own stores write it: one slash before each part."""
    return "/" + "/".join(part for part in check_string(path, "path").split("/") if part)


def _piece(text: str, offset: int) -> dict[str, Any]:
    return {"text": check_type(text, str, "content"), "offset": offset}


def _text(item: Item) -> str:
    text: str = item.value["text"]
    return text


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
