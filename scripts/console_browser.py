"""Tries the console in a real browser: ``hatch run browser:walk``.

It needs Debian's chromium (``apt-get install chromium``), and npm for axe-core, which finds what
keeps people from using a page. Playwright comes with the environment; its own browsers are not
needed. It serves stores of its own, does what people do in each view, and opens every page in light
and dark, wide and narrow. It exits with 1 if anything went wrong.

    hatch run browser:walk --into FOLDER    # keeps a screenshot of each page
    hatch run browser:walk --large          # also times 100,000 messages and 100,000 keys
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import console_demo
from console_tasks import NARROW, TASKS, Site, listen

try:
    from playwright.sync_api import sync_playwright  # type: ignore[import-not-found]
except ImportError:
    sys.exit("playwright is missing: use hatch run browser:walk")

from botwire import Memory

CHROMIUM = "chromium"
PAGES = {
    "namespaces": "",
    "search": "/search?q=oslo",
    "namespace": "/namespace?ns=user-123",
    "conversations": "/conversations?ns=user-123",
    "conversation": "/conversation?ns=user-123&name=trip",
    "item": "/item?ns=user-123&name=trip&seq=3",
    "threads": "/threads?ns=user-123",
    "thread": "/thread?ns=user-123&thread=oslo%20trip",
    "memories": "/memories?ns=user-123",
    "recall": "/recall?ns=user-123&q=tea%20window&about=/people",
    "keys": "/keys?ns=user-123",
    "key": "/key?ns=user-123&key=prefs",
    "versions": "/key/versions?ns=user-123&key=prefs",
    "new-key": "/key?ns=user-123",
    "changes": "/changes?ns=user-123",
    "live": "/live?ns=user-123",
    "usage-namespace": "/usage?ns=user-123",
    "usage": "/usage?plan=1",
    "api-keys": "/api-keys",
    "audit": "/audit",
    "health": "/health",
    "empty": "/keys?ns=nothing-yet",
}
LOOKS = (("light", 1280, 860), ("light", *NARROW), ("dark", 1280, 860), ("dark", *NARROW))
LARGE = 100_000
"""Messages and keys of the stores that are timed."""

Report = Callable[[str], None]


def walk(browser: Any, site: Site, axe: str | None, folder: Path | None, report: Report) -> int:
    """Opens every page in every theme and width; returns how many that were."""
    for scheme, width, height in LOOKS:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme
        )
        page = context.new_page()
        listen(page, report)
        for name, path in PAGES.items():
            page.goto(site.url + path)
            if folder is not None:
                page.screenshot(path=str(folder / f"{name}-{scheme}-{width}.png"))
            if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                report(f"{name}, {scheme}, {width}: wider than the window")
            for one in violations(page, axe):
                report(f"{name}, {scheme}, {width}: {one}")
        context.close()
    return len(PAGES) * len(LOOKS)


def violations(page: Any, axe: str | None) -> list[str]:
    """Returns what axe finds serious on a page."""
    if axe is None:
        return []
    found = page.evaluate(f"async () => {{ {axe}; return await axe.run(); }}")
    return [
        f"{one['impact']}: {one['help']}: {one['nodes'][0]['html']}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]


def attempt(browser: Any, site: Site, only: str, folder: Path | None, report: Report) -> int:
    """Does what people do in each view; returns how many tasks that were."""
    tasks = [task for task in TASKS if only in task.__name__]
    for task in tasks:
        context = browser.new_context(viewport={"width": 1280, "height": 860})
        context.set_default_timeout(20_000)
        page = context.new_page()
        listen(page, lambda problem, task=task: report(f"{task.__name__}: {problem}"))  # type: ignore[misc]
        try:
            task(page, site)
        except Exception as error:  # noqa: BLE001 - the other tasks are tried too
            report(f"{task.__name__}: {type(error).__name__}: {error}")
            if folder is not None:
                page.screenshot(path=str(folder / f"failed-{task.__name__}.png"))
        context.close()
    return len(tasks)


def time_large(browser: Any, site: Site) -> None:
    """Prints when a conversation and a namespace, both large, are first painted."""
    with Memory("large", url=site.origin) as memory:
        print(f"writing {LARGE:,} messages and {LARGE:,} keys …", flush=True)
        for start in range(0, LARGE, 5000):
            numbers = range(start, start + 5000)
            memory.history("chat").extend(
                [{"role": "user", "content": f"Message {n} of many."} for n in numbers]
            )
            memory.set_many({f"key-{n:06}": {"number": n} for n in numbers})
    page = browser.new_page()
    for name, path in (
        ("conversation", "/conversation?ns=large&name=chat"),
        ("keys", "/keys?ns=large"),
    ):
        times = []
        for _ in range(5):
            page.goto(site.url + path)
            found = page.wait_for_function(
                "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
            )
            times.append(found.json_value())
        print(f"{name} of {LARGE:,}: first paint after {sorted(times)[2]:.0f} ms (median of 5)")
    page.close()


def load_axe(folder: Path) -> str | None:
    """Returns the source of axe-core from npm; None if npm is missing."""
    npm = shutil.which("npm")
    if npm is None:
        print("npm is missing: axe-core is not run")
        return None
    command = [npm, "pack", "--silent", "axe-core@4"]
    packed = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    shutil.unpack_archive(folder / packed.stdout.split()[-1], folder)
    return (folder / "package/axe.min.js").read_text(encoding="utf-8")


def main() -> int:
    """Tries the console and prints the problems; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--into", type=Path, metavar="FOLDER", help="keep screenshots here")
    parser.add_argument("--only", default="", metavar="NAME", help="only tasks with this name")
    parser.add_argument("--large", action="store_true", help="also time large stores")
    options = parser.parse_args()
    chromium = shutil.which(CHROMIUM)
    if chromium is None:
        sys.exit("chromium is missing: apt-get install chromium")
    if options.into is not None:
        options.into.mkdir(parents=True, exist_ok=True)
    problems: list[str] = []
    with (
        tempfile.TemporaryDirectory(prefix="botwire-browser-") as name,
        sync_playwright() as playwright,
        Site(Path(name)) as site,
    ):
        axe = load_axe(Path(name))
        console_demo.fill(site.origin)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        pages = 0
        if not options.only:
            pages = walk(browser, site, axe, options.into, problems.append)
        tasks = attempt(browser, site, options.only, options.into, problems.append)
        if options.large:
            with Site(Path(name) / "large") as large:
                time_large(browser, large)
        browser.close()
    for problem in problems:
        print(problem)
    print(f"{pages} pages and {tasks} tasks in chromium: {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
