"""Walks through the console in a real browser: screenshots, axe, light and dark, wide and narrow.

It needs Debian's chromium (``apt-get install chromium``), playwright (``pip install playwright``;
its own browsers are not needed) and axe-core (``npm pack axe-core``, unpacked). It exits with 1 if
the browser reports an error, axe finds something serious, or a page is wider than the window.

    python scripts/console_browser.py URL --axe package/axe.min.js --into FOLDER

URL names a server without API keys that holds the data of ``hatch run demo --console``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

try:
    from playwright.sync_api import sync_playwright  # type: ignore[import-not-found]
except ImportError:
    sys.exit("playwright is missing: pip install playwright, and apt-get install chromium")

PAGES = {
    "namespaces": "",
    "namespace": "/namespace?ns=user-123",
    "conversations": "/conversations?ns=user-123",
    "conversation": "/conversation?ns=user-123&name=trip",
    "item": "/item?ns=user-123&name=trip&seq=3",
    "keys": "/keys?ns=user-123",
    "key": "/key?ns=user-123&key=prefs",
    "new-key": "/key?ns=user-123",
    "live": "/live?ns=user-123",
    "empty": "/keys?ns=nothing-yet",
}
LOOKS = (("light", 1280, 860), ("dark", 390, 844))


def walk(browser: Any, url: str, axe: str | None, folder: Path) -> list[str]:
    """Opens every page in every theme and width; returns the problems."""
    problems: list[str] = []
    for scheme, width, height in LOOKS:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, bypass_csp=False
        )
        page = context.new_page()
        listen(page, problems.append)
        for name, path in PAGES.items():
            page.goto(f"{url}/console{path}")
            page.screenshot(path=str(folder / f"{name}-{scheme}.png"))
            too_wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
            if too_wide:
                problems.append(f"{name}, {scheme}: wider than the window")
            if axe is not None:
                found = page.evaluate(f"async () => {{ {axe}; return await axe.run(); }}")
                problems.extend(
                    f"{name}, {scheme}: {one['impact']}: {one['help']}: {one['nodes'][0]['html']}"
                    for one in found["violations"]
                    if one["impact"] in ("serious", "critical")
                )
        context.close()
    return problems


def listen(page: Any, report: Callable[[str], None]) -> None:
    """Reports script errors of a page, and violations of its content security policy."""
    page.on("pageerror", lambda error: report(f"script: {error}"))
    page.on(
        "console",
        lambda message: report(f"console: {message.text}") if message.type == "error" else None,
    )


def main() -> int:
    """Walks through the console and prints the problems; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--axe", type=Path, metavar="FILE")
    parser.add_argument("--into", type=Path, default=Path(), metavar="FOLDER")
    options = parser.parse_args()
    axe = None if options.axe is None else options.axe.read_text(encoding="utf-8")
    options.into.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        problems = walk(browser, options.url.rstrip("/"), axe, options.into)
        browser.close()
    for problem in problems:
        print(problem)
    print(f"{len(PAGES) * len(LOOKS)} screenshots in {options.into}: {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
