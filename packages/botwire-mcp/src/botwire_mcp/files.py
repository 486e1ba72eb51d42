"""The tool on files: Anthropic's memory tool, word for word."""

from __future__ import annotations

from typing import ClassVar, Literal

from botwire import AsyncMemory
from botwire.memory_files import AsyncMemoryFiles
from botwire_mcp import bounds
from botwire_mcp.tool import Answer, MemoryTool


class Files(MemoryTool):
    """Text files under /memories: view, create, str_replace, insert, delete, rename."""

    name: ClassVar[str] = "memory"
    repeatable: ClassVar[bool] = False
    nothings: ClassVar = (None,)  # a file may be empty, and so may what replaces a text
    answers: ClassVar[dict[str, str]] = {"text": "string"}

    command: Literal["view", "create", "str_replace", "insert", "delete", "rename"]
    path: str | None = None
    view_range: list[int] | None = None
    file_text: str | None = None
    old_str: str | None = None
    new_str: str | None = None
    insert_line: int | None = None
    insert_text: str | None = None
    old_path: str | None = None
    new_path: str | None = None

    async def run(self, memory: AsyncMemory) -> Answer:
        """Runs the command."""
        command = self.model_dump(exclude_none=True)
        text = await AsyncMemoryFiles(memory).run(command)
        if len(text) > bounds.MAX_CHARS // 2:
            text = bounds.cut(text, bounds.MAX_CHARS // 2) + "\nUse view_range to read the rest."
        return {"text": text}


class ViewFiles(Files):
    """Text files under /memories: view."""

    reads: ClassVar[bool] = True

    command: Literal["view"]
