"""Reads the site in a real browser: ``hatch run browser:site``, after ``hatch run docs:build``.

It needs Debian's chromium, as `console_browser` does. It types into the search and follows what is
found, then opens every page as a phone shows it. Nothing may be loaded from another site, no script
may fail, and no page may be wider than the window.

    hatch run browser:site --into FOLDER    # also in a wide window; keeps screenshots
"""

from __future__ import annotations

import argparse
import functools
import http.server
import re
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from console_browser import CHROMIUM
from console_tasks import NARROW

try:
    from playwright.sync_api import sync_playwright  # type: ignore[import-not-found]
except ImportError:
    sys.exit("playwright is missing: use hatch run browser:site")

SITE = Path(__file__).resolve().parent.parent / "dist/site"
SEARCHES = {
    "ttl": "/guide.html",
    "langgraph": "/frameworks/langgraph.html",
    "BotWireSaver": "/reference/botwire_langgraph.html",
    "forget a user": "/recipes.html",
}
"""What is typed into the search, and a page that must be among what it finds."""
LOOKS = (("dark", *NARROW), ("light", 1280, 860))

Report = Callable[[str], None]


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Writes nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serves a folder; yields its address."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def listen(page: Any, url: str, report: Report) -> None:
    """Reports what a page loads from elsewhere, and what fails in it."""
    ours = (url, "data:", "blob:")

    def watch(kind: str, is_wrong: Callable[[Any], bool], text: Callable[[Any], str]) -> None:
        page.on(kind, lambda one: report(text(one)) if is_wrong(one) else None)

    watch("request", lambda one: not one.url.startswith(ours), lambda one: f"asks for {one.url}")
    watch("response", lambda one: one.status >= 400, lambda one: f"{one.status} for {one.url}")
    watch("console", lambda one: one.type == "error", lambda one: str(one.text))
    watch("pageerror", lambda error: True, str)


def search(page: Any, url: str, words: str, wanted: str, report: Report) -> None:
    """Types into the search, and opens the result that leads to a page."""
    page.goto(f"{url}/index.html")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("combobox").fill(words)
    results = page.get_by_role("option")
    results.first.wait_for()
    found = results.evaluate_all("links => links.map(String)")
    links = [re.split("[?#]", link)[0] for link in found]
    if url + wanted not in links:
        report(f"search for {words!r}: {wanted} is not among {links}")
        return
    results.nth(links.index(url + wanted)).click()
    page.wait_for_url(f"{url}{wanted}*")


def walk(browser: Any, url: str, folder: Path | None, report: Report) -> int:
    """Opens every page; returns how many that were."""
    # The links of 404.html start at the root of the real site.
    pages = sorted(path.relative_to(SITE) for path in SITE.rglob("*.html") if path.stem != "404")
    looks = LOOKS if folder else LOOKS[:1]
    for scheme, width, height in looks:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme
        )
        page = context.new_page()
        listen(page, url, report)
        for path in pages:
            page.goto(f"{url}/{path}")
            if folder is not None:
                name = path.with_suffix("").as_posix().replace("/", "-")
                page.screenshot(path=str(folder / f"{name}-{scheme}.png"))
            if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                report(f"{path}, {scheme}: wider than the window")
        context.close()
    return len(pages) * len(looks)


def main() -> int:
    """Reads the site and prints the problems; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--into", type=Path, metavar="FOLDER", help="keep screenshots here")
    options = parser.parse_args()
    chromium = shutil.which(CHROMIUM)
    if chromium is None:
        sys.exit("chromium is missing: apt-get install chromium")
    if not SITE.exists():
        sys.exit("dist/site is missing: hatch run docs:build")
    if options.into is not None:
        options.into.mkdir(parents=True, exist_ok=True)
    problems: list[str] = []
    with sync_playwright() as playwright, served(SITE) as url:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 860})
        page.set_default_timeout(20_000)
        listen(page, url, problems.append)
        for words, wanted in SEARCHES.items():
            search(page, url, words, wanted, problems.append)
        pages = walk(browser, url, options.into, problems.append)
        browser.close()
    for problem in dict.fromkeys(problems):
        print(problem)
    print(f"{pages} pages and {len(SEARCHES)} searches in chromium: {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
