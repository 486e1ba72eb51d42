"""The recipes of docs/extending.md work as written."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import generate_blocking
from tests.pages import BLOCK, run_page

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/extending.md"
CORE = ROOT / "packages/botwire-core/src/botwire"


def test_an_operation_takes_no_more_than_the_recipe_says(tmp_path: Path) -> None:
    # The blocks are added to a copy of the core, in the file that their first line names.
    copy = tmp_path / "botwire"
    shutil.copytree(CORE, copy)
    recipe = PAGE.read_text().partition("## Add an operation")[2].partition("\n## ")[0]
    placed = dict(block.split("\n", 1) for block in BLOCK.findall(recipe))
    for place, text in placed.items():
        path, _, inside = place.removeprefix("# packages/botwire-core/src/").partition(", in ")
        if path.startswith("botwire/"):
            insert(tmp_path / path, text, inside)
    insert(copy / "operations/__init__.py", "from botwire.operations.keys import RenameKey\n")
    generate_blocking.generate(copy, copy)
    page = tmp_path / "page.md"
    page.write_text(f"```python\n{placed['# a program']}```\n")
    run = "import sys, pathlib, tests.pages as p; p.run_page(pathlib.Path(sys.argv[1]))"
    run_on_copy(tmp_path, run, page)
    # The model is asked the same as an engine. It covers the operation, or its import would fail.
    above, mark, below = (ROOT / "tests/model.py").read_text().partition("\n\ndef _check_key")
    block = placed["# tests/model.py, after the other operations on keys"]
    (tmp_path / "with_rename.py").write_text(f"{above}\n\n{block}{mark}{below}")
    run_on_copy(tmp_path, ASKED_BOTH)


ASKED_BOTH = """
import with_rename
from botwire import operations as ops
from botwire.engines.sqlite import MEMORY, SQLiteEngine
from botwire.exact import Json

put = ops.PutKey("a", Json.of(1), ttl=5)
renames = (ops.RenameKey("a", "b"), ops.RenameKey("b", "b"), ops.RenameKey("b", "c"))
batch = ops.Batch("n", (put, *renames, ops.ScanKeys(), ops.ReadChanges()))
model = with_rename.Model(lambda: 1_000_000)
engine = SQLiteEngine(MEMORY, clock=lambda: 1_000_000)
assert [*model.apply(batch)] == [*engine.apply(batch)]
"""


def run_on_copy(folder: Path, program: str, *arguments: Path) -> None:
    """Runs a program that imports the copy of the core in a folder."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
            "BOTWIRE_URL": f"sqlite:///{folder}/memory.db",
        },
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def insert(path: Path, text: str, inside: str = "") -> None:
    """Adds text at the end of a module, or of a class in it."""
    source = path.read_text()
    if inside:
        start = source.index(f"class {inside}")
        after = re.compile(r"^(?=\S)", re.MULTILINE).search(source, start + 1)
        end = after.start() if after else len(source)
        path.write_text(f"{source[:end].rstrip()}\n\n{text}\n\n{source[end:]}")
    else:
        path.write_text(f"{source}\n\n{text}")


def test_the_engines_of_the_recipe_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = PAGE.read_text().partition("## Add an engine")[2]
    page = tmp_path / "page.md"
    page.write_text(recipe)
    assert "DictEngine" in run_page(page)
