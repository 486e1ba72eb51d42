"""What the README files show runs."""

from __future__ import annotations

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


@pytest.mark.parametrize("readme", READMES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_python_of_a_readme_runs(readme: Path, tmp_path: Path) -> None:
    """The blocks of a file run one after the other, each as a process of its own."""
    for block in BLOCK.findall(readme.read_text()):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", block],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            timeout=110,
        )
        assert done.returncode == 0, f"{block}\n{done.stderr}"


def test_links_lead_somewhere() -> None:
    for document in [*READMES, *ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document}: {target}"
