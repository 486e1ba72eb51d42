"""Generates the blocking client from the asynchronous one.

Every file in ``botwire/_async`` has a twin in ``botwire/_sync`` that differs only by the
substitutions below, as in httpcore's unasync script. Run it after changing ``_async``. With
``--check`` it changes nothing, and fails if a twin is out of date.
"""

from __future__ import annotations

import argparse
import difflib
import io
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "packages/botwire-core/src/botwire"

SUBSTITUTIONS = [
    (re.compile(pattern, re.MULTILINE), replacement)
    for pattern, replacement in (
        (r"\basync (def|with|for) ", r"\1 "),
        (r"\bawait ", ""),
        (r"__a(enter|exit|iter|next)__", r"__\1__"),
        (r"\baclose\b", "close"),
        (r"\banext\(", "next("),
        (r"\bStopAsyncIteration\b", "StopIteration"),
        (r"\basynccontextmanager\b", "contextmanager"),
        (r"\bAwaited(History)?Access\b", lambda m: f"{m[1] or 'Mapping'}Access"),
        (r"\bAsync([A-Z]\w*)", r"\1"),
        (r"\basyncio\.sleep\b", "time.sleep"),
        (r"^import asyncio\n", "import time\n"),
        (r"\bopen_async_engine\b", "open_engine"),
        (r"\bbotwire\._async\b", "botwire._sync"),
        (r"The memory client, asynchronous", "The memory client, blocking"),
    )
]


def blocking(source: str, name: str) -> str:
    """Returns the blocking twin of a module's text.

    Raises:
        ValueError: Something asynchronous is left for which there is no substitution.
    """
    text = source
    for pattern, replacement in SUBSTITUTIONS:
        text = pattern.sub(replacement, text)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME and token.string in {"async", "await", "asyncio"}:
            raise ValueError(f"{name}:{token.start[0]}: no substitution for {token.line.strip()!r}")
    return f"# Generated from {name} by scripts/generate_blocking.py: do not edit.\n{text}"


def generate(source: Path, target: Path) -> None:
    """Writes the formatted twins of all modules in `source` to `target`."""
    target.mkdir(exist_ok=True)
    for path in sorted(source.glob("*.py")):
        text = blocking(path.read_text(), f"{source.name}/{path.name}")
        (target / path.name).write_text(text)
    ruff = shutil.which("ruff", path=sysconfig.get_path("scripts")) or "ruff"
    for command in (["check", "--select=I,F401,F811", "--fix"], ["format"]):
        settings = ["--quiet", "--config=pyproject.toml"]
        subprocess.run([ruff, *command, *settings, target.resolve()], cwd=ROOT, check=True)


def difference(expected: Path, found: Path) -> str:
    """Returns a unified diff of `expected` and `found`; empty if they are equal."""
    diff: list[str] = []
    names = {path.name for folder in (expected, found) for path in folder.glob("*.py")}
    for name in sorted(names):
        old, new = (
            (folder / name).read_text().splitlines(keepends=True)
            if (folder / name).exists()
            else []
            for folder in (found, expected)
        )
        diff += difflib.unified_diff(old, new, f"{found.name}/{name}", f"expected/{name}")
    return "".join(diff)


def main(arguments: list[str] | None = None, package: Path = PACKAGE) -> int:
    """Generates, or checks; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing, fail if out of date")
    options = parser.parse_args(arguments)
    source, target = package / "_async", package / "_sync"
    if not options.check:
        for stray in target.glob("*.py"):
            stray.unlink()
        generate(source, target)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        expected = Path(folder) / "_sync"
        generate(source, expected)
        diff = difference(expected, target)
    sys.stdout.write(diff)
    if diff:
        print("botwire/_sync is out of date: run `hatch run generate`", file=sys.stderr)
    return 1 if diff else 0


if __name__ == "__main__":
    sys.exit(main())
