"""Writes the blocking half of the core from the asynchronous one.

Every module ``_async.py`` and every module in a folder ``_async`` has a twin, ``_sync.py`` or in
``_sync``, that differs only by the substitutions below, as in httpcore's unasync script. Run it
after changing the asynchronous half; with ``--check`` it changes nothing and fails if a twin is not
what it would write.
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
        (r"\b_async\b", "_sync"),
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


def twin(path: Path) -> Path:
    """Returns the path of a module's blocking twin."""
    parts = ["_sync" if part == "_async" else part for part in path.with_suffix("").parts]
    return Path(*parts).with_suffix(".py")


def modules(package: Path, half: str) -> list[Path]:
    """Returns the modules of a half (``_async`` or ``_sync``), relative to the package."""
    found = [*package.rglob(f"{half}.py"), *package.rglob(f"{half}/*.py")]
    return sorted(path.relative_to(package) for path in found)


def generate(package: Path, target: Path) -> None:
    """Writes the twins of all asynchronous modules of a package below `target`, formatted."""
    written = []
    for module in modules(package, "_async"):
        path = target / twin(module)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(blocking((package / module).read_text(), module.as_posix()))
        written.append(path.resolve())
    ruff = shutil.which("ruff", path=sysconfig.get_path("scripts")) or "ruff"
    for command in (["check", "--select=I,F401,F811", "--fix"], ["format"]):
        settings = ["--quiet", "--config=pyproject.toml"]
        subprocess.run([ruff, *command, *settings, *written], cwd=ROOT, check=True)


def difference(expected: Path, found: Path) -> str:
    """Returns how the twins below two folders differ, as a unified diff; empty if they do not."""
    diff: list[str] = []
    for name in sorted({*modules(expected, "_sync"), *modules(found, "_sync")}):
        old, new = (
            (folder / name).read_text().splitlines(keepends=True)
            if (folder / name).exists()
            else []
            for folder in (found, expected)
        )
        diff += difflib.unified_diff(old, new, f"found/{name}", f"expected/{name}")
    return "".join(diff)


def main(arguments: list[str] | None = None, package: Path = PACKAGE) -> int:
    """Generates, or checks; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing, fail if out of date")
    options = parser.parse_args(arguments)
    if not options.check:
        for stray in modules(package, "_sync"):
            (package / stray).unlink()
        generate(package, package)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        generate(package, Path(folder))
        diff = difference(Path(folder), package)
    sys.stdout.write(diff)
    if diff:
        print("the blocking half is out of date: run `hatch run generate`", file=sys.stderr)
    return 1 if diff else 0


if __name__ == "__main__":
    sys.exit(main())
