"""Export, import, backup and forget, against what a user would write or run instead, in CPU time.

The baseline of an export selects the same rows and writes the same fields; that of an import
inserts them without checking what is there; both with plain `sqlite3` and `json`. Backup, and the
rewrite that `botwire forget` does, are compared with a plain copy of the file, in wall-clock time,
since they wait for the disk.
"""

from __future__ import annotations

import contextlib
import json
import resource
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from botwire import Memory, transfer
from botwire.engines.sqlite import SQLiteEngine

ITEMS = 50_000
TEXT = "some words of a message " * 8
COLUMNS = "namespace, history, seq, id, value_json, created_at"


def main() -> None:
    """Prints a row for each."""
    print(f"{'':34} {'BotWire':>12} {'baseline':>12} {'ratio':>6}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        engine = SQLiteEngine(folder / "store.db")
        history = Memory("n", engine=engine).history("h")
        for start in range(0, ITEMS, 5_000):
            history.extend([{"i": i, "text": TEXT} for i in range(start, start + 5_000)])
        file = folder / "export.ndjson"
        row("export", lambda: _export(engine, file), lambda: _bare_export(folder), ITEMS)
        other = SQLiteEngine(folder / "other.db")
        row("import", lambda: _load(other, file), lambda: _bare_import(folder, file), ITEMS)
        row("import again", lambda: _load(other, file), None, ITEMS)
        size = (folder / "store.db").stat().st_size
        copied = folder / "copied.db"
        row(
            f"backup of {size // 10**6} MB",
            lambda: transfer.backup(engine, folder / "backup.db"),
            lambda: _plain_copy(folder / "store.db", copied),
            clock=time.perf_counter,
        )
        row(
            f"forget, rewriting {size // 10**6} MB",
            lambda: transfer.forget(engine, "nobody"),
            lambda: _plain_copy(folder / "store.db", copied),
            clock=time.perf_counter,
        )
        row("forget --no-rewrite", lambda: transfer.forget(engine, "none", rewrite=False), None)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"peak memory {peak} MB, for {file.name} with {ITEMS:,} items")


def row(
    name: str,
    ours: Callable[[], object],
    bare: Callable[[], object] | None,
    count: int = 0,
    clock: Callable[[], float] = time.process_time,
) -> None:
    """Runs both once and prints how long they took; with a count, also how many per second."""
    spent = []
    for work in (ours, bare):
        started = clock()
        if work is not None:
            work()
        spent.append(clock() - started)
    mine, theirs = spent
    compared = f"{theirs:10.2f} s {mine / theirs:6.1f}" if bare else ""
    each = f"  {count / mine:,.0f} per second" if count else ""
    print(f"{name:34} {mine:10.2f} s {compared}{each}")


def _export(engine: SQLiteEngine, file: Path) -> None:
    with file.open("wb") as raw:
        transfer.export(engine, raw)


def _load(engine: SQLiteEngine, file: Path) -> None:
    with file.open("rb") as raw:
        transfer.load(engine, raw)


def _bare_export(folder: Path) -> None:
    with (
        contextlib.closing(sqlite3.connect(folder / "store.db")) as database,
        (folder / "bare.ndjson").open("w") as file,
    ):
        for namespace, history, seq, id, value, created_at in database.execute(
            f"SELECT {COLUMNS} FROM botwire_items ORDER BY namespace, history, seq"  # noqa: S608 - a constant
        ):
            line = {
                "namespace": namespace.decode(),
                "history": history.decode(),
                "seq": seq,
                "id": id,
                "value": json.loads(value),
                "created_at": created_at,
            }
            file.write(json.dumps(line) + "\n")


def _bare_import(folder: Path, file: Path) -> None:
    with contextlib.closing(sqlite3.connect(folder / "bare.db")) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute(
            "CREATE TABLE items (namespace BLOB, history BLOB, seq BIGINT, id BLOB, "
            "value_json TEXT, created_at TEXT, PRIMARY KEY (namespace, history, seq))"
        )
        with file.open("rb") as raw, database:
            for text in raw:
                line = json.loads(text)
                if line["type"] == "item":
                    value = json.dumps(line["value"])
                    database.execute(
                        "INSERT INTO items VALUES (?, ?, ?, ?, ?, ?)",
                        (
                            line["namespace"].encode(),
                            line["history"].encode(),
                            line["seq"],
                            line["id"],
                            value,
                            line["created_at"],
                        ),
                    )


def _plain_copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    with target.open("rb+") as file:
        file.flush()


if __name__ == "__main__":
    main()
