"""Checks who imports whom.

- Imports go one way: adapter → ``botwire``, ``botwire_server`` → ``botwire``. Adapters import
  neither each other nor the server, and the core imports none of them. The console is part of a
  server, and imports it.
- Only the core uses its private names, such as ``botwire.client._sync``.
- Imports within a package never form a circle, not even inside functions or for types only.
- In the core, they go down the layers. One module and its generated twin import httpx. One module
  of the core and one of the server import websockets.
- A package declares what it imports in its pyproject.toml, even if another package installs it.

The script prints ``file:line: what is wrong`` for each violation, and fails if there is any. It
checks each package in the package's own environment, where its dependencies are installed.
"""

from __future__ import annotations

import argparse
import ast
import importlib.metadata
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from packaging.requirements import Requirement

import environments
from environments import ROOT

CORE = "botwire"
SERVER = "botwire_server"
ON_SERVER = frozenset({"botwire_console"})
"""Packages that are part of a server, and may import it."""
HTTP_MODULES = ("botwire/engines/http/_async.py", "botwire/engines/http/_sync.py")
FRAME_MODULES = ("botwire/engines/http/frames.py", "botwire_server/channel/connection.py")
LAYERS = (
    (
        "_version",
        "errors",
        "clock",
        "exact",
        "names",
        "arguments",
        "scopes",
        "vectors",
        "threads",
        "work",
        "files",
        "framing",
        "programs",
        "lazy",
        "list_parts",
        "garbage",
    ),
    ("filters", "pieces", "tagged"),
    ("operations",),
    ("record_operations", "store_operations", "exact_operations"),  # former names
    ("models", "wire", "places", "specs", "embedders", "messages"),
    ("tool_calls", "content_blocks", "matching", "splitting"),
    ("engines.protocol", "engines.retry", "engines.loops", "engines.lanes"),
    ("engines.threaded", "engines.gathering", "engines.opening"),
    ("engines.sql",),
    ("engines.sqlite", "engines.http", "engines.postgres"),
    ("mounts",),
    ("client",),
    ("connection",),
    ("answers", "classes", "deleting", "off_loop", "testing"),
    ("retention",),
    ("memory_files",),
    ("transfer",),
    ("cli", "__main__"),
)
"""The packages and modules of the core, the lowest first: each imports its own layer and those
below it."""


@dataclass(frozen=True)
class Import:
    """An imported module, or an imported name in a module."""

    module: str
    name: str | None
    line: int

    @property
    def top(self) -> str:
        """The outermost package: ``a`` of ``a.b``."""
        return self.module.partition(".")[0]

    @property
    def is_private(self) -> bool:
        """Whether any part of the name is private; dunder names such as ``__version__`` are not."""
        parts = str(self).split(".")
        return any(part.startswith("_") and not part.endswith("__") for part in parts)

    def __str__(self) -> str:
        return self.module if self.name is None else f"{self.module}.{self.name}"


@dataclass(frozen=True)
class Package:
    """A distribution of this repository that has code."""

    folder: Path
    name: str
    requirements: tuple[str, ...]

    @classmethod
    def find(cls, root: Path) -> list[Package]:
        """Returns all packages under `root`."""
        packages = []
        for folder in [*sorted(root.glob("packages/*")), root / "server"]:
            for module in folder.glob("src/*/__init__.py"):
                project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
                requirements = list(project.get("dependencies", []))
                for extra in project.get("optional-dependencies", {}).values():
                    requirements += extra
                packages.append(cls(folder, module.parent.name, tuple(requirements)))
        return packages

    @property
    def source(self) -> Path:
        """The folder that is on the path once the package is installed."""
        return self.folder / "src"

    def modules(self) -> dict[str, Path]:
        """Returns the files of its modules, by name."""
        return {
            ".".join(path.relative_to(self.source).with_suffix("").parts).removesuffix(
                ".__init__"
            ): path
            for path in sorted(self.source.glob("**/*.py"))
        }


def imports(path: Path) -> Iterator[Import]:
    """Yields what a module imports, at the top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, None, node.lineno)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            for alias in node.names:
                yield Import(node.module, alias.name, node.lineno)


def distributions(requirement: Requirement) -> set[str]:
    """Returns the distribution that a requirement names, and those that its extras require."""
    found = {requirement.name}
    for extra in requirement.extras:
        for inner in map(Requirement, importlib.metadata.requires(requirement.name) or []):
            marker = inner.marker
            if marker and marker.evaluate({"extra": extra}) > marker.evaluate({"extra": ""}):
                found |= distributions(inner)
    return found


@cache
def modules(distribution: str) -> frozenset[str]:
    """Returns the names of the modules in an installed distribution, packages included.

    An extra that no environment has, such as a provider of embedders, is imported by name only.
    """
    found = set()
    try:
        files = importlib.metadata.files(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        return frozenset()
    for file in files:
        parts = [part.partition(".")[0] for part in file.parts]
        found |= {".".join(parts[:length]) for length in range(1, len(parts) + 1)}
    return frozenset(found)


def check(package: Package, siblings: set[str]) -> Iterator[str]:
    """Yields a line for each import that breaks a rule; a package may not import `siblings`."""
    declared = set[str]()
    for requirement in map(Requirement, package.requirements):
        for distribution in distributions(requirement):
            declared |= modules(distribution)
    for path in sorted(package.folder.glob("src/**/*.py")):
        for found in sorted(imports(path), key=lambda found: found.line):
            if found.top in sys.stdlib_module_names or found.top == package.name:
                problem = None
            elif found.top == SERVER and package.name in ON_SERVER:
                problem = f"{found} is private to {SERVER}" if found.is_private else None
            elif found.top in siblings:
                problem = f"{package.name} must not import {found.top}: imports go to {CORE} only"
            elif found.top == CORE:
                problem = f"{found} is private to {CORE}" if found.is_private else None
            elif found.top == "httpx" and not path.as_posix().endswith(HTTP_MODULES):
                problem = f"httpx is imported in {HTTP_MODULES[0]} and its twin only"
            elif found.top == "websockets" and not path.as_posix().endswith(FRAME_MODULES):
                problem = f"websockets is imported in {' and '.join(FRAME_MODULES)} only"
            elif found.module not in declared:
                problem = (
                    f"{package.folder.name}/pyproject.toml declares nothing with {found.module}"
                )
            else:
                problem = None
            if problem:
                yield f"{path}:{found.line}: {problem}"


def check_circles(package: Package) -> Iterator[str]:
    """Yields a line if imports within a package form a circle."""
    paths = package.modules()
    graph = {
        name: {_within(found, paths) for found in imports(path)} & paths.keys() - {name}
        for name, path in paths.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        yield f"{package.source}: a circle of imports: {' → '.join(error.args[1])}"


def _within(found: Import, paths: Mapping[str, Path]) -> str:
    """Returns the imported module, if it is one of a package's."""
    return str(found) if str(found) in paths else found.module


def check_layers(package: Package) -> Iterator[str]:
    """Yields a line for each import in the core that goes up a layer."""
    paths = package.modules()
    level = {room: i for i, rooms in enumerate(LAYERS) for room in rooms}
    for name, path in paths.items():
        here = _room(name)
        if here not in level and name not in (CORE, f"{CORE}.engines"):
            yield f"{path}:1: {name} is in no layer: add it to LAYERS in scripts/check_imports.py"
            continue
        for found in imports(path):
            target = _within(found, paths)
            if target not in paths or CORE in (target, name):
                continue
            if level.get(_room(target), -1) > level.get(here, -1):
                yield f"{path}:{found.line}: {name} must not import {target}, a layer above it"


def _room(module: str) -> str:
    """Returns the package or module of the core that `LAYERS` names."""
    parts = module.split(".")[1:]
    return ".".join(parts[:2] if parts[:1] == ["engines"] else parts[:1])


def elsewhere(package: Package) -> list[str] | None:
    """Returns the problems found in a package's own environment, or None if this is it."""
    python = environments.python(environments.environment_of(package.folder))
    if python == sys.executable:
        return None
    done = subprocess.run(
        [python, __file__, "--only", package.name], capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, 1):
        raise SystemExit(done.stderr)
    return done.stdout.splitlines()[:-1]


def main(arguments: list[str] | None = None) -> int:
    """Prints each import that breaks a rule; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("root", type=Path, nargs="?", default=ROOT)
    parser.add_argument("--only", metavar="PACKAGE", help="check this one, in this environment")
    options = parser.parse_args(arguments)
    packages = Package.find(options.root)
    chosen = [one for one in packages if options.only in (None, one.name)]
    problems: list[str] = []
    for package in chosen:
        found = None if options.only else elsewhere(package)
        if found is None:
            siblings = {other.name for other in packages} - {package.name, CORE}
            found = list(check(package, siblings))
        problems += found
        problems += check_circles(package)
        if package.name == CORE:
            problems += check_layers(package)
    for problem in problems:
        print(problem.removeprefix(f"{options.root}/"))
    print(f"{len(chosen)} packages checked: {len(problems)} imports against the rules")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
