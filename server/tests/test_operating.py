"""docs/operating.md and deploy/ are correct: commands run, settings exist, tables are complete."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from botwire.cli import main
from botwire_server import serving
from botwire_server.api_keys import RIGHTS
from botwire_server.auth import PUBLIC
from botwire_server.metrics import Metrics
from botwire_server.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/operating.md").read_text()
COMMANDS = re.findall(r"^\$ (botwire .+)$", PAGE, re.MULTILINE)
EXAMPLE = "0c1b5e2f9a7d"
NAMES = {field.name for field in dataclasses.fields(Settings)}


def test_the_commands_of_the_page_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records what would be started."""
    monkeypatch.setenv("BOTWIRE_DATABASE", f"sqlite:///{tmp_path / 'memory.db'}")
    served: list[Settings] = []
    monkeypatch.setattr(serving, "serve", served.append)
    id = ""
    for command in COMMANDS:
        words = shlex.split(command.replace(EXAMPLE, id))[1:]
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
            assert main(words) == 0, command
        made = re.match(r"bw_([0-9a-f]{12})_", out.getvalue())
        if made and not id:
            id = made[1]
    assert len(COMMANDS) >= 8
    assert [one.host for one in served] == ["127.0.0.1", "0.0.0.0", "127.0.0.1"]


def test_the_tables_of_the_page_are_whole() -> None:
    for right in RIGHTS:
        assert f"| `{right}` |" in PAGE
    limits = {name for name in NAMES if re.match(r"(namespace|key|max|audit)_", name)}
    assert all(f"`{name}`" in PAGE for name in limits)
    assert all(f"`{path}`" in PAGE for path in PUBLIC)
    numbers = set(re.findall(r"^# TYPE (botwire_\w+) ", Metrics().expose(0).decode(), re.MULTILINE))
    listed = set(re.findall(r"^\| `(botwire_\w+)", PAGE, re.MULTILINE))
    assert numbers - {name for name in numbers if name.endswith("_created")} == listed


def test_what_is_deployed_names_settings_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    deploy = ROOT / "deploy"
    text = "".join(file.read_text() for file in deploy.rglob("*") if file.is_file())
    named = {name.lower() for name in re.findall(rf"\b{PREFIX}(\w+)\b", text)}
    assert named <= NAMES
    served: list[Settings] = []
    monkeypatch.setattr(serving, "serve", served.append)
    assert main(["serve", "--config", str(deploy / "botwire.toml")]) == 0
    assert served[0].workers == 2


def test_the_compose_file_starts_what_the_image_has() -> None:
    compose: dict[str, Any] = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())
    services = compose["services"]
    assert set(services) == {"postgres", "key", "botwire"}
    assert services["botwire"]["environment"]["BOTWIRE_DATABASE"].startswith("postgresql://")
    for service in services.values():
        for other in service.get("depends_on", {}):
            assert other in services
    image = (ROOT / "deploy/Dockerfile").read_text()
    for source in re.findall(r"^COPY (?!--)(\S+) ", image, re.MULTILINE):
        assert (ROOT / source).exists()
