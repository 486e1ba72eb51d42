"""A short run of `hatch run chaos`: everything acknowledged is there exactly once."""

from __future__ import annotations

import os

import pytest

from tests.chaos.places import PLACES
from tests.chaos.run import run


@pytest.mark.parametrize("place", PLACES)
def test_every_acknowledged_write_is_there_once_whatever_happens(place: str) -> None:
    seed = int.from_bytes(os.urandom(4))
    report = run(place, 1, seed=seed, writers=1, threads=3, pause=0.2)
    assert not report.findings, f"seed {seed}\n{report}"
    assert report.outcomes.acknowledged > report.faults.total()
    assert report.seen > 0
    assert not any("locked" in error for error in report.outcomes.errors), report
