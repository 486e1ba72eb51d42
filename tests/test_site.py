"""The site has every package and every public name, and its links work."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import build_site
import environments
from build_site import SiteError
from environments import ROOT
from published import ALIASES, DISTRIBUTIONS, DOCUMENTATION


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    build_site.write_pages(folder)
    return folder


def test_every_adapter_has_a_page_and_a_reference(work: Path) -> None:
    nav = str(tomllib.loads((work / "zensical.toml").read_text())["project"]["nav"])
    for name, folder in environments.adapters().items():
        assert f"'frameworks/{name}.md'" in nav or name == "console"
        module = folder.name.replace("-", "_")
        assert f"::: {module}." in (work / f"pages/reference/{module}.md").read_text()


def test_every_page_of_the_docs_is_on_the_site(work: Path) -> None:
    for page in ROOT.glob("docs/*.md"):
        assert (work / "pages" / page.name).exists(), f"scripts/build_site.py lacks {page.name}"


def test_programs_find_every_page_in_llms_txt(work: Path) -> None:
    text = (work / "llms.txt").read_text()
    for part in build_site.sections().values():
        for title in part:
            assert f"- [{title}]({DOCUMENTATION}/" in text


def test_a_link_to_a_file_that_does_not_exist_is_refused() -> None:
    with pytest.raises(SiteError, match=r"docs/guide.md: nowhere.md does not exist"):
        build_site.with_links_of_the_site("[a](nowhere.md)", "docs/guide.md", {})


def test_links_lead_to_pages_and_else_into_the_repository() -> None:
    pages = {"docs/guide.md": "guide.md", "README.md": "index.md"}
    text = (
        "[a](../../docs/guide.md#keys) [b](../../scripts/demo.py) [c](https://example.com) "
        f"[d]({DOCUMENTATION}/guide.html#keys)\n```\n[e](nowhere.md)\n```\n"
    )
    changed = build_site.with_links_of_the_site(text, "packages/botwire-mcp/README.md", pages)
    assert changed == (
        f"[a](../guide.md#keys) [b]({build_site.REPOSITORY}/blob/main/scripts/demo.py) "
        "[c](https://example.com) [d](../guide.md#keys)\n```\n[e](nowhere.md)\n```\n"
    )


def test_a_dead_anchor_and_a_missing_name_fail_the_build(tmp_path: Path) -> None:
    (tmp_path / "reference").mkdir()
    (tmp_path / "index.html").write_text('<a href="reference/botwire.html#botwire.Memory">M</a>')
    page = tmp_path / "reference/botwire.html"
    page.write_text('<h2 id="botwire.Memory">Memory</h2><a href="../index.html">up</a>')
    build_site.check(tmp_path, {"botwire": ["Memory"]})
    with pytest.raises(SiteError, match=r"botwire\.Record is not on the site"):
        build_site.check(tmp_path, {"botwire": ["Record"]})
    page.write_text('<h2 id="botwire.Record">Record</h2><a href="gone.html">down</a>')
    with pytest.raises(SiteError) as caught:
        build_site.check(tmp_path, {"botwire": ["Record"]})
    assert str(caught.value).splitlines() == [
        "index.html: reference/botwire.html#botwire.Memory leads nowhere",
        "reference/botwire.html: gone.html leads nowhere",
    ]


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_links_of_a_package_lead_to_the_site(name: str, work: Path) -> None:
    """The package index shows the README alone."""
    readme = DISTRIBUTIONS[name].file.with_name("README.md")
    for link in re.findall(r"\]\(([^)]+)\)", readme.read_text()):
        assert link.startswith(("https://", "#")), link
        page, _, _ = link.removeprefix(f"{DOCUMENTATION}/").partition("#")
        if page != link and "/" in link.removeprefix(DOCUMENTATION):
            assert (work / "pages" / page.replace(".html", ".md")).exists(), link


@pytest.mark.parametrize("page", ["README.md", "packages/botwire/README.md"])
def test_the_pages_of_all_list_every_package(page: str) -> None:
    text = (ROOT / page).read_text()
    for name in DISTRIBUTIONS.keys() - {"botwire", "botwire-core", *ALIASES}:
        assert f"botwire[{name.removeprefix('botwire-')}]" in text, f"{page} does not list {name}"


def test_the_architecture_lists_every_adapter() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    for name in environments.adapters():
        assert f"`packages/botwire-{name}`" in text or f"`-{name}`" in text, name


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_what_the_package_index_shows_comes_from_one_list(name: str) -> None:
    one = DISTRIBUTIONS[name]
    text = one.file.read_text()
    assert one.wanted(text) == text, "run python scripts/published.py"
