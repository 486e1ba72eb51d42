"""Sessions of the Claude Agent SDK, mirrored into BotWire as they are written."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Unpack

from claude_agent_sdk import (
    SessionKey,
    SessionListSubkeysKey,
    SessionStore,
    SessionStoreEntry,
    SessionStoreListEntry,
    SessionSummaryEntry,
    fold_session_summary,
)

from botwire import AsyncHistory, ConfigurationError, ConflictError, HistoryInfo
from botwire.arguments import check_mapping
from botwire.connection import Connected, ConnectionOptions
from botwire.deleting import adelete_in_parts
from botwire.names import join_parts
from botwire.off_loop import off_loop
from botwire.operations import read_ttl
from botwire_claude.convert import FRAMEWORK, from_items, to_items

_ATTEMPTS = 100  # for an append that others overtake
_LONGEST = 2000  # characters of a text in a summary, because metadata is small


class BotWireSessionStore(Connected, SessionStore, framework="claude"):
    """A `claude_agent_sdk.SessionStore` on BotWire: sessions outlive the machine they ran on.

    ::

        store = BotWireSessionStore("user-42", url="https://memory.example.com")
        options = ClaudeAgentOptions(session_store=store, session_store_flush="eager")

    A transcript is a history, so another framework's adapter continues a session under
    `history_name`.

    Args:
        namespace: The namespace of the sessions. Defaults to the client's, then to
            ``BOTWIRE_NAMESPACE``, then to ``default``.
        ttl: Seconds that a transcript is kept after its last entry; None: forever.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    def __init__(
        self,
        namespace: str | None = None,
        *,
        ttl: float | None = None,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        super().__init__(namespace, **connection)
        self.ttl = read_ttl(ttl)

    @staticmethod
    def history_name(key: SessionKey) -> str:
        """Returns the name of the history that holds a transcript.

        Raises:
            ConfigurationError: The key is not a dict, or a part of it is missing or empty.
        """
        if check_mapping(key, "key").get("session_id") is None:
            raise ConfigurationError(f"a session key needs a session_id: {key!r:.200}")
        return join_parts("claude", *_parts(key))

    async def append(self, key: SessionKey, entries: list[SessionStoreEntry]) -> None:
        """Stores entries at the end of a transcript, all or none.

        An entry whose uuid is already stored is not stored again. The summary of the session
        changes in the same transaction.

        Raises:
            NotJSONError: An entry would not come back equal; the error says which and where.
        """
        history = self._history(key)
        items, ids = await off_loop(to_items, entries)
        if not items:
            return
        for attempt in range(1, _ATTEMPTS + 1):
            info = await history.info()
            about = await self._about(key, info)
            expected = list(range(info.last_seq + 1, info.last_seq + 1 + len(items)))
            about = _fold(about, key, entries) | {"last": expected[-1]}
            try:
                async with self.connection.async_memory.transaction() as tx:
                    written = tx.history(history.name, ttl=self.ttl)
                    written.extend(items, ids=ids, if_last=info.last_seq)
                    written.set_metadata(about, if_version=info.metadata_version)
            except ConflictError:  # another process was faster
                if attempt == _ATTEMPTS:
                    raise
                await asyncio.sleep(0.001 * min(attempt, 20))
            else:
                if list(tx.results[0]) != expected:
                    await self._recount(key)
                return

    async def load(self, key: SessionKey) -> list[SessionStoreEntry] | None:
        """Returns the entries of a transcript in order, or None if there are none.

        Messages stored by other frameworks become entries too.
        """
        items = await self._history(key).read()
        return await off_loop(from_items, items, key["session_id"]) or None

    async def list_sessions(self, project_key: str) -> list[SessionStoreListEntry]:
        """Returns the id of each session of a project, and when it last changed."""
        return [
            {"session_id": info.metadata["session_id"], "mtime": _milliseconds(info)}
            for info in await self._transcripts({"project_key": project_key})
        ]

    async def list_session_summaries(self, project_key: str) -> list[SessionSummaryEntry]:
        """Returns the summary of each session of a project."""
        return [
            _summary(info.metadata, _milliseconds(info))
            for info in await self._transcripts({"project_key": project_key})
        ]

    async def list_subkeys(self, key: SessionListSubkeysKey) -> list[str]:
        """Returns the subpath of each transcript of a session's subagents."""
        return [info.metadata["subpath"] for info in await self._transcripts(key)]

    async def delete(self, key: SessionKey) -> None:
        """Deletes a transcript; for a session, also those of its subagents.

        Thousands of subagents take several steps.
        """
        names = [self.history_name(key)]
        if key.get("subpath") is None:
            names += [info.name for info in await self._transcripts(key)]
        await adelete_in_parts(self.connection.async_memory, (), histories=names[::-1])

    def _history(self, key: SessionKey) -> AsyncHistory:
        return self.connection.async_memory.history(self.history_name(key), ttl=self.ttl)

    async def _transcripts(self, key: Mapping[str, Any]) -> list[HistoryInfo]:
        """Returns the transcripts one part below a key."""
        prefix = join_parts("claude", *_parts(key)) + "/"
        found = await self.connection.async_memory.list_histories(prefix)
        return [
            info
            for info in found
            if info.metadata.get("framework") == FRAMEWORK and "/" not in info.name[len(prefix) :]
        ]

    async def _about(self, key: SessionKey, info: HistoryInfo) -> Mapping[str, Any] | None:
        """Returns the summary of a transcript; None if nothing is stored.

        If another framework has written since, it is recomputed from the entries.
        """
        if not info.last_seq or info.metadata.get("last") == info.last_seq:
            return info.metadata or None
        items = await self._history(key).read()
        return _fold(None, key, await off_loop(from_items, items, key["session_id"]))

    async def _recount(self, key: SessionKey) -> None:
        """Rebuilds a summary: some entries were stored before and must not count twice."""
        info = await self._history(key).info()
        about = await self._about(key, info._replace(metadata={}))
        with suppress(ConflictError):  # the process that was faster has read the entries too
            await self._history(key).set_metadata(
                {**(about or {}), "last": info.last_seq}, if_version=info.metadata_version
            )


def _fold(
    before: Mapping[str, Any] | None, key: SessionKey, entries: list[SessionStoreEntry]
) -> dict[str, Any]:
    """Returns the metadata of a transcript, updated with more entries."""
    about: dict[str, Any] = {"framework": FRAMEWORK, **key}
    if key.get("subpath") is None:
        summary = None if before is None else _summary(before, 0)
        data = fold_session_summary(summary, key, entries)["data"]
        about["summary"] = {
            name: value[:_LONGEST] if isinstance(value, str) else value
            for name, value in data.items()
        }
    return about


def _summary(metadata: Mapping[str, Any], mtime: int) -> SessionSummaryEntry:
    data = dict(metadata.get("summary", {}))
    return {"session_id": metadata["session_id"], "mtime": mtime, "data": data}


def _milliseconds(info: HistoryInfo) -> int:
    assert info.updated_at is not None  # it has items
    return int(info.updated_at.timestamp() * 1000)


def _parts(key: Mapping[str, Any]) -> list[str]:
    parts: list[str] = []
    check_mapping(key, "key")
    for name in ("project_key", "session_id", "subpath"):
        part = key.get(name)
        if part is None and parts:
            break
        if not isinstance(part, str) or not part:
            raise ConfigurationError(
                f"the {name} of a session must be a non-empty string: {part!r}"
            )
        parts.append(part)
    return parts
