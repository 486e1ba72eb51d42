"""Rules that every distribution in this repository follows."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import botwire
import check_floors
import environments
import published
import tested_releases
from environments import DEFAULT, ROOT
from readme_programs import needs
from smoke_wheels import APART

FOLDERS = published.folders()


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
    for source in folder.glob("src"):
        assert [*source.rglob("py.typed")]


def test_the_meta_distribution_reaches_every_other() -> None:
    extras = project(ROOT / "packages/botwire")["optional-dependencies"]
    names = {project(folder)["name"] for folder in FOLDERS} - {"botwire", "botwire-core"}
    names -= published.ALIASES.keys()
    assert {f"botwire-{extra}" for extra in extras.keys() - {"all"}} == names
    together = extras.keys() - {"all", *(name.removeprefix("botwire-") for name in APART)}
    assert extras["all"] == [f"botwire[{','.join(sorted(together))}]==0.3.0"]


def _connects(node: ast.AST) -> bool:
    """Returns whether code opens a connection: by a call, or as the base of a class."""
    if isinstance(node, ast.Call):
        return ast.unparse(node.func) == "Connection"
    return isinstance(node, ast.ClassDef) and "Connected" in map(ast.unparse, node.bases)


@pytest.mark.parametrize("name", [one for one in environments.adapters() if one != "console"])
def test_an_adapter_opens_no_connection_without_its_framework(name: str) -> None:
    """What it writes then has the framework as its author."""
    found = 0
    for file in (environments.adapters()[name] / "src").rglob("*.py"):
        for node in filter(_connects, ast.walk(ast.parse(file.read_text()))):
            assert isinstance(node, ast.Call | ast.ClassDef)
            given = {one.arg: ast.unparse(one.value) for one in node.keywords}
            # Hooks of botwire-mcp run for another framework, Claude Code.
            assert given.get("framework") in (repr(name), "FRAMEWORK"), f"{file}:{node.lineno}"
            found += 1
    assert found


@pytest.mark.parametrize("name", published.ALIASES)
def test_an_alias_has_all_that_its_adapter_exports(name: str) -> None:
    adapter = published.ALIASES[name]
    assert project(ROOT / "aliases" / name)["dependencies"] == [f"{adapter}=={botwire.__version__}"]
    module = adapter.replace("-", "_")
    [alias] = (ROOT / "aliases" / name).glob("src/**/__init__.py")
    [imported] = [
        node for node in ast.parse(alias.read_text()).body if isinstance(node, ast.ImportFrom)
    ]
    assert imported.module == module
    original = ROOT / "packages" / adapter / "src" / module / "__init__.py"
    for node in ast.parse(original.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            assert ast.literal_eval(node.value) == sorted(one.name for one in imported.names)


def test_the_list_of_adapters_is_complete() -> None:
    others = {"packages/botwire", "packages/botwire-core", "server"}
    others |= {f"aliases/{name}" for name in published.ALIASES}
    adapters = {folder for folder in FOLDERS if folder.relative_to(ROOT).as_posix() not in others}
    assert set(environments.adapters().values()) == adapters


@pytest.mark.parametrize(
    "package",
    [*environments.adapters().values(), ROOT / "packages/botwire-core", ROOT / "server"],
    ids=lambda package: package.name,
)
def test_a_readme_names_the_releases_that_are_tested(package: Path) -> None:
    """`hatch run test --alone --record` writes them."""
    named, pins = tested_releases.read(package), tested_releases.pinned(package)
    assert list(named) == tested_releases.frameworks(package)
    metadata = project(package)
    extras = metadata.get("optional-dependencies", {}).values()
    lines = [*metadata["dependencies"], *(line for extra in extras for line in extra)]
    requirements = {one.name: one for one in map(Requirement, lines)}
    for name, releases in named.items():
        versions = [*map(Version, releases)]
        assert versions == sorted(versions)
        assert pins[name] in releases
        if requirement := requirements.get(name):
            assert all(map(requirement.specifier.contains, versions))
            assert check_floors.too_new([str(requirement)], {name: releases[0]}.__getitem__) == []


def test_a_readme_installs_a_framework_by_the_extra_that_knows_its_releases(folder: Path) -> None:
    """By its name pip takes the newest one, and replaces others with what that one needs."""
    metadata = project(folder)
    extras = metadata.get("optional-dependencies", {})
    bounded = {Requirement(line).name for extra in extras.values() for line in extra}
    wanted = [Requirement(word) for word in needs(folder / "README.md")]
    assert not bounded & {one.name for one in wanted}
    for one in wanted:
        if one.name == metadata["name"]:
            assert one.extras <= extras.keys()


def test_what_a_readme_needs_is_in_its_commands(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(
        '`pip install "botwire[x]"`, `pip install b a`, `pip install "botwire-x[y]" a`, `pip list`'
    )
    assert needs(readme) == ["a", "b", "botwire-x[y]"]


TOOLS = ("browser", "deploy", "docs", "peers")
"""The environments of tools and benchmarks."""


@pytest.mark.parametrize("name", [DEFAULT, *environments.with_frameworks(), *TOOLS])
def test_an_environment_is_pinned_without_addresses(name: str) -> None:
    lines = (ROOT / f"constraints/{name}.txt").read_text().splitlines()
    for line in lines:
        assert re.fullmatch(r"#.*|[a-z0-9-]+==[\w.]+", line)
    assert len(lines) > 1


@pytest.mark.parametrize("name", TOOLS)
def test_a_tool_has_a_release_of_its_own(name: str) -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["envs"][name]
    assert settings["env-vars"]["UV_CONSTRAINT"] == f"{{root:uri}}/constraints/{name}.txt"
    pins = (ROOT / f"constraints/{name}.txt").read_text()
    for line in settings.get("dependencies", []) + settings.get("extra-dependencies", []):
        package, *_ = re.split(r"[>=\[]", line)
        assert f"\n{package}==" in pins


def _loops_under_a_lock(tree: ast.AST) -> list[int]:
    found: list[int] = []

    def look(node: ast.AST, *, is_locked: bool) -> None:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            is_locked = False
        elif isinstance(node, ast.With):
            held = [ast.unparse(item.context_expr) for item in node.items]
            is_locked = is_locked or any(name.endswith("lock") for name in held)
        elif isinstance(node, ast.While) and is_locked:
            found.append(node.lineno)
        for child in ast.iter_child_nodes(node):
            look(child, is_locked=is_locked)

    look(tree, is_locked=False)
    return found


def test_no_block_that_holds_a_lock_has_a_loop_that_an_interrupt_may_leave(folder: Path) -> None:
    # CPython 3.13.0 would keep the lock; see `botwire.engines.sqlite.writer`.
    found = {
        str(path.relative_to(folder)): loops
        for path in folder.rglob("src/**/*.py")
        if (loops := _loops_under_a_lock(ast.parse(path.read_text(encoding="utf-8"))))
    }
    assert not found
