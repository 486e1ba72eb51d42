"""`botwire mcp`, the command that the package adds to botwire's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from botwire.cli import main


def test_botwire_mcp_installs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["mcp", "install", "cursor", "--project"]) == 0
    assert "installed in" in capsys.readouterr().out
    assert (tmp_path / ".cursor/mcp.json").exists()
    assert main(["mcp", "--tools", "x"]) == 2
    assert "there is no tool 'x'" in capsys.readouterr().err
