"""The examples of this package run as a user would run them."""

from __future__ import annotations

from pathlib import Path

from tests.programs import EXAMPLES, run_example
from tests.zygote import Zygote

FOLDER = EXAMPLES / "ag2_runs"


def test_a_task_goes_on_in_another_process(zygote: Zygote, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'memory.db'}"
    assert run_example(zygote, FOLDER / "task.py", "one\ntwo", url).splitlines()[-1] == "2: one two"
    assert run_example(zygote, FOLDER / "task.py", "three", url) == "3: one two three"


def test_every_example_is_run_here() -> None:
    assert {path.name for path in FOLDER.glob("*.py")} == {"task.py"}
