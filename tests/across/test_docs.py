"""The programs in README files run."""

from __future__ import annotations

import pkgutil
import re
from pathlib import Path

import pytest

import environments
from environments import ROOT
from tests.across.conftest import Forks
from tests.programs import RUN

READMES = [
    ROOT / "README.md",
    *sorted(ROOT.glob("packages/*/README.md")),
    ROOT / "server/README.md",
]
PROGRAMS = ROOT / "scripts" / "readme_programs.py"


@pytest.mark.parametrize("readme", READMES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_python_of_a_readme_runs(forks: Forks, readme: Path, tmp_path: Path) -> None:
    zygote = forks.zygote(environments.environment_of(readme))
    with zygote.start(RUN, str(PROGRAMS), str(readme), folder=tmp_path) as process:
        process.communicate()
        assert process.returncode == 0, process.stderr


def test_links_lead_somewhere() -> None:
    for document in [*READMES, *ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        for link in re.findall(r"\]\(([^)]+)\)", document.read_text()):
            target, _, anchor = link.partition("#")
            if "://" in link:
                continue
            path = document.parent / target if target else document
            assert path.exists(), f"{document}: {link}"
            if anchor:
                assert anchor in anchors(path), f"{document}: {link}"


def anchors(page: Path) -> set[str]:
    """Returns the anchors of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    words = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {text.replace(" ", "-") for text in words}


def test_every_term_of_the_concepts_is_in_the_glossary() -> None:
    glossary = (ROOT / "docs/glossary.md").read_text()
    listed = re.findall(r"^\| \*\*(.+?)\*\* \| \S", glossary, re.MULTILINE)
    assert listed == sorted(listed, key=str.lower)
    assert len(listed) == len(set(listed))
    bold = {
        word.rstrip(".").lower()
        for word in re.findall(r"\*\*(.+?)\*\*", (ROOT / "docs/concepts.md").read_text())
    }
    known = {term.lower() for term in listed}
    assert bold
    for word in bold:
        singular = (word, word.removesuffix("s"), word.removesuffix("ies") + "y")
        assert known & set(singular), f"{word} is not in docs/glossary.md"


def test_the_readme_leads_to_every_page() -> None:
    readme = (ROOT / "README.md").read_text()
    for page in ROOT.glob("docs/*.md"):
        assert f"(docs/{page.name})" in readme


SPANS = ROOT / "packages/botwire-core/src/botwire/client/spans.py"
"""Names the attributes of spans, which look like modules."""
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]


def test_every_module_that_a_page_names_exists() -> None:
    folders = ("packages", "server", "tests", "scripts", "examples", "benchmarks")
    paths = [path.as_posix() for folder in folders for path in (ROOT / folder).rglob("*.py")]
    for page in PAGES:
        for name in re.findall(r"`([\w/.-]+\.py)`", page.read_text()):
            assert any(path.endswith(f"/{name}") for path in paths), f"{page.name}: {name}"


def test_every_name_of_the_core_on_a_page_exists() -> None:
    for page in PAGES:
        for name in re.findall(r"`(botwire(?:\.\w+)+)`", page.read_text()):
            is_file = (ROOT / "deploy" / name).exists()  # botwire.service
            is_attribute = f'"{name}":' in SPANS.read_text()
            assert is_file or is_attribute or resolves(name), f"{page.name}: {name}"


def resolves(name: str) -> bool:
    """Returns whether a dotted name is a module, or something in one."""
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True
