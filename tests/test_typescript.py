"""The TypeScript client, run by Node.js against a real server."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import botwire
from environments import ROOT

CLIENT = ROOT / "clients/typescript"
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")


def node(*arguments: str, url: str, program: str = "") -> str:
    done = subprocess.run(
        ["node", *arguments],
        cwd=CLIENT,
        env={**os.environ, "BOTWIRE_URL": url},
        input=program,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_node
def test_the_client_keeps_its_promises(server_url: str) -> None:
    printed = node("--test", "test/", url=server_url)
    counted = re.search(r"pass (\d+)", printed)
    assert counted
    assert int(counted[1]) >= 18


@needs_node
@pytest.mark.parametrize("nth", [0, 1])
def test_the_programs_of_its_readme_print_what_they_say(server_url: str, nth: int) -> None:
    text = (CLIENT / "README.md").read_text()
    program = re.findall(r"^```js\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[nth]
    # A namespace of this test's own, as the server is shared.
    program = program.replace("user-123", f"typescript-{nth}")
    said = re.findall(r"console\.log\(.*// (.+)$", program, re.MULTILINE)
    printed = node("--input-type=module", url=server_url, program=program)
    assert said
    for line, stated in zip(printed.splitlines(), said, strict=True):
        assert stated.startswith(line)


def test_it_has_the_version_of_all() -> None:
    package = json.loads((CLIENT / "package.json").read_text())
    assert package["version"] == botwire.__version__
    assert "dependencies" not in package


def test_its_readme_names_every_method() -> None:
    table = (CLIENT / "README.md").read_text()
    source = (CLIENT / "src/index.js").read_text()
    for name in re.findall(r"^  (?:async |\*|async \*)?(\w+)\(.*\{$", source, re.MULTILINE):
        assert name == "constructor" or re.search(rf"[` ]{name}[` ]", table), name


def test_every_javascript_file_is_part_of_the_package() -> None:
    package = json.loads((CLIENT / "package.json").read_text())
    entry = Path(package["exports"]["."]["default"])
    assert (CLIENT / entry).exists()
    assert entry.parts[0] in package["files"]
