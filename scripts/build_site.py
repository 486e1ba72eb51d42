"""Builds the site in ``dist/site``, and fails on a broken link or an undocumented public name.

The pages are those that the repository has anyway: ``docs``, the README of each package and the
changelog. This script copies them, turns links between files into links between pages, adds a page
of reference for each package, and runs Zensical strictly. Then it reads what Zensical wrote: every
link must lead to a page and an anchor that exist, and every exported name must be there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import griffe

import environments
from environments import ROOT
from published import DISTRIBUTIONS, DOCUMENTATION, REPOSITORY

WORK = ROOT / ".cache/site"
SITE = ROOT / "dist/site"

SECTIONS: Mapping[str, Mapping[str, str]] = {
    "Start": {
        "What it is": "README.md",
        "Concepts": "docs/concepts.md",
        "Python guide": "docs/guide.md",
        "Recipes": "docs/recipes.md",
        "Examples": "examples/README.md",
        "Migrating": "docs/migrating.md",
    },
    "Running it": {
        "Server": "server/README.md",
        "Deploying": "docs/operating.md",
        "Security": "docs/security.md",
        "Console": "docs/console.md",
        "Command line": "docs/command-line.md",
        "HTTP API": "docs/http-api.md",
        "TypeScript": "clients/typescript/README.md",
        "MCP": "docs/mcp.md",
        "Scaling": "docs/scaling.md",
    },
    "Evidence": {
        "Performance": "docs/performance.md",
        "Proof": "docs/proof.md",
        "Architecture": "docs/architecture.md",
    },
    "Project": {
        "Changelog": "CHANGELOG.md",
        "Extending": "docs/extending.md",
        "Contributing": "CONTRIBUTING.md",
        "Reporting a vulnerability": "SECURITY.md",
        "Glossary": "docs/glossary.md",
    },
}
"""The pages that are written by hand, by section; those of the adapters are added."""
LINK = re.compile(r"(!?\[[^\]]*\]\()([^)\s]+)(\))")
BADGE = re.compile(r"^\[!\[.*\n", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


class SiteError(Exception):
    """The site would be wrong; the message has one problem per line."""


def sections() -> dict[str, dict[str, str]]:
    """Returns the sections of the site: for each page its title and its file."""
    adapters = {
        DISTRIBUTIONS[f"botwire-{name}"].title: f"packages/botwire-{name}/README.md"
        for name in sorted(environments.adapters())
        if name not in ("console", "mcp")
    }
    written = {
        section: {title: file for title, file in pages.items() if (ROOT / file).exists()}
        for section, pages in SECTIONS.items()
    }
    server = {**written["Running it"]}
    server["MCP server"] = "packages/botwire-mcp/README.md"
    start = written.pop("Start")
    return {"Start": start, "Frameworks": adapters, **written, "Running it": server}


def page_of(file: str) -> str:
    """Returns the page that a file becomes."""
    path = PurePosixPath(file)
    if file == "README.md":
        return "index.md"
    if path.parts[0] == "packages":
        return f"frameworks/{path.parent.name.removeprefix('botwire-')}.md"
    if path.name == "README.md":
        return f"{'-'.join(path.parent.parts)}.md"
    # SECURITY.md says how to report; docs/security.md what is protected.
    return {"SECURITY.md": "reporting.md"}.get(file, path.name.lower())


def with_links_of_the_site(text: str, file: str, pages: Mapping[str, str]) -> str:
    """Returns the text of a page whose links lead to other pages, or into the repository.

    Args:
        text: The text as it is in the repository.
        file: Its path there.
        pages: The page of each file that has one.
    """
    here = PurePosixPath(page_of(file)).parent

    def replaced(match: re.Match[str]) -> str:
        before, link, after = match.groups()
        link = link.removeprefix(f"{DOCUMENTATION}/") if link.startswith(DOCUMENTATION) else link
        local = link != match[2]
        if (urlsplit(link).scheme and not local) or link.startswith("#"):
            return match[0]
        target, _, anchor = link.partition("#")
        anchor = f"#{anchor}" if anchor else ""
        if local:
            page = re.sub(r"\.html$", ".md", target)
        else:
            path = os.path.normpath(PurePosixPath(file).parent / target)
            if not (ROOT / path).exists():
                raise SiteError(f"{file}: {link} does not exist")
            path = f"{path}/README.md" if f"{path}/README.md" in pages else path
            if path not in pages and not path.endswith(".png"):
                kind = "tree" if (ROOT / path).is_dir() else "blob"
                return f"{before}{REPOSITORY}/{kind}/main/{path}{anchor}{after}"
            page = pages.get(path, PurePosixPath(path).name)
        return f"{before}{os.path.relpath(page, here)}{anchor}{after}"

    parts, end = [], 0
    for block in FENCE.finditer(text):  # code is left alone
        parts += [LINK.sub(replaced, text[end : block.start()]), block[0]]
        end = block.end()
    return "".join([*parts, LINK.sub(replaced, text[end:])])


def exported() -> dict[str, list[str]]:
    """Returns the public names of each package that has any, after checking their docstrings."""
    sources = [*sorted(ROOT.glob("packages/*/src")), ROOT / "server/src"]
    loader = griffe.GriffeLoader(search_paths=[str(folder) for folder in sources])
    found: dict[str, list[str]] = {}
    problems = []
    for file in sorted(file for folder in sources for file in folder.glob("*/__init__.py")):
        loader.load(file.parent.name)
    loader.resolve_aliases(implicit=True, external=False)
    inner = ("botwire.transfer", "botwire.retention", "botwire.testing")
    for name in [*loader.modules_collection.members, *inner]:
        module = loader.modules_collection[name]
        public = [one for one in map(str, module.exports or []) if one != "__version__"]
        found[name] = public
        for one in public:
            problems += [
                f"{member.path} has no docstring"
                for member in _with_methods(module[one])
                if not member.has_docstring and "override" not in _decorators(member)
            ]
    if problems:
        raise SiteError("\n".join(problems))
    return {name: found[name] for name in sorted(found) if found[name]}


def _with_methods(thing: Any) -> Iterator[Any]:
    """Yields a public thing and, if it is a class of ours, its public methods."""
    target = thing.final_target if thing.is_alias else thing
    yield target
    if target.is_class:
        for name, member in target.members.items():
            if not name.startswith("_") and not member.is_alias and member.is_function:
                yield member


def _decorators(thing: Any) -> set[str]:
    if not thing.is_function:
        return set()
    return {str(one.value).rsplit(".", 1)[-1] for one in thing.decorators}


def reference(package: str, names: list[str]) -> str:
    """Returns the page with the docstrings of a package's public names."""
    return "\n\n".join([f"# {package}", *(f"::: {package}.{name}" for name in names)]) + "\n"


def toml(value: Any) -> str:
    """Returns a value as TOML, on one line."""
    if isinstance(value, Mapping):
        inside = ", ".join(f"{json.dumps(key)} = {toml(one)}" for key, one in value.items())
        return f"{{ {inside} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    return json.dumps(value)


def configuration(nav: list[Any]) -> str:
    """Returns the settings of Zensical with the navigation and the folders."""
    settings = tomllib.loads((ROOT / "docs/zensical.toml").read_text())["project"]
    # A `repo_url` would make each page ask the repository's host for its stars.
    source = {"icon": "fontawesome/brands/github", "link": REPOSITORY, "name": "The repository"}
    settings |= {"site_url": f"{DOCUMENTATION}/", "extra": {"social": [source]}, "nav": nav}
    settings |= {"docs_dir": "pages", "site_dir": "html"}
    python = settings["plugins"]["mkdocstrings"]["handlers"]["python"]
    python["paths"] = [str(path) for path in [*ROOT.glob("packages/*/src"), ROOT / "server/src"]]
    return f"project = {toml(settings)}\n"


def write_pages(work: Path) -> dict[str, list[str]]:
    """Writes all that Zensical reads into a folder; returns the public names of each package."""
    folder = work / "pages"
    parts = sections()
    pages = {file: page_of(file) for part in parts.values() for file in part.values()}
    for file, page in pages.items():
        (folder / page).parent.mkdir(parents=True, exist_ok=True)
        text = (ROOT / file).read_text()
        text = BADGE.sub("", text)  # the site loads nothing from elsewhere
        (folder / page).write_text(with_links_of_the_site(text, file, pages))
    for beside in [*(ROOT / "docs").glob("*.png"), ROOT / "docs/site.css"]:
        shutil.copy(beside, folder)
    names = exported()
    (folder / "reference").mkdir()
    for package, public in names.items():
        (folder / f"reference/{package}.md").write_text(reference(package, public))
    nav: list[Any] = [
        {section: [{title: pages[file]} for title, file in part.items()]}
        for section, part in parts.items()
    ]
    nav.append({"Reference": [{package: f"reference/{package}.md"} for package in names]})
    (work / "zensical.toml").write_text(configuration(nav))
    (work / "llms.txt").write_text(llms(parts))
    (work / "llms-full.txt").write_text(
        "\n\n".join((folder / page).read_text().strip() for page in pages.values()) + "\n"
    )
    return names


def llms(parts: Mapping[str, Mapping[str, str]]) -> str:
    """Returns ``llms.txt``: what the site has, for programs that read it (llmstxt.org)."""
    lines = ["# BotWire", "", f"> {DISTRIBUTIONS['botwire'].description}", ""]
    for section, pages in parts.items():
        lines += [f"## {section}", ""]
        for title, file in pages.items():
            address = f"{DOCUMENTATION}/{page_of(file).removesuffix('.md')}.html"
            lines.append(f"- [{title}]({address}): {first_sentence((ROOT / file).read_text())}")
        lines.append("")
    return "\n".join(lines)


def first_sentence(text: str) -> str:
    """Returns the first sentence of a page below its heading."""
    skipped = ("#", "!", "[!", "<!--")  # headings, pictures, badges and comments
    paragraphs = [part for part in text.split("\n\n") if not part.lstrip().startswith(skipped)]
    plain = LINK.sub(lambda match: match[1][1:-2], paragraphs[0])
    return re.split(r"(?<=[.:])\s", " ".join(plain.split()))[0]


class _Page(HTMLParser):
    """Reads the anchors and the links of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if "id" in values:
            self.anchors.add(values["id"])
        for name in ("href", "src"):
            if name in values:
                self.links.add(values[name])


def check(html: Path, names: Mapping[str, list[str]]) -> None:
    """Checks that links of the built site lead somewhere, and that it has every public name.

    Raises:
        SiteError: They do not, or it has not.
    """
    pages = {}
    for file in html.rglob("*.html"):
        pages[file] = page = _Page()
        page.feed(file.read_text())
    problems = []
    for file, page in pages.items():
        if file.name == "404.html":  # its links start at the root
            continue
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            target = target / "index.html" if target.is_dir() else target
            missing = parts.fragment and target in pages and parts.fragment != "__top"
            if not target.exists() or (missing and parts.fragment not in pages[target].anchors):
                problems.append(f"{file.relative_to(html)}: {link} leads nowhere")
    for package, public in names.items():
        anchors = pages[html / f"reference/{package}.html"].anchors
        problems += [
            f"{package}.{name} is not on the site"
            for name in public
            if f"{package}.{name}" not in anchors
        ]
    if problems:
        raise SiteError("\n".join(sorted(problems)))


def main() -> int:
    """Builds the site; returns the exit code."""
    try:
        shutil.rmtree(WORK, ignore_errors=True)
        names = write_pages(WORK)
        command = [sys.executable, "-m", "zensical", "build", "--strict"]
        done = subprocess.run(command, cwd=WORK, capture_output=True, text=True, check=False)
        output = done.stdout + done.stderr
        print(output, end="")
        # What griffe finds wrong in a docstring is no warning to Zensical.
        if done.returncode or "griffe: " in output:
            return 1
        html = WORK / "html"
        for file in ("llms.txt", "llms-full.txt"):
            shutil.copy(WORK / file, html)
        check(html, names)
    except SiteError as error:
        print(error, file=sys.stderr)
        return 1
    shutil.rmtree(SITE, ignore_errors=True)
    shutil.copytree(html, SITE)
    print(f"{SITE.relative_to(ROOT)}: {len(list(SITE.rglob('*.html')))} pages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
