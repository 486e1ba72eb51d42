"""LangGraph's own suite for checkpointers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.conformance import checkpointer_test, validate

from botwire_langgraph import BotWireSaver

CAPABILITIES = {
    "put", "put_writes", "get_tuple", "list", "delete_thread", "delete_for_runs", "copy_thread",
    "prune",
}  # fmt: skip


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("place", "on_conflict"),
    [("file", "reject"), ("file", "fork"), ("server_url", "reject"), ("postgres_url", "reject")],
)
async def test_every_capability_is_found_and_passes(
    place: str, on_conflict: Any, request: pytest.FixtureRequest, tmp_path: Path, namespace: str
) -> None:
    url = f"sqlite:///{tmp_path / 'memory.db'}"
    if place != "file":  # a server in another process, PostgreSQL
        url = str(request.getfixturevalue(place))
    made = 0

    @checkpointer_test(name="BotWireSaver")
    async def saver() -> AsyncIterator[BotWireSaver]:
        nonlocal made
        made += 1
        yield BotWireSaver(f"{namespace}-{made}", url=url, on_conflict=on_conflict)

    report = await validate(saver)
    # The suite counts an undetected capability as passed, so it must be detected here.
    assert {name for name, result in report.results.items() if result.detected} == CAPABILITIES
    failures = {name: result.failures for name, result in report.results.items() if result.failures}
    assert failures == {}
    assert report.passed_all_base()
    assert report.passed_all()
    assert made > 0


def test_nothing_of_the_base_class_is_left_out() -> None:
    """The suite lacks delta channel history, and tests only the asynchronous half."""
    pairs = {name for name in vars(BaseCheckpointSaver) if f"a{name}" in vars(BaseCheckpointSaver)}
    assert pairs >= CAPABILITIES | {"get_delta_channel_history"}
    for name in pairs - {"get"}:  # which calls get_tuple
        assert getattr(BotWireSaver, name) is not getattr(BaseCheckpointSaver, name)
        assert getattr(BotWireSaver, f"a{name}") is not getattr(BaseCheckpointSaver, f"a{name}")
