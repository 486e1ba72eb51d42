"""LangGraph's own suite for checkpointers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from langgraph.checkpoint.conformance import checkpointer_test, validate

from botwire_langgraph import BotWireSaver

CAPABILITIES = {
    "put", "put_writes", "get_tuple", "list", "delete_thread", "delete_for_runs", "copy_thread",
    "prune",
}  # fmt: skip


@pytest.mark.anyio
async def test_every_capability_is_found_and_passes(place_url: str, namespace: str) -> None:
    made = 0

    @checkpointer_test(name="BotWireSaver")
    async def saver() -> AsyncIterator[BotWireSaver]:
        nonlocal made
        made += 1
        yield BotWireSaver(f"{namespace}-{made}", url=place_url)

    report = await validate(saver)
    # A capability that is not detected counts as passed there: it must be detected here.
    assert {name for name, result in report.results.items() if result.detected} >= CAPABILITIES
    failures = {name: result.failures for name, result in report.results.items() if result.failures}
    assert failures == {}
    assert report.passed_all_base()
    assert made > 0
