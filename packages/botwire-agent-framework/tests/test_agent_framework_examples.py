"""The examples of this package run as a user would run them."""

from __future__ import annotations

from tests.programs import EXAMPLES, run_example
from tests.zygote import Zygote

FOLDER = EXAMPLES / "agent_framework_runs"


def test_a_person_answers_in_another_process(zygote: Zygote, server_url: str) -> None:
    program = FOLDER / "approval.py"
    asked = run_example(zygote, program, "send the invoice", server_url)
    assert asked == "Shall I: send the invoice?"
    assert run_example(zygote, program, "yes\ndelete it\nno", server_url).splitlines() == [
        "Done: send the invoice", "Shall I: delete it?", "Left: delete it",
    ]  # fmt: skip


def test_every_example_is_run_here() -> None:
    assert {path.name for path in FOLDER.glob("*.py")} == {"approval.py"}
