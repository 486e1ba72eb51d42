"""The adapter template becomes a package that keeps the promises of every adapter."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import botwire
import new_adapter
import readme_programs
from new_adapter import ROOT


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_adapter.make("my-framework", tmp_path_factory.mktemp("adapters"))


def test_a_new_adapter_passes_its_tests(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "tests"],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": "src", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        timeout=110,
    )
    assert done.returncode == 0, done.stdout
    assert "10 passed" in done.stdout


def test_in_this_repository_it_passes_them_with_the_fixtures_of_all(tmp_path: Path) -> None:
    folder = new_adapter.make("my-framework", tmp_path, inside=True)
    # It is not below the repository's conftest.py, which is therefore loaded by name.
    options = ["-p", "conftest", "-c", ROOT / "pyproject.toml", "-o", f"cache_dir={tmp_path}"]
    options += ["-n0", "-k", "call_without", "--places=embedded"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, folder],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder / 'src'}"},
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_the_program_of_its_readme_runs(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(folder / "src")
    monkeypatch.setenv("BOTWIRE_URL", f"sqlite:///{tmp_path}/memory.db")
    (program,) = readme_programs.programs(folder / "README.md")
    exec(program, {"__name__": "__main__"})
    assert botwire.Memory("my-app").history("user-42").count() == 1


def written(folder: Path) -> list[Path]:
    """Returns the files of an adapter, without those that its tests leave behind."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in paths if "__pycache__" not in path.parts]


def test_it_has_its_own_name_everywhere(folder: Path) -> None:
    for path in written(folder):
        assert "newframework" not in str(path)
        assert "newframework" not in path.read_text().lower()
        assert "0.0.0" not in path.read_text()
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["name"] == "botwire-my-framework"
    assert project["version"] == botwire.__version__


def test_what_to_replace_is_marked(folder: Path) -> None:
    marked = {path.name for path in written(folder) if "REPLACE" in path.read_text()}
    recipe = (ROOT / "docs/extending.md").read_text().replace("tests/test_…", "test_my_framework")
    assert marked == {name for name in marked if f"{name}` | " in recipe}
    assert marked >= {"convert.py", "conversation.py", "pyproject.toml", "README.md"}


@pytest.mark.parametrize("name", ["", "My", "my_framework", "../x", "my-", "1st"])
def test_what_is_no_name_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a name"):
        new_adapter.make(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_package_that_exists_is_left_alone(folder: Path) -> None:
    with pytest.raises(ValueError, match="exists"):
        new_adapter.make("my-framework", folder.parent)
