"""Each notebook runs from the first cell to the last, and its second program remembers."""

from __future__ import annotations

from pathlib import Path

import pytest

import environments
from environments import ROOT
from generate_notebooks import SOURCES
from tests.across.conftest import Forks
from tests.programs import RUN

RUNNER = ROOT / "scripts/run_notebook.py"


@pytest.mark.parametrize("name", SOURCES)
def test_a_notebook_remembers(forks: Forks, name: str, tmp_path: Path) -> None:
    zygote = forks.zygote(name)
    env = {"BOTWIRE_URL": f"sqlite:///{tmp_path}/memory.db", "HOME": str(tmp_path)}
    notebook = ROOT / f"examples/notebooks/{name}.ipynb"
    with zygote.start(RUN, str(RUNNER), str(notebook), env=env, folder=tmp_path) as process:
        printed = process.communicate()
        assert process.returncode == 0, process.stderr
    assert "My cat is called Turing." in printed


def test_every_framework_has_a_notebook() -> None:
    """The console is no framework, and MCP is a protocol: their programs are not notebooks."""
    assert SOURCES.keys() == environments.adapters().keys() - {"console", "mcp"}
