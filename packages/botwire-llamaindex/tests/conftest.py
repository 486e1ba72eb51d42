"""Fixtures for the tests of LlamaIndex."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tests.zygote import LLAMAINDEX, Zygote, zygote_of


@pytest.fixture(scope="session")
def zygote() -> Zygote:
    """Runs programs that need not import LlamaIndex first, which takes seconds."""
    return zygote_of(*LLAMAINDEX)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    """The database of the stock `Memory`, which would not close one of its own."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'stock.db'}")
    yield engine
    await engine.dispose()
