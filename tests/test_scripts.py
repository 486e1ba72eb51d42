"""The scripts of the workshop, each on a small tree of its own."""

from __future__ import annotations

import ast
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.version import Version

import check_floors
import check_imports
import generate_blocking
import update_constraints

# --- generate_blocking --------------------------------------------------------------------------

ASYNC = '''\
"""A sample."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from botwire.client._async.other import AsyncOther


class AsyncSample:
    async def __aenter__(self) -> "AsyncSample":
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def __anext__(self) -> int:
        raise StopAsyncIteration

    async def aclose(self) -> None:
        async with self.open() as other:
            await asyncio.sleep(await anext(other))

    @asynccontextmanager
    async def open(self) -> AsyncIterator[AsyncOther]:
        async for other in self.others:
            yield other
'''
BLOCKING = '''\
# Generated from _async/sample.py by scripts/generate_blocking.py: do not edit.
"""A sample."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from botwire.client._sync.other import Other


class Sample:
    def __enter__(self) -> "Sample":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __next__(self) -> int:
        raise StopIteration

    def close(self) -> None:
        with self.open() as other:
            time.sleep(next(other))

    @contextmanager
    def open(self) -> Iterator[Other]:
        for other in self.others:
            yield other
'''


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package with an asynchronous module and its twin."""
    (tmp_path / "_async").mkdir()
    (tmp_path / "_async/sample.py").write_text(ASYNC)
    assert generate_blocking.main([], tmp_path) == 0
    return tmp_path


def test_the_twin_is_the_same_without_waiting(package: Path) -> None:
    assert (package / "_sync/sample.py").read_text() == BLOCKING
    assert generate_blocking.main(["--check"], package) == 0


def test_an_edited_twin_is_noticed(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (package / "_sync/sample.py").write_text(BLOCKING.replace("yield other", "yield None"))
    assert generate_blocking.main(["--check"], package) == 1
    assert "-            yield None\n+            yield other" in capsys.readouterr().out


def test_a_twin_of_nothing_is_noticed_and_removed(package: Path) -> None:
    stray = package / "_sync/stray.py"
    stray.write_text("print()\n")
    assert generate_blocking.main(["--check"], package) == 1
    assert generate_blocking.main([], package) == 0
    assert not stray.exists()


def test_what_no_substitution_knows_is_refused() -> None:
    with pytest.raises(ValueError, match=r"_async/x\.py:2: no substitution for 'asyncio\.run"):
        generate_blocking.blocking("# asyncio in a comment is fine\nasyncio.run()\n", "_async/x.py")


def test_every_twin_is_python() -> None:
    for path in (generate_blocking.PACKAGE / "_sync").glob("*.py"):
        ast.parse(path.read_text())


# --- check_imports ------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository whose imports keep the rules."""
    for folder, module, requirements, source in (
        (
            "packages/botwire-core",
            "botwire",
            ["httpx", "psycopg[pool]"],
            "import json, psycopg_pool",
        ),
        (
            "packages/botwire-langgraph",
            "botwire_langgraph",
            ["langgraph-checkpoint"],
            "import botwire",
        ),
        ("packages/botwire-crewai", "botwire_crewai", ["crewai"], "from botwire import Memory"),
        ("server", "botwire_server", ["fastapi"], "import fastapi.responses, botwire_server.app"),
    ):
        package = tmp_path / folder / "src" / module
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(f"{source}\n")
        (tmp_path / folder / "pyproject.toml").write_text(
            f"[project]\ndependencies = {requirements}\n"
        )
    return tmp_path


def test_a_good_tree_passes(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_imports.main([str(tree)]) == 0
    assert capsys.readouterr().out == "4 packages checked: 0 imports against the rules\n"


CORE = "packages/botwire-core/src/botwire"
LANGGRAPH = "packages/botwire-langgraph/src/botwire_langgraph"


@pytest.mark.parametrize(
    ("file", "source", "problem"),
    [
        (f"{LANGGRAPH}/x.py", "import botwire_crewai", "must not import botwire_crewai"),
        (f"{LANGGRAPH}/x.py", "import botwire_server.app", "must not import botwire_server"),
        (
            "server/src/botwire_server/x.py",
            "import botwire_crewai",
            "must not import botwire_crewai",
        ),
        (f"{CORE}/names.py", "import botwire_server", "must not import botwire_server"),
        (f"{CORE}/names.py", "import langgraph.graph", "must not import langgraph"),
        (f"{CORE}/names.py", "from fastapi import FastAPI", "must not import fastapi"),
        (f"{CORE}/client/x.py", "import httpx", "httpx is imported in botwire/engines/http/_async"),
        ("server/src/botwire_server/x.py", "from httpx import URL", "httpx is imported in"),
        (f"{LANGGRAPH}/x.py", "import botwire.client._sync", "botwire.client._sync is private"),
        (f"{LANGGRAPH}/x.py", "from botwire.client import _sync", "client._sync is private"),
        (f"{LANGGRAPH}/x.py", "from botwire.wire import _x", "botwire.wire._x is private"),
        ("server/src/botwire_server/x.py", "import botwire.client._sync", "_sync is private"),
        (f"{LANGGRAPH}/x.py", "import pydantic", "declares nothing with pydantic"),
        # One framework's packages share a name: what counts is whose module it is.
        (f"{LANGGRAPH}/x.py", "import langgraph.graph", "declares nothing with langgraph.graph"),
        (f"{CORE}/names.py", "def f():\n  import anyio", "declares nothing with anyio"),
    ],
)
def test_a_broken_rule_is_named_with_its_line(
    tree: Path, capsys: pytest.CaptureFixture[str], file: str, source: str, problem: str
) -> None:
    path = tree / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"import json\n{source}\n")
    assert check_imports.main([str(tree)]) == 1
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{file}:{source.count(chr(10)) + 2}: ")
    assert problem in first
    assert last == "4 packages checked: 1 imports against the rules"


@pytest.mark.parametrize(
    ("modules", "problem"),
    [
        ({"errors": "import botwire.models", "models": ""}, "must not import botwire.models"),
        ({"errors": "import botwire.clock", "clock": "import botwire.errors"}, "a circle of"),
        ({"odd": ""}, "botwire.odd is in no layer: add it to LAYERS"),
    ],
)
def test_the_core_has_layers_and_no_circle(
    tree: Path, capsys: pytest.CaptureFixture[str], modules: dict[str, str], problem: str
) -> None:
    for name, source in modules.items():
        (tree / CORE / f"{name}.py").write_text(source)
    assert check_imports.main([str(tree)]) == 1
    assert problem in capsys.readouterr().out


@pytest.mark.parametrize(
    ("file", "source"),
    [
        (f"{CORE}/engines/http/_async.py", "import httpx"),
        (f"{CORE}/engines/http/_sync.py", "import httpx"),
        (f"{CORE}/names.py", "import botwire.engines.loops\nfrom botwire.wire import _x"),
        (f"{LANGGRAPH}/x.py", "from langgraph.checkpoint.base import BaseCheckpointSaver"),
        (f"{LANGGRAPH}/x.py", "from botwire import __version__"),
    ],
)
def test_what_the_rules_allow(tree: Path, file: str, source: str) -> None:
    path = tree / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{source}\n")
    assert check_imports.main([str(tree)]) == 0


# --- check_floors -------------------------------------------------------------------------------


def test_what_is_newer_than_its_floor_is_named() -> None:
    installed = Version(version("pytest"))
    floor = f"{installed.major}.{installed.minor}"
    assert check_floors.too_new([f"pytest>={floor},<{installed.major + 1}", "pluggy<99"]) == []
    assert check_floors.too_new(["pytest>=1.2"]) == [f"pytest {installed} is not the floor, 1.2"]


# --- update_constraints -------------------------------------------------------------------------


def test_constraints_hold_releases_and_no_addresses() -> None:
    installed = [("Zope.Interface", "7.0"), ("botwire-core", "0.3.0"), ("torch", "2.9.0+cpu")]
    text = update_constraints.constraints(installed)
    assert text.splitlines()[1:] == ["torch==2.9.0", "zope-interface==7.0"]
