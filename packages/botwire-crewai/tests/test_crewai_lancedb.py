"""Where CrewAI's own storage is right, ours gives the same answers on the same records."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crewai.memory.storage.lancedb_storage import LanceDBStorage
from crewai.memory.types import MemoryRecord

from botwire_crewai import BotWireStorage

QUERY = np.random.default_rng(9).normal(size=32).tolist()


@pytest.fixture(scope="module")
def thousand() -> list[MemoryRecord]:
    """Records with random embeddings, in ten scopes, a few of them deeper."""
    vectors = np.random.default_rng(8).normal(size=(1000, 32))
    start = datetime(2026, 1, 1)
    return [
        MemoryRecord(
            id=f"{i:04}",
            content=f"record {i}",
            scope=f"/s{i % 10}" + ("/deep" if i % 50 == 3 else ""),
            categories=["all", f"c{i % 7}"],
            metadata={"n": i % 5, "text": "é", "deep": {"list": [i, None]}},
            importance=(i % 11) / 10,
            created_at=start + timedelta(minutes=i * 7 % 1000, microseconds=i),
            source="ada" if i % 2 else None,
            private=i % 3 == 0,
            embedding=vector.tolist(),
        )
        for i, vector in enumerate(vectors)
    ]


@pytest.fixture(scope="module")
def lance(tmp_path_factory: pytest.TempPathFactory, thousand: list[MemoryRecord]) -> Any:
    """CrewAI's own storage with these records."""
    storage = LanceDBStorage(path=tmp_path_factory.mktemp("lance"))
    storage.save(thousand)
    return storage


@pytest.fixture(scope="module", params=["embedded", "http"])
def ours(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    thousand: list[MemoryRecord],
) -> BotWireStorage:
    """Our storage with the same records."""
    file = f"sqlite:///{tmp_path_factory.mktemp('ours') / 'm.db'}"
    url = request.getfixturevalue("server_url") if request.param == "http" else file
    storage = BotWireStorage("same-as-lancedb", url=url)
    storage.save(thousand)
    return storage


def shown(records: Iterable[MemoryRecord]) -> list[dict[str, Any]]:
    """Returns records without their vectors, which our lists and searches leave out."""
    return [record.model_dump() for record in records]


@pytest.mark.parametrize("scope", [None, "/", "/s3", "/s3/", "/s3/deep", "/none"])
@pytest.mark.parametrize(("limit", "least"), [(1, 0.0), (10, 0.0), (100, 0.0), (100, 0.012)])
def test_the_same_is_found(
    scope: str | None, limit: int, least: float, lance: LanceDBStorage, ours: BotWireStorage
) -> None:
    theirs = lance.search(QUERY, scope, limit=limit, min_score=least)
    found = ours.search(QUERY, scope, limit=limit, min_score=least)
    assert shown(record for record, _ in found) == shown(record for record, _ in theirs)
    scores = [score for _, score in theirs]
    assert [score for _, score in found] == pytest.approx(scores, abs=1e-5)
    assert bool(found) is (scope != "/none")


@pytest.mark.parametrize("limit", [1, 10, 100])
def test_what_it_finds_with_filters_is_found_and_more(
    limit: int, lance: LanceDBStorage, ours: BotWireStorage
) -> None:
    filters: dict[str, Any] = {"categories": ["c1", "none"], "metadata_filter": {"n": 2}}
    theirs = [record.id for record, _ in lance.search(QUERY, limit=limit, **filters)]
    found = ours.search(QUERY, limit=limit, **filters)
    assert [record.id for record, _ in found][: len(theirs)] == theirs
    assert all("c1" in record.categories and record.metadata["n"] == 2 for record, _ in found)
    assert len(found) == min(limit, 28)  # there are 28, but it finds few: it filters too late


def test_metadata_is_compared_as_by_crewais_own(
    place_url: str, namespace: str, tmp_path: Path
) -> None:
    values = [None, True, False, 0, 1, 1.0, 2, "", "1", [1], {"x": 1}]
    records = [
        MemoryRecord(id=f"{number}", content="x", metadata={"k": value}, embedding=[1.0])
        for number, value in enumerate(values)
    ]
    records.append(MemoryRecord(id="missing", content="x", embedding=[1.0]))
    lance, ours = LanceDBStorage(path=tmp_path), BotWireStorage(namespace, url=place_url)
    for storage in (lance, ours):
        storage.save(records)
    for wanted in [*({"k": value} for value in values), {"k": 1, "other": None}, {"other": 1}]:
        found, theirs = [
            {record.id for record, _ in storage.search([1.0], metadata_filter=wanted, limit=99)}
            for storage in (ours, lance)
        ]
        assert found == theirs, wanted
    assert ours.delete(metadata_filter={"k": None}) == 2


@pytest.mark.parametrize("scope", ["/", "/s4", "/s3"])
def test_the_same_is_listed_and_counted(
    scope: str, lance: LanceDBStorage, ours: BotWireStorage
) -> None:
    everything = shown(lance.list_records(scope, 1000))
    assert shown(ours.list_records(scope, 1000)) == everything
    # Early releases of CrewAI 1.15 cut such a window before sorting.
    assert shown(ours.list_records(scope, 7, 3)) == everything[3:10]
    assert ours.count(scope) == lance.count(scope)
    assert ours.list_scopes(scope) == lance.list_scopes(scope)
    assert ours.list_categories(scope) == lance.list_categories(scope)
    assert ours.get_scope_info(scope) == lance.get_scope_info(scope)


def test_the_same_record_is_got(
    lance: LanceDBStorage, ours: BotWireStorage, thousand: list[MemoryRecord]
) -> None:
    for id in ("0003", "0999", "none"):
        found, theirs = ours.get_record(id), lance.get_record(id)
        assert found == theirs
        assert getattr(found, "embedding", None) == getattr(theirs, "embedding", None)
