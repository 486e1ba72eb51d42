"""The examples of this package run as a user would run them."""

from __future__ import annotations

from pathlib import Path

from tests.programs import EXAMPLES, run_example
from tests.zygote import Zygote

FOLDER = EXAMPLES / "langgraph_runs"


def test_a_person_answers_in_another_process(zygote: Zygote, server_url: str) -> None:
    program = FOLDER / "approval.py"
    asked = run_example(zygote, program, "send the invoice", server_url)
    assert asked == "Shall I: send the invoice?"
    assert run_example(zygote, program, "yes\ndelete it\nno", server_url).splitlines() == [
        "Done: send the invoice", "Shall I: delete it?", "Left: delete it",
    ]  # fmt: skip


def test_a_story_is_left_on_another_way(zygote: Zygote, tmp_path: Path) -> None:
    program, url = FOLDER / "time_travel.py", f"sqlite:///{tmp_path / 'memory.db'}"
    assert run_example(zygote, program, "Once there was\na cat.", url).endswith("was a cat.")
    assert run_example(zygote, program, "back\na dog.\n", url).splitlines() == [
        "Once there was", "Once there was a dog.", "Once there was a dog.",
        "Once there was a dog.", "Once there was a cat.", "Once there was",
    ]  # fmt: skip


def test_every_example_is_run_here() -> None:
    assert {path.name for path in FOLDER.glob("*.py")} == {"approval.py", "time_travel.py"}
