"""No one waits long while a client sends the worst requests; see `hatch run bystander`."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor

import pytest

import bystander

SOME = (
    "$in of a million",
    "900 alternatives",
    "a name of dots",
    "many ids",
    "a text of accents",
    "empty lists",
    "operations",
)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with bystander.serving() as port:
        bystander.fill(port, 1_000)
        yield port


@pytest.fixture(scope="module")
def attackers() -> Iterator[Executor]:
    with bystander.attacking() as attackers:
        yield attackers


@pytest.mark.parametrize("name", SOME)
def test_others_do_not_wait(port: int, attackers: Executor, name: str) -> None:
    attack = bystander.attacks(0.5)[name]()
    waits, statuses = bystander.measure(attackers, port, attack, connections=2, seconds=1.0)
    # A machine that runs many tests is slow; the faults this guards against took 9 to 30 seconds.
    assert waits.longest < 3
    assert statuses
    assert max(statuses) < 500
