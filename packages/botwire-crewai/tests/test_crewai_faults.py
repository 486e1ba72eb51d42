"""The faults of CrewAI's default storage: each is shown there, and is not here.

A fault is a test that a storage without it passes. When CrewAI fixes one, the test of their storage
fails, and the README's list gets shorter.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from crewai.memory import Memory
from crewai.memory.storage.lancedb_storage import LanceDBStorage
from crewai.memory.types import MemoryRecord

from botwire_crewai import BotWireStorage
from tests.zygote import Zygote

QUERY = [1.0, 0.0]

Fault = Callable[[Any], None]
FAULTS: list[tuple[Fault, type[Exception]]] = []


def fault(shown_by: type[Exception] = AssertionError) -> Callable[[Fault], Fault]:
    """Adds a fault to the list, with the result of their storage."""

    def add(function: Fault) -> Fault:
        FAULTS.append((function, shown_by))
        return function

    return add


@pytest.fixture
def storage(place_url: str, namespace: str) -> BotWireStorage:
    """An empty storage."""
    return BotWireStorage(namespace, url=place_url)


def record(content: str, **fields: Any) -> MemoryRecord:
    return MemoryRecord(content=content, **{"embedding": QUERY, **fields})


def left(storage: Any) -> list[str]:
    return sorted(one.content for one in storage.list_records())


def found(storage: Any, *arguments: Any, **filters: Any) -> list[str]:
    return sorted(one.content for one, _ in storage.search(QUERY, *arguments, **filters))


@fault()
def a_scope_leaks_into_its_neighbours(storage: Any) -> None:
    storage.save([record(scope, scope=scope) for scope in ("/app", "/app/x", "/apple", "/app-b")])
    assert found(storage, "/app") == ["/app", "/app/x"]
    assert storage.count("/app") == 2


@fault()
def a_scope_without_its_slash_is_found_by_some_methods(storage: Any) -> None:
    storage.save([record("x", scope="/crew/alice")])
    assert found(storage, "crew/alice") == ["x"]
    assert [one.content for one in storage.list_records("crew/alice")] == ["x"]
    assert storage.list_scopes("crew") == ["/crew/alice"]


@fault()
def filters_come_after_the_limit(storage: Any) -> None:
    storage.save([record(f"near {i}") for i in range(100)])
    storage.save([record("far", embedding=[0.0, 1.0], categories=["c"], metadata={"k": 1})])
    assert found(storage, categories=["c"], limit=1) == ["far"]
    assert found(storage, metadata_filter={"k": 1}, limit=1) == ["far"]


@fault()
def an_id_saved_twice_is_two_records(storage: Any) -> None:
    kept = record("old")
    storage.save([kept])
    storage.save([kept.model_copy(update={"content": "new"})])
    assert left(storage) == ["new"]


@fault()
def an_update_without_a_vector_loses_it(storage: Any) -> None:
    kept = record("old", embedding=[0.5, 0.25])
    storage.save([kept])
    storage.update(kept.model_copy(update={"importance": 0.9, "embedding": None}))
    again = storage.get_record(kept.id)
    assert again is not None
    assert (again.embedding, again.importance) == ([0.5, 0.25], 0.9)


@fault()
def deleting_a_scope_deletes_the_root(storage: Any) -> None:
    old, new = datetime(2020, 1, 1), datetime(2026, 1, 1)
    storage.save([
        record("root", scope="/", created_at=old), record("old", scope="/a", created_at=old),
        record("new", scope="/a", created_at=new), record("sibling", scope="/ab", created_at=old),
    ])  # fmt: skip
    assert storage.delete("/a", older_than=datetime(2021, 1, 1)) == 1
    assert left(storage) == ["new", "root", "sibling"]
    assert storage.delete("/a") == 1
    assert left(storage) == ["root", "sibling"]


@fault()
def a_delete_by_id_ignores_the_other_filters(storage: Any) -> None:
    one, two = record("one", scope="/a", categories=["x"]), record("two", categories=["y"])
    storage.save([one, two])
    assert storage.delete("/b", record_ids=[one.id]) == 0
    assert storage.delete(categories=["y"], record_ids=[one.id]) == 0
    assert left(storage) == ["one", "two"]
    assert storage.delete("/a", categories=["x"], record_ids=[one.id, two.id]) == 1
    assert left(storage) == ["two"]


@fault()
def no_ids_delete_everything(storage: Any) -> None:
    storage.save([record("kept")])
    assert storage.delete(record_ids=[]) == 0
    assert left(storage) == ["kept"]


@fault()
def a_reset_takes_the_neighbour_too(storage: Any) -> None:
    storage.save([record(scope, scope=scope) for scope in ("/c/alice", "/c/alice-b", "/c/alice/x")])
    storage.reset("/c/alice")
    assert left(storage) == ["/c/alice-b"]


@fault(TypeError)
def an_aware_time_breaks_every_recall(storage: Any) -> None:
    storage.save([record("tea", created_at=datetime.now(UTC), last_accessed=datetime.now(UTC))])
    memory = Memory(storage=storage, embedder=lambda texts: [QUERY for _ in texts], llm=None)
    assert [match.record.content for match in memory.recall("tea", depth="shallow")] == ["tea"]


@fault(ValueError)
def a_search_for_nothing_is_an_error(storage: Any) -> None:
    storage.save([record("x")])
    assert found(storage, limit=0) == []


@fault()
def an_empty_source_is_lost(storage: Any) -> None:
    storage.save([record("x", source="")])
    assert storage.list_records()[0].source == ""


@pytest.mark.parametrize("fault", [pytest.param(one, id=one.__name__) for one, _ in FAULTS])
def test_it_is_not_here(fault: Fault, storage: BotWireStorage) -> None:
    fault(storage)


@pytest.mark.parametrize(
    ("fault", "shown_by"), [pytest.param(*one, id=one[0].__name__) for one in FAULTS]
)
def test_it_is_there(fault: Fault, shown_by: type[Exception], tmp_path: Path) -> None:
    with pytest.raises(shown_by):
        fault(LanceDBStorage(path=tmp_path))


def counts_end_at_five_thousand(storage: Any) -> None:
    start = datetime(2026, 1, 1)
    total = 5_100
    records = [
        record(
            "x",
            scope=f"/s{i % 3}",
            categories=["c"],
            created_at=start + timedelta(seconds=i),
        )
        for i in range(total)
    ]
    for i in range(0, total, 2_000):
        storage.save(records[i : i + 2_000])
    info = storage.get_scope_info("/")
    assert storage.count() == storage.count("/") == info.record_count == total
    assert (info.oldest_record, info.newest_record) == (start, records[-1].created_at)
    assert storage.list_categories() == {"c": total}
    assert storage.list_scopes() == info.child_scopes == ["/s0", "/s1", "/s2"]


def test_all_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts_end_at_five_thousand(BotWireStorage("n", url=f"sqlite:///{tmp_path / 'm.db'}"))
    # Their limit is 50,000; a tenth of it shows the same in a tenth of the time.
    scan = LanceDBStorage._scan_rows
    assert scan.__defaults__ == (None, 50_000, None)
    monkeypatch.setattr(scan, "__defaults__", (None, 5_000, None))
    with pytest.raises(AssertionError):
        counts_end_at_five_thousand(LanceDBStorage(path=tmp_path / "lance"))


OTHER = """
import sys
from crewai.memory.types import MemoryRecord

if len(sys.argv) == 3:
    from botwire_crewai import BotWireStorage

    storage = BotWireStorage(sys.argv[1], url=sys.argv[2])
else:
    from crewai.memory.storage.lancedb_storage import LanceDBStorage

    storage = LanceDBStorage(path=sys.argv[1])
print(storage.count(), flush=True)
for line in sys.stdin:
    if line == "reset\\n":
        storage.reset(None)
    else:
        storage.save([MemoryRecord(content=line.strip(), embedding=[1.0, 0.0])])
    print("done", flush=True)
"""


def handles_go_stale(zygote: Zygote, storage: Any, *where: str) -> None:
    """What another process saves is seen at once; after its reset, saves of ours are kept."""
    storage.save([record("first")])
    with zygote.start(OTHER, *where) as other:
        assert other.stdout.readline() == "1\n"

        def do(line: str) -> None:
            print(line, file=other.stdin, flush=True)
            assert other.stdout.readline() == "done\n"

        do("theirs")
        assert found(storage) == ["first", "theirs"]
        do("reset")
        assert found(storage) == []
        storage.save([record("after")])
        assert found(storage) == left(storage) == ["after"]
        other.stdin.close()


def test_handles_stay_fresh(
    zygote: Zygote, storage: BotWireStorage, place_url: str, namespace: str
) -> None:
    handles_go_stale(zygote, storage, namespace, place_url)


def test_theirs_go_stale(zygote: Zygote, tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        handles_go_stale(zygote, LanceDBStorage(path=tmp_path), str(tmp_path))
