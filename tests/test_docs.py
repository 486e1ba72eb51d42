"""What the README files show runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
READMES = [
    ROOT / "README.md",
    *sorted(ROOT.glob("packages/*/README.md")),
    ROOT / "server/README.md",
]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


RUN_ALL = """
import json, sys
for block in json.load(sys.stdin):
    print(block, file=sys.stderr)
    exec(compile(block, "the block above", "exec"), {"__name__": "__main__"})
"""


@pytest.mark.parametrize("readme", READMES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_python_of_a_readme_runs(readme: Path, tmp_path: Path) -> None:
    """The blocks of a file run one after the other, and see nothing of each other's names.

    In one process, because the frameworks take seconds to import.
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN_ALL],
        input=json.dumps(BLOCK.findall(readme.read_text())),
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr


def test_links_lead_somewhere() -> None:
    for document in [*READMES, *ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document}: {target}"
