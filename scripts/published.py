"""What the package index shows of each distribution: title, keywords, classifiers and addresses.

The list is here, and ``python scripts/published.py`` writes it into every ``pyproject.toml``. A
test fails if one differs. To move the project to another address, change `REPOSITORY` and
`DOCUMENTATION` here, and run the script.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from environments import ROOT

REPOSITORY = "https://github.com/pmestre-Forge/botwire-sdk"
DOCUMENTATION = "https://botwire.dev/docs"
URLS = {
    "Homepage": "https://botwire.dev",
    "Documentation": DOCUMENTATION,
    "Repository": REPOSITORY,
    "Issues": f"{REPOSITORY}/issues",
    "Changelog": f"{DOCUMENTATION}/changelog.html",
}
KEYWORDS = ("agents", "llm", "memory", "persistence")
CLASSIFIERS = (
    "Development Status :: 4 - Beta",
    "Intended Audience :: Developers",
    "Operating System :: OS Independent",
    "Programming Language :: Python :: 3 :: Only",
    "Programming Language :: Python :: 3.11",
    "Programming Language :: Python :: 3.12",
    "Programming Language :: Python :: 3.13",
    "Topic :: Scientific/Engineering :: Artificial Intelligence",
    "Topic :: Software Development :: Libraries :: Python Modules",
    "Typing :: Typed",
)

ALIASES = {"langchain-botwire": "botwire-langchain"}
"""Distributions in ``aliases`` that only give an adapter the name that its ecosystem expects.

LangChain's list of integrations goes by such names. LlamaIndex lists packages outside of its
repository under their own names (``[tool.llamahub]``), and the others have no pattern.
"""

_OWN: Mapping[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "botwire": ("BotWire", ("langchain", "langgraph", "llama-index", "crewai", "mcp"), ()),
    "botwire-core": ("Core", ("chat history", "sqlite", "postgresql"), ()),
    "botwire-server": (
        "Server",
        ("server", "fastapi", "rest"),
        ("Framework :: FastAPI", "Topic :: Internet :: WWW/HTTP :: HTTP Servers"),
    ),
    "botwire-console": ("Console", ("console",), ("Topic :: Internet :: WWW/HTTP",)),
    "botwire-ag2": ("AG2", ("ag2",), ()),
    "botwire-agent-framework": ("Microsoft Agent Framework", ("agent-framework",), ()),
    "botwire-autogen": ("AutoGen", ("autogen",), ()),
    "botwire-claude": ("Claude", ("anthropic", "claude"), ()),
    "botwire-crewai": ("CrewAI", ("crewai",), ()),
    "botwire-google-adk": ("Google ADK", ("google-adk",), ()),
    "botwire-langchain": ("LangChain", ("langchain", "chat history"), ()),
    "botwire-langgraph": ("LangGraph", ("langgraph", "checkpoint"), ()),
    "botwire-llamaindex": ("LlamaIndex", ("llama-index",), ()),
    "botwire-mcp": ("MCP", ("mcp", "model context protocol"), ()),
    "botwire-openai-agents": ("OpenAI Agents SDK", ("openai-agents",), ()),
    "botwire-pydantic-ai": ("Pydantic AI", ("pydantic-ai",), ()),
    "langchain-botwire": ("LangChain", ("langchain", "chat history"), ()),
    "botwire-strands": ("Strands Agents", ("strands", "strands-agents"), ()),
}
"""The title of each distribution, and its own keywords and classifiers."""


@dataclass(frozen=True)
class Published:
    """What the package index shows of a distribution."""

    name: str
    title: str
    description: str
    file: Path
    keywords: tuple[str, ...]
    classifiers: tuple[str, ...]

    def wanted(self, text: str) -> str:
        """Returns the text of a ``pyproject.toml`` with what this list says in it."""
        keywords = ", ".join(f'"{word}"' for word in self.keywords)
        classifiers = "".join(f'  "{line}",\n' for line in self.classifiers)
        urls = "".join(f'{name} = "{address}"\n' for name, address in URLS.items())
        text = re.sub(r"^keywords = .*$", f"keywords = [{keywords}]", text, flags=re.MULTILINE)
        text = re.sub(
            r"^classifiers = \[\n.*?^\]",
            f"classifiers = [\n{classifiers}]",
            text,
            count=1,
            flags=_MANY,
        )
        text = re.sub(r"^\[project\.urls\]\n.*?\n\n", "", text, count=1, flags=_MANY)
        # The first table after [project] follows its dependencies.
        head, project, rest = text.partition("[project]\n")
        before, bracket, after = rest.partition("\n[")
        return f"{head}{project}{before}\n[project.urls]\n{urls}{bracket}{after}"


_MANY = re.MULTILINE | re.DOTALL


def folders() -> list[Path]:
    """Returns the folder of every distribution: packages, the server and aliases."""
    files = [*ROOT.glob("packages/*/pyproject.toml"), *ROOT.glob("aliases/*/pyproject.toml")]
    return [*sorted(file.parent for file in files), ROOT / "server"]


def _found() -> Iterator[Published]:
    for file in [folder / "pyproject.toml" for folder in folders()]:
        project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
        name = project["name"]
        short = name.removeprefix("botwire-")
        title, keywords, classifiers = _OWN.get(name, (short.title(), (short,), ()))
        typed = [*CLASSIFIERS, *classifiers]
        if not (file.parent / "src").exists():
            typed.remove("Typing :: Typed")
        yield Published(
            name=name,
            title=title,
            description=project["description"],
            file=file,
            keywords=tuple(sorted({*KEYWORDS, *keywords})),
            classifiers=tuple(sorted(typed)),
        )


DISTRIBUTIONS: Mapping[str, Published] = {one.name: one for one in _found()}
"""Every distribution of this repository by name."""


def main() -> int:
    """Writes the list into every ``pyproject.toml``; returns the exit code."""
    for one in DISTRIBUTIONS.values():
        text = one.file.read_text(encoding="utf-8")
        one.file.write_text(one.wanted(text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
