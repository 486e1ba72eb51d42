"""Runs the programs of `examples` as a user would, without importing the framework each time."""

from __future__ import annotations

from pathlib import Path

from tests.zygote import Zygote

EXAMPLES = Path(__file__).parent.parent / "examples"

RUN = """
import runpy, sys
from pathlib import Path

sys.argv = sys.argv[1:]
sys.path[0] = str(Path(sys.argv[0]).parent)
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""For a `Zygote`: runs the program that its first argument names, as Python itself would."""


def run_example(zygote: Zygote, program: Path, said: str, url: str) -> str:
    """Runs a program on some input in its own process; returns its output."""
    with zygote.start(RUN, str(program), env={"BOTWIRE_URL": url}) as process:
        printed = process.communicate(said + "\n")
        assert process.returncode == 0, process.stderr
    return printed.strip()
