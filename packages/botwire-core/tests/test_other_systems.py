"""macOS and Windows: what differs there and can be seen here."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from botwire import AsyncMemory, Memory, transfer
from botwire.engines.sqlite import SQLiteEngine
from botwire.engines.sqlite.file import SQLiteFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "memory.db"


def test_macos_syncs_the_disk_too(path: Path) -> None:
    """SQLite ignores the setting on all other systems, but keeps it."""
    file = SQLiteFile(str(path), read_only=False)
    for connection in (file.connect(), file.connect_to_write()):
        assert connection.execute("PRAGMA fullfsync").fetchone() == (1,)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
        connection.close()


@pytest.mark.skipif(sys.platform == "win32", reason="it behaves so by itself")
def test_windows_syncs_only_files_that_are_open_for_writing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    fsync, synced = os.fsync, []

    def fsync_of_windows(file: int) -> None:
        if fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        synced.append(file)
        fsync(file)

    monkeypatch.setattr(os, "fsync", fsync_of_windows)
    engine = SQLiteEngine(path)
    Memory("n", engine=engine).set("k", 1)
    transfer.backup(engine, path.with_name("backup.db"))
    engine.close()
    assert synced


@pytest.mark.anyio
async def test_windows_reaches_postgresql_from_any_event_loop(
    postgres_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event loop that Windows has by default is none that psycopg works on."""
    from botwire.engines.threaded import ThreadedEngine

    monkeypatch.setattr(sys, "platform", "win32")
    memory = AsyncMemory("n", url=postgres_database_url)
    monkeypatch.undo()
    assert isinstance(memory.engine, ThreadedEngine)
    async with memory:
        await memory.set("k", 1)
        assert await memory.get("k") == 1


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="sets the folder as on Linux")
def test_a_data_folder_with_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BOTWIRE_URL", raising=False)
    for name in ("100%25 sure", "what?", "#1", "\u00fc \u732b"):
        folder = tmp_path / name
        monkeypatch.setenv("XDG_DATA_HOME", str(folder))
        with Memory("n") as memory:
            memory.set("k", 1)
        assert (folder / "botwire" / "memory.db").is_file()


@pytest.mark.skipif(sys.platform == "win32", reason="there, two slashes begin the name of a host")
def test_a_path_with_two_slashes_in_front(path: Path) -> None:
    with Memory("n", url=f"sqlite:////{path}") as memory:
        memory.set("k", 1)
        with Memory("n", url=f"sqlite:////{path}?mode=ro") as reader:
            assert reader.get("k") == 1
