"""The command line, and importing a store that CrewAI wrote to LanceDB."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from crewai.memory.storage.backend import EmbeddingDimensionMismatchError
from crewai.memory.storage.lancedb_storage import LanceDBStorage
from crewai.memory.types import MemoryRecord

from botwire import ConfigurationError
from botwire_crewai import BotWireStorage, migrate_lancedb
from botwire_crewai.cli import main


def record(i: int, **fields: Any) -> MemoryRecord:
    return MemoryRecord(
        id=f"{i:04}",
        content=f"fact {i} 日本",
        scope=f"/s{i % 3}",
        categories=["c"],
        metadata={"n": i, "deep": [None, {"é": "x"}]},
        importance=0.25,
        created_at=datetime(2026, 1, 1, 0, i // 60, i % 60, 123456),
        source="ada",
        private=i % 2 == 0,
        **{"embedding": [1.0, float(i)], **fields},
    )


@pytest.fixture
def lance(tmp_path: Path) -> Path:
    """A store written by CrewAI's own storage, with more records than one page."""
    storage = LanceDBStorage(path=tmp_path / "lance", compact_every=0)
    storage.save([record(i) for i in range(1100)])
    storage.save([record(1100, embedding=None)])
    storage.save([record(7)])  # twice under one id, which it allows
    return tmp_path / "lance"


def test_a_lancedb_store_comes_over(lance: Path, place_url: str, namespace: str) -> None:
    storage = BotWireStorage(namespace, url=place_url)
    assert migrate_lancedb(lance, storage) == 1101
    assert migrate_lancedb(lance, storage) == 1101  # again, and no record twice
    assert storage.count() == 1101
    for i in (0, 7, 1099):
        kept = storage.get_record(f"{i:04}")
        assert kept is not None
        expected = record(i, last_accessed=kept.last_accessed)
        assert (kept, kept.embedding) == (expected, expected.embedding)
    without = storage.get_record("1100")
    assert without is not None
    assert without.embedding is None
    theirs = LanceDBStorage(path=lance, compact_every=0).search([1.0, 9.2], "/s1", limit=5)
    ours = storage.search([1.0, 9.2], "/s1", limit=5)
    without_twins = list(dict.fromkeys(one.id for one, _ in theirs))
    assert len(without_twins) == 4
    assert [one.id for one, _ in ours][:4] == without_twins


def test_what_is_no_store_is_an_error(tmp_path: Path, lance: Path, namespace: str) -> None:
    storage = BotWireStorage(namespace, url=f"sqlite:///{tmp_path / 'm.db'}")
    with pytest.raises(ConfigurationError, match="no folder"):
        migrate_lancedb(tmp_path / "nowhere", storage)
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(ConfigurationError, match="no LanceDB table 'other'"):
        migrate_lancedb(lance, storage, table="other")
    storage.save([record(1, embedding=[1.0, 2.0, 3.0])])
    with pytest.raises(EmbeddingDimensionMismatchError):
        migrate_lancedb(lance, storage)


def test_where_crewai_keeps_its_own_is_known(
    tmp_path: Path, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "my project"
    project.mkdir()
    monkeypatch.chdir(project)
    for i, folder in enumerate([None, str(tmp_path / "chosen")]):
        if folder is not None:
            monkeypatch.setenv("CREWAI_STORAGE_DIR", folder)
        LanceDBStorage(compact_every=0).save([record(i)])
        storage = BotWireStorage(f"{namespace}-{i}", url=f"sqlite:///{tmp_path / 'm.db'}")
        assert migrate_lancedb(None, storage) == 1
        assert storage.get_record(f"{i:04}") is not None


def test_inspect_export_and_reset(
    place_url: str, namespace: str, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = BotWireStorage(namespace, url=place_url)
    storage.save([record(i) for i in range(4)])
    place = [namespace, "--url", place_url]

    assert main(["inspect", *place]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(
        "/: 4 records, 2026-01-01 00:00:00.123456 to 2026-01-01 00:00:03.123456"
    )
    for part in ("  /s0: 2\n", "  category c: 4\n", "/s0 (private) 'fact 0 日本'", "/s1 'fact 1"):
        assert part in shown

    assert main(["export", *place, "--scope", "s0"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["id"], line["embedding"]) for line in lines] == [
        ("0003", [1.0, 3.0]), ("0000", [1.0, 0.0]),
    ]  # fmt: skip
    assert MemoryRecord.model_validate(lines[0]) == storage.get_record("0003")

    assert main(["reset", *place]) == 1
    assert "4 records would be deleted" in capsys.readouterr().err
    assert main(["reset", *place, "--scope", "/s0", "--yes"]) == 0
    assert (capsys.readouterr().out, storage.count()) == ("2 records deleted\n", 2)
    assert main(["reset", *place, "--yes"]) == 0
    assert storage.count() == 0


def test_migrate_and_failures_are_told(
    tmp_path: Path, lance: Path, unused_tcp_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["n", "--url", f"sqlite:///{tmp_path / 'm.db'}"]
    assert main(["migrate", *place, "--path", str(lance)]) == 0
    assert capsys.readouterr().out == "1101 records copied\n"
    assert main(["migrate", *place, "--path", str(tmp_path / "nowhere")]) == 2
    url = f"http://127.0.0.1:{unused_tcp_port}"
    assert main(["inspect", "n", "--url", url]) == 2
    assert url in capsys.readouterr().err
