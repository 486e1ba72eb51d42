"""deepagents: files of agents against its own StoreBackend on LangGraph's SqliteStore.

Each side runs with its defaults: BotWire syncs what it reports as stored, while SqliteStore leaves
that to SQLite's write-ahead log.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from deepagents.backends import StoreBackend
from langgraph.store.sqlite import SqliteStore

from benchmarks.comparing import Compare
from botwire_langgraph import BotWireBackend

ROUNDS = 50
MANY = 1_000
TEXT = "word " * 40


def rows(compare: Compare) -> None:
    """Measures both sides on the same work.

    Args:
        compare: Prints a row.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours = _Folder(BotWireBackend("bench", url=f"sqlite:///{folder / 'ours.db'}"))
        with SqliteStore.from_conn_string(str(folder / "theirs.db")) as store:
            store.setup()
            theirs = _Folder(StoreBackend(store=store, namespace=lambda _: ("files",)))
            for files in (10, MANY):
                for side in (ours, theirs):
                    side.fill(files)
                compare(f"deepagents: edit, {files} files", ours.edit, theirs.edit, 5)
                compare(f"deepagents: ls, {files} files", ours.ls, theirs.ls, 1)
                compare(f"deepagents: grep, {files} files", ours.grep, theirs.grep, 1)


class _Folder:
    """A backend with files in ten folders, of which an agent works in one."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.count = 0

    def fill(self, files: int) -> None:
        for number in range(files):
            self.backend.write(f"/{number % 10}/{number}.md", f"{TEXT}\n{self.count}")

    def edit(self) -> None:
        answer = self.backend.edit("/5/5.md", f"\n{self.count}", f"\n{self.count + 1}")
        if answer.error:
            raise RuntimeError(answer.error)
        self.count += 1

    def ls(self) -> None:
        self.backend.ls("/5")

    def grep(self) -> None:
        self.backend.grep(str(self.count), "/5")


if __name__ == "__main__":
    rows(Compare(ROUNDS))
