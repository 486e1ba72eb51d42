"""A server removes what expired, also while nobody writes."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from botwire import Memory
from botwire.clock import now
from botwire.engines.async_sqlite import AsyncSQLiteEngine
from botwire.engines.sqlite import SQLiteEngine
from botwire_server import sweeping
from botwire_server.app import create_app


class Engine(AsyncSQLiteEngine):
    """Says when it was swept."""

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
    store._writing().execute("PRAGMA query_only=1")
    engine = Engine(store)
    app = create_app(engine)
    with sqlite3.connect(tmp_path / "memory.db") as raw:
        async with app.router.lifespan_context(app):
            for expected in (1, 0):
                engine.swept.clear()
                await engine.swept.wait()
                count = raw.execute("SELECT count(*) FROM botwire_keys").fetchone()
                assert count == (expected,)
                store._writing().execute("PRAGMA query_only=0")
    assert "could not be removed now" in caplog.text
