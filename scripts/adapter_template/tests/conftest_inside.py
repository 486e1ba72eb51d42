"""Fixtures for the tests of NewFramework."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.zygote import Zygote


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """Runs programs that need not import these modules first, which takes long in a framework."""
    # REPLACE: add the modules of the framework that the tests import.
    with Zygote("botwire_newframework") as zygote:
        yield zygote
