"""Runs the cells of a notebook as a kernel does: in one process with a running event loop.

Run as a script, it takes the path of a notebook. Cells that begin with ``%`` are left out.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import sys
import types
from pathlib import Path


async def run(notebook: str) -> None:
    """Runs the code cells of a notebook, given as JSON."""
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module  # classes defined in a cell belong to it
    for cell in json.loads(notebook)["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] != "code" or source.startswith("%"):
            continue
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code = compile(source, cell["id"], "exec", flags=flags, dont_inherit=True)
        result = eval(code, vars(module))  # noqa: S307 - it is what the notebook says
        if inspect.isawaitable(result):
            await result


def main() -> None:
    """Runs the notebook that the command line names."""
    asyncio.run(run(Path(sys.argv[1]).read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
