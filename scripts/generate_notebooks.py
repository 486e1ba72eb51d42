"""Writes a notebook for each framework from its example: ``examples/notebooks/NAME.ipynb``.

A notebook has the example's program twice, with a statement and with a question as its input, and
the scripted model, so that it runs anywhere. With ``--check``, the script changes nothing, and
fails if a notebook is stale.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from environments import ROOT
from published import DISTRIBUTIONS

EXAMPLES = ROOT / "examples"
FOLDER = EXAMPLES / "notebooks"
SOURCES: Mapping[str, str] = {
    "ag2": "ag2_agent.py",
    "agent-framework": "agent_framework_agent.py",
    "autogen": "autogen_team.py",
    "claude": "claude_memory.py",
    "crewai": "crewai_crew.py",
    "google-adk": "google_adk_agent.py",
    "langchain": "langchain_history.py",
    "langgraph": "langgraph_agent.py",
    "llamaindex": "llamaindex_agent.py",
    "openai-agents": "openai_agents_agent.py",
    "pydantic-ai": "pydantic_ai_agent.py",
    "strands": "strands_agent.py",
}
"""The example of each framework that becomes a notebook."""
SAID, ASKED = "My cat is called Turing.", "What is my cat called?"
AGAIN = """\
The next cell makes everything anew, as another process would. Or restart the kernel, and run the
cell with the model and the next one."""
FUTURE = "from __future__ import annotations\n"


def notebook(name: str) -> str:
    """Returns the notebook of a framework, as text."""
    source = (EXAMPLES / SOURCES[name]).read_text()
    title = DISTRIBUTIONS[f"botwire-{name}"].title
    about = ast.get_docstring(ast.parse(source)) or ""
    cells: list[str | list[str]] = [
        f"# {title}\n\n{about} Memory is kept where `BOTWIRE_URL` says, by default in a file.",
        [f'%pip install -q "botwire[{name}]"'],
        "A scripted model stands in for yours, and repeats what it was told: no API key is needed.",
        [model(source)],
        "Tell it something.",
        [program(source, SAID)],
        AGAIN,
        [program(source, ASKED)],
    ]
    return json.dumps(_document(cells), indent=1, ensure_ascii=False) + "\n"


def model(source: str) -> str:
    """Returns the scripted model that an example imports, as one cell."""
    [module] = re.findall(r"^from scripted\.(\w+) import", source, re.MULTILINE)
    parts = [(EXAMPLES / f"scripted/{one}.py").read_text() for one in ("__init__", module)]
    parts = [re.sub(r'\A""".*?"""\n+', "", part, flags=re.DOTALL) for part in parts]
    text = "\n\n".join(part.replace(FUTURE, "").strip() for part in parts)
    text = re.sub(r"^from scripted import reply\n+", "", text, flags=re.MULTILINE)
    return FUTURE + "\n" + text


def program(source: str, said: str) -> str:
    """Returns an example as a cell that is told one line."""
    text = re.sub(r'\A""".*?"""\n+', "", source, flags=re.DOTALL)
    text = re.sub(r"^import sys\n|^from scripted\..*\n", "", text, flags=re.MULTILINE)
    text = text.replace("sys.stdin", json.dumps([said]))
    # A notebook has an event loop already.
    text = text.replace("asyncio.run(main())", "await main()")
    text = text.replace("crew.kickoff(", "await crew.kickoff_async(")
    if "asyncio." not in text:
        text = text.replace("import asyncio\n", "")
    return text.strip()


def _document(cells: Sequence[str | list[str]]) -> object:
    written: list[dict[str, Any]] = []
    for number, cell in enumerate(cells):
        text = cell if isinstance(cell, str) else cell[0]
        one = {"id": f"cell-{number}", "metadata": {}, "source": text.splitlines(keepends=True)}
        if isinstance(cell, str):
            written.append({"cell_type": "markdown", **one})
        else:
            written.append({"cell_type": "code", "execution_count": None, "outputs": [], **one})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": written,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def main() -> int:
    """Writes or checks the notebooks; returns the exit code."""
    parser = argparse.ArgumentParser(description="Writes a notebook for each framework.")
    parser.add_argument("--check", action="store_true", help="only say whether they are stale")
    given = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    wanted = {FOLDER / f"{name}.ipynb": notebook(name) for name in SOURCES}
    stale = [file for file, text in wanted.items() if not file.exists() or file.read_text() != text]
    stale += sorted(set(FOLDER.glob("*.ipynb")) - wanted.keys())
    if given.check:
        for file in stale:
            print(f"{file.relative_to(ROOT)} is stale: run `hatch run generate`", file=sys.stderr)
        return int(bool(stale))
    for file in stale:
        if file in wanted:
            file.write_text(wanted[file])
        else:
            file.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
