"""The tool that shows what memory holds: first counts, then names."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from botwire import AsyncMemory
from botwire.memory_files import ROOT
from botwire_mcp import bounds
from botwire_mcp.tool import Answer, MemoryTool, RefusedError

_PAGE = 200  # names in an answer
_COUNTED = 1_000  # most histories to count
_TOPICS = 30
_FILES = ROOT + "/"


class List(MemoryTool):
    """What memory holds: counts and topics, or with kind the names, page by page."""

    name: ClassVar[str] = "list"
    reads: ClassVar[bool] = True
    answers: ClassVar[dict[str, str]] = {
        "counts": "object",
        "names": "array",
        "more": "string",
        "searched": "string",
    }

    kind: Literal["notes", "keys", "files", "histories"] | None = None
    prefix: str = ""
    after: str | None = None
    max_chars: int = bounds.DEFAULT_CHARS

    async def run(self, memory: AsyncMemory) -> Answer:
        """Counts everything, or lists the names of one kind."""
        if self.kind is None:
            return await _overview(memory)
        if self.kind == "notes":
            rows, following = await self._notes(memory)
        elif self.kind == "histories":
            rows, following = await self._histories(memory)
        else:
            rows, following = await self._keys(memory)
        names = bounds.fit(rows, self.max_chars)
        answer: Answer = {"names": names}
        if len(names) < len(rows) or following:
            answer["more"] = f"there are more: after={self._cursor(names, len(names))!r}"
        if not names:
            below = f" that start with {self.prefix!r:.200}" if self.prefix else ""
            answer["searched"] = f"{self.kind}{below} in namespace {memory.namespace!r}: none"
        return answer

    def _cursor(self, names: list[dict[str, Any]], count: int) -> str:
        if self.kind == "notes":
            return str(self._skipped() + count)
        last = names[-1]
        return str(last.get("history", last.get("name")))

    def _skipped(self) -> int:
        try:
            return int(self.after or 0)
        except ValueError:
            raise RefusedError("after must be the one that `more` named") from None

    async def _notes(self, memory: AsyncMemory) -> tuple[list[dict[str, Any]], bool]:
        scope = self.prefix or None
        found = await memory.records().list(
            scope=scope, limit=_PAGE + 1, offset=self._skipped(), embeddings=False
        )
        rows = [
            {"id": one.id, "about": one.scope, "text": bounds.cut(one.text, 100)}
            for one in found[:_PAGE]
        ]
        return rows, len(found) > _PAGE

    async def _histories(self, memory: AsyncMemory) -> tuple[list[dict[str, Any]], bool]:
        after = None if self.after is None else await memory.history(self.after).info()
        found = await memory.list_histories(
            self.prefix, order="updated", descending=True, after=after, limit=_PAGE + 1
        )
        rows = [
            {
                "history": one.name,
                "messages": one.count,
                "updated": f"{one.updated_at:%Y-%m-%d %H:%M}",
            }
            for one in found[:_PAGE]
        ]
        return rows, len(found) > _PAGE

    async def _keys(self, memory: AsyncMemory) -> tuple[list[dict[str, Any]], bool]:
        is_file = self.kind == "files"
        prefix = self.prefix
        if is_file and not prefix.startswith(_FILES):
            prefix = _FILES
        rows: list[dict[str, Any]] = []
        async for key in memory.iter_keys(prefix, after=self.after):
            if key.startswith(_FILES) != is_file:
                continue
            if len(rows) == _PAGE:
                return rows, True
            rows.append({"name": key})
        return rows, False


async def _overview(memory: AsyncMemory) -> Answer:
    records = memory.records()
    files = await memory.count(_FILES)
    histories = await memory.list_histories(limit=_COUNTED)
    topics = {}
    for scope in (await records.scopes())[:_TOPICS]:
        topics[scope] = await records.count(scope=scope)
    counts: dict[str, Any] = {
        "namespace": memory.namespace,
        "notes": await records.count(),
        "topics": topics,
        "keys": await memory.count() - files,
        "files": files,
        "histories": len(histories),
    }
    answer: Answer = {"counts": counts}
    if len(histories) == _COUNTED:
        answer["more"] = f"there are at least {_COUNTED:,} histories"
    return answer
