"""The scripts of the workshop, each on a small tree of its own."""

from __future__ import annotations

import ast
import contextlib
import re
from importlib.metadata import version
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest
from packaging.version import Version

import check_floors
import check_imports
import environments
import generate_blocking
import run_tests
import update_constraints
from environments import DEFAULT, ROOT

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
            ["opentelemetry-api"],
            "import botwire",
        ),
        ("packages/botwire-crewai", "botwire_crewai", ["anyio"], "from botwire import Memory"),
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
        (f"{CORE}/names.py", "from fastapi import FastAPI", "declares nothing with fastapi"),
        (f"{CORE}/client/x.py", "import httpx", "httpx is imported in botwire/engines/http/_async"),
        ("server/src/botwire_server/x.py", "from httpx import URL", "httpx is imported in"),
        (f"{LANGGRAPH}/x.py", "import botwire.client._sync", "botwire.client._sync is private"),
        (f"{LANGGRAPH}/x.py", "from botwire.client import _sync", "client._sync is private"),
        (f"{LANGGRAPH}/x.py", "from botwire.wire import _x", "botwire.wire._x is private"),
        ("server/src/botwire_server/x.py", "import botwire.client._sync", "_sync is private"),
        (f"{LANGGRAPH}/x.py", "import pydantic", "declares nothing with pydantic"),
        # One framework's packages share a name: what counts is whose module it is.
        (
            f"{LANGGRAPH}/x.py",
            "import opentelemetry.sdk",
            "declares nothing with opentelemetry.sdk",
        ),
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
        (f"{LANGGRAPH}/x.py", "from opentelemetry.trace import Tracer"),
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


# --- run_tests ----------------------------------------------------------------------------------

BOTH = ["packages/botwire-core", "packages/botwire-ag2"]


def names(*arguments: str) -> list[str]:
    return [part.name for part in run_tests.read_order(arguments).parts]


def test_without_paths_every_package_has_a_part_in_its_environment() -> None:
    parts = run_tests.read_order([]).parts
    assert {part.environment for part in parts} == {DEFAULT, *environments.adapters()}
    covered = [path for part in parts for path in part.paths]
    folders = [ROOT / "tests", ROOT / "server/tests", *ROOT.glob("packages/*/tests")]
    assert sorted(covered) == sorted(map(str, [*folders, ROOT / "tests/across"]))


def test_a_path_leads_to_its_environment() -> None:
    test = "packages/botwire-ag2/tests/test_ag2_kept.py::TestStorage::test_x[a::b]"
    (part,) = run_tests.read_order([test]).parts
    assert (part.environment, part.paths) == ("ag2", (str(ROOT / test),))
    assert names("tests/across/test_docs.py", "server") == ["server", "tests/across"]
    assert names("tests") == ["tests", "tests/across"]
    assert names("tests/test_memory.py") == ["tests"]
    assert set(names("packages")) == {name for name in names() if name.startswith("packages/")}


def test_what_is_no_path_is_for_pytest() -> None:
    order = run_tests.read_order(["-k", "server", "--places", "postgres", "-n0", "-q", *BOTH])
    assert [part.name for part in order.parts] == BOTH
    assert order.options == ["-k", "server", "--places", "postgres", "-q"]
    assert (order.at_once, order.is_watched) == (0, True)
    assert run_tests.read_order(["-n", "7", *BOTH]).at_once == 7
    assert not run_tests.read_order(["-n7", *BOTH]).is_watched


def test_a_path_that_is_not_there_is_pytests_to_complain_about() -> None:
    assert run_tests.read_order(["no/such_test.py"]).options == ["no/such_test.py"]


@pytest.mark.parametrize(
    ("counts", "seconds", "line"),
    [
        ({"passed": 4102, "skipped": 3}, 700.12, " 4102 passed, 3 skipped in 700.12s (0:11:40) "),
        ({"errors": 1, "failed": 2, "warnings": 1}, 1, " 2 failed, 1 warning, 1 error in 1.00s "),
        ({}, 0.5, " no tests ran in 0.50s "),
    ],
)
def test_the_closing_line_is_pytests(counts: dict[str, int], seconds: float, line: str) -> None:
    found = run_tests.closing_line(counts, seconds)
    assert found.strip("=") == line
    assert len(found) == 80


@pytest.mark.parametrize(
    ("codes", "total"),
    [([0, 5], 0), ([5, 5], 5), ([0, 1, 5], 1), ([1, 3], 3), ([4, 1], 4), ([-9, 0], -9)],
)
def test_a_run_is_as_good_as_its_worst_part(codes: list[int], total: int) -> None:
    result = run_tests.Result()
    for code in codes:
        result.add(run_tests.Result(code))
    assert result.code == total


def run_in_parts(monkeypatch: pytest.MonkeyPatch, folder: Path, **texts: str) -> tuple[int, str]:
    """Runs tests with these texts, a part each; returns the exit code and what was printed."""
    parts = []
    for name, text in texts.items():
        file = folder / f"test_{name}.py"
        file.write_text(text)
        parts.append(run_tests.Part(name, DEFAULT, (str(file),)))
    monkeypatch.setattr(run_tests, "choose", lambda paths: parts)
    # They are not in this repository, so its settings have to be pointed at.
    monkeypatch.setenv("PYTEST_ADDOPTS", "-c pyproject.toml -p conftest")
    with contextlib.redirect_stdout(TextIOWrapper(BytesIO(), "utf-8", write_through=True)) as out:
        code = run_tests.main(["-n2"])
    out.seek(0)
    return code, out.read()


def test_parts_that_pass_have_a_line_each_and_one_for_all(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    skips = "import pytest\ndef test_a(): pytest.skip()\ndef test_b(): pass"
    code, out = run_in_parts(monkeypatch, tmp_path, one="def test_c(): pass", other=skips)
    assert code == 0
    first, second, last = out.splitlines()
    assert {first.partition(" in ")[0], second.partition(" in ")[0]} == {
        "one: 1 passed",
        "other: 1 passed, 1 skipped",
    }
    assert re.fullmatch(r"=+ 2 passed, 1 skipped in \d+\.\d\ds =+", last)


def test_a_part_that_fails_or_dies_is_printed_and_fails_the_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code, out = run_in_parts(
        monkeypatch,
        tmp_path,
        good="def test_a(): pass",
        bad="def test_b(): assert [1] == [2]",
        dead="import os\ndef test_c(): os._exit(9)",
    )
    assert code == 9
    assert "assert [1] == [2]" in out
    assert re.search(r"^FAILED .*::test_b$", out, re.MULTILINE)
    assert "ERROR dead: pytest broke off" in out
    assert re.fullmatch(r"=+ 1 failed, 1 passed, 1 error in \d+\.\d\ds =+", out.splitlines()[-1])


def test_an_environment_that_cannot_be_made_is_an_error_of_its_part(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(name: str) -> str:
        raise environments.EnvironmentMissingError(f"no {name}: the index is down")

    monkeypatch.setattr(environments, "python", fail)
    assert run_tests.main(BOTH) == 1
    printed = capsys.readouterr().out
    assert "no ag2: the index is down" in printed
    assert re.search(r"= 2 errors in .* =+\n$", printed)


# --- environments -------------------------------------------------------------------------------


def test_a_program_runs_where_its_framework_is() -> None:
    def of(name: str) -> str:
        return environments.environment_of_program(Path("examples", name))

    assert of("agent_framework_agent.py") == "agent-framework"
    assert of("llamaindex_continues_langchain.py") == "llamaindex"
    assert of("two_lines.py") == DEFAULT


def test_what_is_known_is_not_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(environments.KNOWN, '{"somewhere": "/a/python"}')
    assert environments.python("somewhere") == "/a/python"


def test_an_environment_that_hatch_does_not_know_is_an_error() -> None:
    with pytest.raises(environments.EnvironmentMissingError, match="hatch made no environment nix"):
        environments.python("nix")
