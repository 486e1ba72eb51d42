"""A server removes expired data even without writes, and old entries of the audit log."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import pytest

from botwire import Memory
from botwire import operations as ops
from botwire.clock import now
from botwire.engines.sqlite import SQLiteEngine
from botwire.engines.sqlite.awaited import AsyncSQLiteEngine
from botwire.exact import Json
from botwire.names import SYSTEM_NAMESPACE
from botwire.operations.terms import AUDIT_LOG
from botwire_server import sweeping
from botwire_server.api_keys import KeyStore
from botwire_server.app import create_app
from botwire_server.settings import Settings
from tests.stores import Clock


class Engine(AsyncSQLiteEngine):
    """An engine that records its sweeps."""

    def __init__(self, engine: SQLiteEngine) -> None:
        super().__init__(engine)
        self.swept = asyncio.Event()

    async def sweep(self) -> None:
        try:
            await super().sweep()
        finally:
            self.swept.set()


async def test_a_server_sweeps_by_itself_and_goes_on_after_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sweeping, "SWEEP_SECONDS", 0.001)
    late = 3_600_000_000
    store = SQLiteEngine(tmp_path / "memory.db", clock=lambda: now() + late)
    Memory("n", engine=store).set("k", 1, ttl=60)
    late *= 2
    store._writer.open().execute("PRAGMA query_only=1")
    engine = Engine(store)
    app = create_app(engine)
    with contextlib.closing(sqlite3.connect(tmp_path / "memory.db")) as raw, raw:
        async with app.router.lifespan_context(app):
            for expected in (1, 0):
                engine.swept.clear()
                await engine.swept.wait()
                count = raw.execute("SELECT count(*) FROM botwire_keys").fetchone()
                assert count == (expected,)
                store._writer.open().execute("PRAGMA query_only=0")
    assert "could not be deleted" in caplog.text


@pytest.mark.parametrize("days", [3, 0])
async def test_the_audit_log_forgets_what_is_old_and_nothing_that_is_younger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    monkeypatch.setattr(sweeping, "SWEEP_SECONDS", 0.001)
    clock = Clock()
    engine = Engine(SQLiteEngine(tmp_path / "memory.db", clock=clock))
    keys = KeyStore(engine)
    # The second to last comes from a machine whose clock is behind.
    for hours_ago, event in ((80, "old"), (73, "old"), (71, "young"), (74, "behind"), (1, "new")):
        clock.time = now() - hours_ago * 3_600_000_000
        entries = (Json.of({"event": event}),) * (1_100 if event == "old" else 1)
        append = ops.ExtendHistory(AUDIT_LOG, entries)
        await engine.apply(ops.Batch(SYSTEM_NAMESPACE, (append,)))
    app = create_app(engine, Settings(audit_days=days))
    async with app.router.lifespan_context(app):
        for _ in range(3):  # the trimming of the first sweep is done before the third
            engine.swept.clear()
            await engine.swept.wait()
        left = [entry["event"] for entry in await keys.audit(5_000)]
    assert left == ["old"] * (0 if days else 2_200) + ["young", "behind", "new"]


async def test_the_size_of_the_store_is_noted_once_in_six_hours(tmp_path: Path) -> None:
    blocking = SQLiteEngine(tmp_path / "memory.db")
    Memory("user-123", engine=blocking).set("k", "x" * 1000)
    engine = AsyncSQLiteEngine(blocking)
    at = now()
    at -= at % (sweeping.SIZE_HOURS * 3600 * 1_000_000)
    for later in (0, 1, sweeping.SIZE_HOURS * 3600 * 1_000_000):
        await sweeping.note_size(engine, at + later)
    batch = ops.Batch(SYSTEM_NAMESPACE, (ops.ScanKeys(sweeping.SIZES),))
    (page,) = await engine.apply(batch)
    assert [entry.value.value[1] for entry in page.entries] == [1, 1]  # namespaces
    assert all(entry.value.value[0] > 1000 for entry in page.entries)
    assert all(entry.expires_at is not None for entry in page.entries)
    await engine.aclose()
