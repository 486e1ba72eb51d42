"""What is true of every distribution in this repository."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import botwire

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = [*sorted(file.parent for file in ROOT.glob("packages/*/pyproject.toml")), ROOT / "server"]


def project(folder: Path) -> Any:
    return tomllib.loads((folder / "pyproject.toml").read_text())["project"]


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder.name)
def folder(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


def test_one_version_for_all(folder: Path) -> None:
    metadata = project(folder)
    assert metadata["version"] == botwire.__version__
    extras = metadata.get("optional-dependencies", {}).values()
    requirements = [*metadata["dependencies"], *(line for extra in extras for line in extra)]
    for requirement in requirements:
        if requirement.startswith("botwire"):
            assert requirement.endswith(f"=={metadata['version']}")


def test_every_dependency_says_why(folder: Path) -> None:
    for line in (folder / "pyproject.toml").read_text().splitlines():
        if re.match(r'  "[\w-]+(\[.+\])?[<>=]', line):
            assert re.search(r", # \w", line), line


def test_every_distribution_has_its_license(folder: Path) -> None:
    assert (folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_every_package_is_typed(folder: Path) -> None:
    for module in folder.glob("src/*/__init__.py"):
        assert module.with_name("py.typed").exists()


def test_the_meta_distribution_reaches_every_other() -> None:
    extras = project(ROOT / "packages/botwire")["optional-dependencies"]
    names = {project(folder)["name"] for folder in FOLDERS} - {"botwire", "botwire-core"}
    assert {f"botwire-{extra}" for extra in extras.keys() - {"all"}} == names
    assert extras["all"] == [f"botwire[{','.join(sorted(extras.keys() - {'all'}))}]==0.3.0"]


def test_constraints_hold_no_addresses() -> None:
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert re.fullmatch(r"#.*|[a-z0-9-]+==[\w.]+", line)
