"""Runs the Python of a documentation page as one program, and checks its comments.

A reader works through a page from top to bottom, so the blocks share their names. A comment
``# → …`` behind an expression states its value: ``memory.get("a")  # → 1``. An ellipsis in it
stands for anything.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
"""A block of Python of a page."""
_STATED = re.compile(r"# → (.*)$")


class _Stated(ast.NodeTransformer):
    """Replaces each expression whose value is stated by a call that compares the two."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.found = 0

    def visit_Expr(self, node: ast.Expr) -> ast.Expr:
        match = _STATED.search(self.lines[(node.end_lineno or 0) - 1])
        if match is None:
            return node
        self.found += 1
        name = ast.Name("_check", ast.Load())
        call = ast.Call(name, [node.value, ast.Constant(match[1])], [])
        return ast.fix_missing_locations(ast.copy_location(ast.Expr(call), node))


def _check(value: Any, stated: str) -> None:
    pattern = ".*".join(map(re.escape, stated.split("…")))
    assert re.fullmatch(pattern, repr(value), re.DOTALL), f"{value!r} is not {stated}"


def run_page(page: Path) -> dict[str, Any]:
    """Runs the blocks of a page in order; returns the names they have defined."""
    text = page.read_text()
    names: dict[str, Any] = {"__name__": "__main__", "_check": _check}
    for match in BLOCK.finditer(text):
        # Line numbers of errors are those of the page.
        source = "\n" * text.count("\n", 0, match.start(1)) + match[1]
        stated = _Stated(source.splitlines())
        tree = stated.visit(ast.parse(source, str(page)))
        assert stated.found == match[1].count("# →"), f"no expression before an arrow: {match[1]}"
        exec(compile(tree, str(page), "exec", dont_inherit=True), names)
    return names
