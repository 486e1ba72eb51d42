"""The server in the settings of clients: merged, with a backup, and never over another one."""

from __future__ import annotations

import json
import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest

from botwire_mcp import installing
from botwire_mcp.cli import main
from botwire_mcp.installing import CLIENTS

PLAIN = {"command": "uvx", "args": ["botwire-mcp"]}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    for name in ("XDG_CONFIG_HOME", "APPDATA", "CODEX_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def servers(client: str, path: Path) -> Any:
    text = path.read_text()
    document = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    return document[CLIENTS[client].section]


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_without_settings_gets_some(client: str) -> None:
    path = CLIENTS[client].user()
    assert main(["install", client, "--dry-run"]) == 0
    assert not path.exists()
    assert main(["install", client]) == 0
    assert servers(client, path) == {"botwire": {**(CLIENTS[client].extra or {}), **PLAIN}}
    before = path.read_bytes()
    assert main(["install", client]) == 0  # again
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.glob(f"{path.name}*")] == [path.name]


def test_other_settings_stay_and_a_backup_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    path = CLIENTS["cursor"].user()
    path.parent.mkdir()
    old = {"z": 1, "mcpServers": {"other": {"command": "é"}}, "a": [1.50]}
    path.write_text(json.dumps(old))
    path.chmod(0o600)
    options = ["--url", "https://memory.example", "-N", "ada", "--api-key", "bw_secret"]
    assert main(["install", "cursor", *options, "--read-only"]) == 0
    new = json.loads(path.read_text())
    assert list(new) == ["z", "mcpServers", "a"]
    assert new["mcpServers"].pop("botwire") == {
        "command": "uvx",
        "args": ["botwire-mcp", "--read-only"],
        "env": {
            "BOTWIRE_URL": "https://memory.example",
            "BOTWIRE_NAMESPACE": "ada",
            "BOTWIRE_API_KEY": "bw_secret",
        },
    }
    assert new == old
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads((path.parent / "mcp.json.backup-1").read_text()) == old
    printed = capsys.readouterr().out
    assert "+" in printed
    assert "bw_secret" not in printed


def test_codex_keeps_comments() -> None:
    path = CLIENTS["codex"].user()
    path.parent.mkdir()
    path.write_text('# mine\nmodel = "x"\n[mcp_servers.other]\ncommand = "y"')
    assert main(["install", "codex", "--url", 'sqlite:////a "b"/m.db']) == 0
    assert path.read_text().startswith('# mine\nmodel = "x"\n')
    assert servers("codex", path) == {
        "other": {"command": "y"},
        "botwire": {**PLAIN, "env": {"BOTWIRE_URL": 'sqlite:////a "b"/m.db'}},
    }


@pytest.mark.parametrize(
    ("client", "text", "said"),
    [
        ("cursor", '{"mcpServers": {"botwire": {"command": "mine"}}}', "another server named"),
        ("cursor", '{// a comment\n"mcpServers": {}}', "not plain JSON"),
        ("cursor", '{"mcpServers": []}', "has no object"),
        ("cursor", "[]", "has no object"),
        ("codex", '[mcp_servers.botwire]\ncommand = "mine"', "another server named"),
        ("codex", 'mcp_servers = { other = { command = "y" } }', "in another form"),
        ("codex", "= 1", "not TOML"),
    ],
)
def test_what_cannot_be_merged_is_left_alone(
    client: str, text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = CLIENTS[client].user()
    path.parent.mkdir()
    path.write_text(text)
    assert main(["install", client]) == 2
    assert said in capsys.readouterr().err
    assert path.read_text() == text
    assert len(list(path.parent.iterdir())) == 1


def test_a_project_has_settings_of_its_own(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["install", "vscode", "--project", "--tools", "recall"]) == 0
    (entry,) = servers("vscode", home / ".vscode/mcp.json").values()
    assert entry == {"type": "stdio", **PLAIN, "args": ["botwire-mcp", "--tools", "recall"]}
    assert main(["install", "codex", "--project"]) == 2
    assert "omit --project" in capsys.readouterr().err
    assert main(["install", "codex", "--tools", "x"]) == 2


def test_a_file_that_changes_meanwhile_is_not_overwritten(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = CLIENTS["claude-code"].user()
    path.write_text("{}")
    show = installing.FileChange.show

    def change_it(change: installing.FileChange, secret: str | None = None) -> str:
        path.write_text('{"theirs": 1}')
        return show(change, secret)

    monkeypatch.setattr(installing.FileChange, "show", change_it)
    assert main(["install", "claude-code"]) == 2
    assert "was changed just now" in capsys.readouterr().err
    assert json.loads(path.read_text()) == {"theirs": 1}
