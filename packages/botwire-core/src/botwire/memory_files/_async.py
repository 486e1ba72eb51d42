"""The commands of the memory tool on the keys of a memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from botwire.client import AsyncMemory
from botwire.errors import ConflictError
from botwire.memory_files import commands
from botwire.models import Entry

_ATTEMPTS = 100  # when others keep writing first


class AsyncMemoryFiles:
    """Text files that a model reads and edits, stored as the keys ``/memories/…`` of a memory.

    Each command returns the text for the model. An edit is a compare-and-set: if two agents edit a
    file at the same time, both edits take effect.

    Args:
        memory: The memory.
    """

    def __init__(self, memory: AsyncMemory) -> None:
        self.memory = memory

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.memory!r})"

    async def run(self, command: Mapping[str, Any]) -> str:
        """Runs a command in the form a model sends: ``{"command": "view", "path": "/memories"}``.

        Raises:
            FileCommandError: The command is refused, or its arguments are wrong.
        """
        name, arguments = commands.read_command(command)
        answer: str = await getattr(self, name)(**arguments)
        return answer

    async def view(self, path: str, view_range: Sequence[int] | None = None) -> str:
        """Returns the lines of a file, or the contents of a folder, two levels deep.

        Args:
            path: The path.
            view_range: The first and the last line to show; -1 is the end.

        Raises:
            FileCommandError: The path does not exist.
        """
        key = commands.to_key(path)
        if key != commands.ROOT:
            try:
                text = commands.text_of(await self.memory.get(key), path)
            except commands.NoSuchFileError:
                if not await self._is_folder(key):
                    raise
            else:
                return commands.view_file(path, text, view_range)
        found = self.memory.iter_entries(commands.inside(key))
        return commands.view_folder(path, key, [(one.key, one.value) async for one in found])

    async def create(self, path: str, file_text: str) -> str:
        """Creates a file and the folders above it.

        Raises:
            FileCommandError: The path exists.
        """
        key = commands.to_key(path)
        for attempt in range(1, _ATTEMPTS + 1):
            if key == commands.ROOT or await self._exists(key):
                raise commands.exists_already(path)
            try:
                async with self.memory.transaction() as tx:
                    await self._check_folders(tx, key)
                    tx.set(key, file_text, if_version=0)
            except ConflictError:
                if attempt == _ATTEMPTS:
                    raise
            else:
                break
        return commands.created(path)

    async def str_replace(self, path: str, old_str: str, new_str: str) -> str:
        """Replaces a part of a file that appears in it exactly once.

        Raises:
            FileCommandError: The file does not exist, or the part does not appear exactly once.
        """
        return await self._edit(path, lambda text: commands.replace(path, text, old_str, new_str))

    async def insert(self, path: str, insert_line: int, insert_text: str) -> str:
        """Inserts lines after a line of a file; 0 means at the beginning.

        Raises:
            FileCommandError: The file or the line does not exist.
        """
        return await self._edit(
            path, lambda text: commands.insert(path, text, insert_line, insert_text)
        )

    async def delete(self, path: str) -> str:
        """Deletes a file, or a folder with everything in it.

        Raises:
            FileCommandError: The path does not exist, or is the root.
        """
        key = commands.deletable(path)
        if not (await self.memory.delete(key) or await self.memory.clear(commands.inside(key))):
            raise commands.not_found(path)
        return commands.deleted(path)

    async def rename(self, old_path: str, new_path: str) -> str:
        """Renames or moves a file, or a folder with everything in it, atomically.

        Raises:
            FileCommandError: The path does not exist, or the new path does.
        """
        old, new = commands.renamable(old_path, new_path)
        for attempt in range(1, _ATTEMPTS + 1):
            if new == commands.ROOT or await self._exists(new):
                raise commands.destination_exists(new_path)
            entries = await self._entries(old)
            if not entries:
                raise commands.not_found(old_path)
            try:
                async with self.memory.transaction() as tx:
                    await self._check_folders(tx, new)
                    for entry in entries:
                        tx.delete(entry.key, if_version=entry.version)
                        tx.set(new + entry.key[len(old) :], entry.value, if_version=0)
            except ConflictError:
                if attempt == _ATTEMPTS:
                    raise
            else:
                break
        return commands.renamed(old_path, new_path)

    async def clear(self) -> str:
        """Deletes every file. Other keys stay."""
        await self.memory.clear(commands.inside(commands.ROOT))
        return commands.cleared()

    async def _edit(self, path: str, edit: Callable[[str], tuple[str, str]]) -> str:
        key = commands.to_key(path)
        if key == commands.ROOT:
            raise commands.not_a_file(path)
        answer = ""

        def change(value: Any) -> str:
            nonlocal answer
            text, answer = edit(commands.text_of(value, path))
            return text

        try:
            await self.memory.update(key, change)
        except commands.NoSuchFileError:
            if await self._is_folder(key):
                raise commands.not_a_file(path) from None
            raise
        return answer

    async def _check_folders(self, tx: Any, key: str) -> None:
        for folder in commands.folders_above(key):
            if await tx.get(folder) is not None:
                raise commands.not_a_folder(folder)

    async def _exists(self, key: str) -> bool:
        return await self.memory.exists(key) or await self._is_folder(key)

    async def _is_folder(self, key: str) -> bool:
        return await self.memory.count(commands.inside(key)) > 0

    async def _entries(self, key: str) -> list[Entry]:
        """Returns the file at a key, or the files in the folder of that name."""
        entry = await self.memory.entry(key)
        if entry is not None:
            return [entry]
        return [entry async for entry in self.memory.iter_entries(commands.inside(key))]
