"""Installs every wheel in ``dist`` into its own clean environment, and tries it.

An adapter's environment holds only what ``botwire[EXTRA]`` installs, which reveals undeclared
dependencies. The programs of its README run in it twice, because the second run finds the memory of
the first. The last environments are ``botwire[all]``, what the Dockerfile installs, and one in
which pip upgrades the published botwire 0.2. Run ``hatch run build`` first; ``hatch run smoke
NAME`` tries only one of them.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from published import ALIASES, folders
from readme_programs import needs

ROOT = Path(__file__).resolve().parent.parent
CORE = "botwire-core"
SERVER = "botwire-server"
IMAGE = "the image"
APART = {"botwire-mcp"}
"""Not installable with all others: crewai needs mcp 1, and botwire-mcp needs mcp 2."""

PROBE = """
import importlib, sys
from botwire import Memory

url, *modules = sys.argv[1:]
for module in modules:
    importlib.import_module(module)
for _ in range(2):
    with Memory("smoke", url=url) as memory:
        assert memory.get("greeting", {"text": "hello"}) == {"text": "hello"}
        memory.set("greeting", {"text": "hello"})
        assert memory.entry("greeting") is not None
"""

SERVER_PROBE = """
import http.client, socket, subprocess, sys

def answer(path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path)
    return connection.getresponse()

with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
botwire = [sys.argv[1], "serve", "--port", str(port), "--database", "sqlite:///served.db"]
with subprocess.Popen(botwire) as server:
    try:
        subprocess.run([sys.argv[1], "ready", "--port", str(port), "--wait", "60"], check=True)
        page = answer("/console/")
        assert page.status == 200 and b"BotWire" in page.read(), page.status
        assert answer("/mcp").status not in (404, 500)
    finally:
        server.terminate()
"""
"""What is served at /console and /mcp by the packages of the image."""


def in_the_image(built: dict[str, Path]) -> list[str]:
    """Returns the requirements of ``deploy/Dockerfile``, as wheels."""
    text = (ROOT / "deploy/Dockerfile").read_text()
    found = re.findall(r"\./((?:packages/)?[\w-]+)(\[[\w,]+\])?(?=[\"\s])", text)
    names = [(SERVER if path == "server" else Path(path).name, extras) for path, extras in found]
    return [f"{name}{extras} @ {built[name].as_uri()}" for name, extras in names]


def wheels(root: Path) -> dict[str, Path]:
    """Returns the wheel of each distribution by name, after checking that all were built."""
    found = {}
    for settings in [folder / "pyproject.toml" for folder in folders()]:
        project = tomllib.loads(settings.read_text())["project"]
        stem = f"{project['name'].replace('-', '_')}-{project['version']}"
        for file in (f"{stem}.tar.gz", f"{stem}-py3-none-any.whl"):
            if not (root / "dist" / file).exists():
                raise SystemExit(f"dist/{file} is missing: run `hatch run build` first")
        found[project["name"]] = root / "dist" / f"{stem}-py3-none-any.whl"
    return found


def try_out(
    requirements: list[str],
    modules: list[str],
    *,
    help_of: str = "",
    pip_over: str = "",
    readme: Path | None = None,
    pins: Path | None = None,
    serves: bool = False,
) -> None:
    """Installs requirements into a new environment, imports modules and stores a memory there.

    Args:
        requirements: What to install.
        modules: The modules to import afterwards.
        help_of: The command whose help to print.
        pip_over: A requirement to install first with pip, which then installs the others too.
        readme: The README whose programs run twice; None runs none.
        pins: The file of pins; None installs the newest releases.
        serves: Whether to start a server, with the console and MCP.
    """
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment["UV_CONSTRAINT"] = "" if pins is None else pins.as_uri()
    uv = environment.get("HATCH_UV", "uv")
    with tempfile.TemporaryDirectory() as folder:

        def run(*command: str) -> None:
            done = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")

        scripts = Path(folder, "env", "Scripts" if sys.platform == "win32" else "bin")
        python = str(scripts / "python")
        run(uv, "venv", "--quiet", "--python", sys.executable, "env")
        if pip_over:
            run(uv, "pip", "install", "--quiet", "--python", python, "pip")
            for wanted in [pip_over], requirements:
                run(python, "-m", "pip", "install", "--quiet", *wanted)
        else:
            # The console needs the server, whose wheel is here and nowhere else.
            found = ["--find-links", str(ROOT / "dist")]
            # uv caches a wheel by its file name, which a new build keeps.
            found += [f"--refresh-package={name}" for name in wheels(ROOT)]
            run(uv, "pip", "install", "--quiet", "--python", python, *found, *requirements)
        run(python, "-I", "-c", PROBE, f"sqlite:///{folder}/smoke.db", *modules)
        run(str(scripts / "botwire"), *help_of.split(), "--help")
        if serves:
            run(python, "-I", "-c", SERVER_PROBE, str(scripts / "botwire"))
        if readme is not None:
            environment["BOTWIRE_URL"] = f"sqlite:///{folder}/readme.db"
            environment["OTEL_SDK_DISABLED"] = "true"  # otherwise CrewAI waits for its telemetry
            for _ in range(2):
                run(python, "-W", "ignore", str(ROOT / "scripts/readme_programs.py"), str(readme))


def pins_of(name: str) -> Path | None:
    """Returns the pins of a distribution's environment; frameworks exclude one another."""
    if name.startswith("botwire["):
        return None
    if name == IMAGE:
        return ROOT / "constraints/image.txt"
    own = ROOT / f"constraints/{ALIASES.get(name, name).removeprefix('botwire-')}.txt"
    return own if own.exists() else ROOT / "constraints/default.txt"


def main() -> int:
    """Tries every wheel; returns the exit code."""
    built = wheels(ROOT)
    others = {"botwire", CORE, *ALIASES}
    modules = {name: name.replace("-", "_") for name in built if name not in others}
    cases: dict[str, tuple[list[str], list[str]]] = {CORE: ([str(built[CORE])], [])}
    readmes: dict[str, Path] = {CORE: ROOT / "packages" / CORE / "README.md"}
    for name, module in modules.items():
        extra = f"botwire[{name.removeprefix('botwire-')}] @ {built['botwire'].as_uri()}"
        cases[name] = [str(built[CORE]), str(built[name]), extra], [module]
        readmes[name] = ROOT / ("server" if name == SERVER else f"packages/{name}") / "README.md"
        cases[name][0].extend(needs(readmes[name]))
    for name, adapter in ALIASES.items():
        files = [str(built[one]) for one in (CORE, adapter, name)]
        cases[name] = [*files, *needs(readmes[adapter])], [modules[adapter]]
        readmes[name] = ROOT / f"aliases/{name}/README.md"  # its program imports the alias
    together = {name: file for name, file in built.items() if name not in {*APART, *ALIASES}}
    cases["botwire[all]"] = (
        [*map(str, together.values()), f"botwire[all] @ {built['botwire'].as_uri()}"],
        [module for name, module in modules.items() if name not in APART],
    )
    cases[IMAGE] = in_the_image(built), [modules[SERVER]]
    upgrade = "botwire over botwire 0.2"
    cases[upgrade] = [str(built[CORE]), str(built["botwire"])], []
    if unknown := set(sys.argv[1:]) - cases.keys():
        raise SystemExit(f"There is no {min(unknown)}; there are {', '.join(cases)}.")

    def try_case(name: str) -> str:
        start = time.monotonic()
        requirements, imported = cases[name]
        try_out(
            requirements,
            imported,
            help_of="serve" if "botwire_server" in imported else "",
            pip_over="botwire==0.2.1" if name == upgrade else "",
            readme=readmes.get(name),
            pins=pins_of(name),
            serves=name == IMAGE,
        )
        took = time.monotonic() - start
        return f"{name}: installs, imports, remembers, runs its README ({took:.1f} s)"

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for line in pool.map(try_case, sys.argv[1:] or cases):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
