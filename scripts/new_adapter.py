"""Creates the skeleton of a new adapter, which works and passes its tests.

    python scripts/new_adapter.py NAME [--into FOLDER]

It copies `adapter_template` under the new name; without ``--into``, to a package of this
repository. ``REPLACE`` marks the places to adapt to the framework; docs/extending.md has the
recipe.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from botwire import __version__

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = Path(__file__).resolve().parent / "adapter_template"
OUTSIDE, INSIDE = Path("tests/conftest.py"), Path("tests/conftest_inside.py")
"""The test setup outside and inside this repository; inside, tests use its own fixtures."""

NEXT = """\
{folder} is a package that works. What is left (docs/extending.md says more):

1. Declare it: a line  {name} = []  in the root pyproject.toml, under [tool.botwire.adapters]. Then
   hatch run test packages/botwire-{name}
2. Replace what is marked:  grep -rn REPLACE {folder}
3. Add an extra to packages/botwire/pyproject.toml and a row to packages/botwire/README.md; to the
   tables in README.md and docs/architecture.md; a line to CHANGELOG.md; a program to examples/.
4. hatch run newest:pin {name} && hatch run python scripts/published.py, which write the releases
   that the tests use and what the package index shows. Then, to name the oldest and the newest
   supported releases in the README,
   hatch run test --alone --record packages/botwire-{name}
   hatch run lint && hatch run types && hatch run imports
   hatch run test tests/test_repository.py tests/test_site.py
"""


def make(name: str, packages: Path, *, inside: bool = False) -> Path:
    """Creates the package of an adapter; returns its folder.

    Args:
        name: The framework's name, in lower case with hyphens: ``agent-framework``.
        packages: The folder to create it in.
        inside: Whether its tests use the fixtures of this repository.

    Raises:
        ValueError: The name is not valid, or the package exists.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise ValueError(f"{name!r} is not a name: lower case, words separated by hyphens")
    folder = packages / f"botwire-{name}"
    if folder.exists():
        raise ValueError(f"{folder} exists")
    module = name.replace("-", "_")
    title = "".join(word.capitalize() for word in name.split("-"))
    names = {
        "botwire_newframework": f"botwire_{module}",
        "test_newframework": f"test_{module}",
        "newframework": name,
        "NewFramework": title,
        "0.0.0": __version__,
    }
    pattern = re.compile("|".join(map(re.escape, names)))
    for source in sorted(TEMPLATE.rglob("*")):
        path = source.relative_to(TEMPLATE)
        if source.is_dir() or "__pycache__" in source.parts or path == (INSIDE, OUTSIDE)[inside]:
            continue
        if path == INSIDE:
            path = OUTSIDE
        target = folder / pattern.sub(lambda match: names[match[0]], str(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(pattern.sub(lambda match: names[match[0]], source.read_text()))
    (folder / "LICENSE").write_bytes((ROOT / "LICENSE").read_bytes())
    return folder


def main() -> None:
    """Creates the adapter that the command line names."""
    parser = argparse.ArgumentParser(description="Creates the skeleton of a new adapter.")
    parser.add_argument("name", metavar="NAME", help="the framework, for example agent-framework")
    parser.add_argument("--into", type=Path, default=ROOT / "packages", metavar="FOLDER")
    given = parser.parse_args()
    try:
        packages = given.into.resolve()
        folder = make(given.name, packages, inside=packages == ROOT / "packages")
    except ValueError as error:
        sys.exit(str(error))
    print(NEXT.format(folder=folder, name=given.name))


if __name__ == "__main__":
    main()
