"""The storage does what CrewAI's own does where that is right, and better where not."""

from __future__ import annotations

import asyncio
import copy
import pickle
import uuid
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from crewai.memory import Memory
from crewai.memory.storage.backend import EmbeddingDimensionMismatchError, StorageBackend
from crewai.memory.types import MemoryRecord

from botwire import ConfigurationError, NotJSONError, Records, TransportError
from botwire import Memory as BotWire
from botwire_crewai import BotWireFlowPersistence, BotWireMemory, BotWireStorage


@pytest.fixture
def storage(place_url: str, namespace: str) -> BotWireStorage:
    """An empty storage."""
    return BotWireStorage(namespace, url=place_url)


def record(content: str = "x", **fields: Any) -> MemoryRecord:
    return MemoryRecord(content=content, **{"embedding": [1.0, 0.0], **fields})


def contents(found: list[tuple[MemoryRecord, float]]) -> list[str]:
    return [one.content for one, _ in found]


def test_it_is_what_crewai_takes(storage: BotWireStorage) -> None:
    assert isinstance(storage, StorageBackend)
    assert Memory(storage=storage, llm=None)._storage is storage
    with pytest.raises(ConfigurationError, match="score"):
        BotWireStorage("n", url="sqlite://", score="dot")  # type: ignore[arg-type]


def test_a_record_comes_back_as_it_was(storage: BotWireStorage, place_url: str) -> None:
    kept = record(
        "content \ud800 😀",
        scope="/it's/日本",
        categories=["b", "a", "b"],
        metadata={"deep": {"a": [1, None]}, "é": "x"},
        importance=0.25,
        created_at=datetime(2026, 1, 2, 3, 4, 5, 678901),
        last_accessed=datetime(2026, 2, 3, 4, 5, 6, 1),
        embedding=[0.5, -0.25],
        source="",
        private=True,
    )
    storage.save([kept])
    again = BotWireStorage(storage.connection.namespace, url=place_url)
    found = again.get_record(kept.id)
    assert found is not None
    assert (found, found.embedding) == (kept, kept.embedding)
    assert again.get_record("unknown") is None


def test_times_become_naive_utc(storage: BotWireStorage) -> None:
    east = timezone(timedelta(hours=2))
    kept = record(created_at=datetime(2026, 1, 1, 2, tzinfo=east), last_accessed=datetime.now(UTC))
    storage.save([kept])
    found = storage.get_record(kept.id)
    assert found is not None
    assert found.created_at == datetime(2026, 1, 1)
    assert found.last_accessed.tzinfo is None


@pytest.mark.anyio
async def test_scores_are_those_of_crewais_own_storage(
    storage: BotWireStorage, place_url: str, namespace: str
) -> None:
    await storage.asave([record("same"), record("orthogonal", embedding=[0.0, 1.0])])
    storage.save([record("none", embedding=None)])
    found = storage.search([1.0, 0.0])
    assert [(one.content, round(score, 4)) for one, score in found] == [
        ("same", 1.0), ("none", 0.5), ("orthogonal", 0.3333),
    ]  # fmt: skip
    assert contents(await storage.asearch([1.0, 0.0], limit=1)) == ["same"]
    assert contents(storage.search([1.0, 0.0], min_score=0.6)) == ["same"]
    assert storage.search([1.0, 0.0], limit=0) == []
    cosine = BotWireStorage(namespace, url=place_url, score="cosine")
    assert [round(score, 4) for _, score in cosine.search([2.0, 0.0])] == [1.0, 0.0, 0.0]


SCOPES = [
    "/", "/crew/al", "/crew/al/deep", "/crew/alice", "/crew/alice-b", "/crew_al", "/100%",
    "/100_", "/it's/日本", "/it's/日本/深い", "/it's/日本語", "/\\back\\slash", "/../..",
    "/it is spaced out",
]  # fmt: skip


def test_a_scope_holds_no_neighbour(storage: BotWireStorage) -> None:
    storage.save([record(scope, scope=scope) for scope in SCOPES])
    for scope in SCOPES[1:]:
        inside = sorted(one for one in SCOPES if one == scope or one.startswith(scope + "/"))
        children = [one for one in inside if one != scope]
        for prefix in (scope, scope[1:], scope + "/", "//" + scope[1:] + "//"):
            assert sorted(contents(storage.search([1.0, 0.0], prefix, limit=50))) == inside
            assert sorted(one.scope for one in storage.list_records(prefix)) == inside
            info = storage.get_scope_info(prefix)
            assert (info.path, info.record_count, info.child_scopes) == (
                scope, len(inside), children,
            )  # fmt: skip
            assert storage.list_scopes(prefix) == children
        assert storage.count(scope) == len(inside)
    for everything in ("", "/", None):
        assert storage.count(everything) == len(SCOPES)
    assert storage.list_scopes("/") == sorted(
        {"/" + scope.split("/")[1] for scope in SCOPES if scope != "/"}
    )
    storage.reset("/crew/alice")
    assert storage.count("/crew/alice-b") == 1
    assert storage.delete("it's/日本/") == 2
    assert storage.delete("/crew") == 3
    gone = [one for one in SCOPES if one.startswith(("/crew/", "/it's/日本/"))]
    left = sorted(set(SCOPES) - {*gone, "/it's/日本"})
    assert sorted(one.scope for one in storage.list_records()) == left


@pytest.mark.anyio
async def test_all_filters_hold_and_come_before_the_limit(storage: BotWireStorage) -> None:
    old = datetime(2020, 1, 1)
    storage.save([record(f"near {i}", categories=["a"], metadata={"n": i}) for i in range(50)])
    storage.save([
        record("far", categories=["b"], metadata={"n": 1}, embedding=[0.0, 1.0], created_at=old)
    ])  # fmt: skip
    assert contents(storage.search([1.0, 0.0], categories=["b", "c"], limit=1)) == ["far"]
    assert contents(storage.search([1.0, 0.0], metadata_filter={"n": 7}, limit=1)) == ["near 7"]
    assert storage.search([1.0, 0.0], categories=["b"], metadata_filter={"n": 2}) == []
    assert storage.list_categories() == {"a": 50, "b": 1}
    assert storage.delete(record_ids=[]) == storage.delete(categories=[]) == 0
    assert len(storage.search([1.0, 0.0], categories=[], metadata_filter={}, limit=100)) == 51
    ids = [one.id for one in storage.list_records(limit=3)]
    assert storage.delete(record_ids=ids, categories=["b"]) == 0
    east = timezone(timedelta(hours=2))
    assert storage.delete(older_than=datetime(2020, 1, 1, 2, tzinfo=east)) == 0  # not older
    assert storage.delete(older_than=datetime(2021, 1, 1), metadata_filter={"n": 1}) == 1
    assert await storage.adelete(record_ids=ids) == 3
    assert storage.count() == 47


def test_lists_are_newest_first(storage: BotWireStorage) -> None:
    start = datetime(2026, 1, 1)
    storage.save([record(str(i), created_at=start + timedelta(hours=i)) for i in range(5)])
    assert [one.content for one in storage.list_records(limit=2, offset=1)] == ["3", "2"]
    assert storage.list_records(limit=0) == storage.list_records(offset=-1) == []
    info = storage.get_scope_info("/")
    assert (info.oldest_record, info.newest_record) == (start, start + timedelta(hours=4))


def test_an_update_keeps_what_it_does_not_bring(storage: BotWireStorage) -> None:
    kept = record("old", source="bob", private=True)
    storage.save([kept])
    storage.update(kept.model_copy(update={"content": "new", "embedding": None}))
    storage.update(
        MemoryRecord(id=kept.id, content="consolidated", embedding=[0.0, 1.0])
    )  # as CrewAI's consolidation does: without source and privacy
    found = storage.get_record(kept.id)
    assert found is not None
    assert (found.content, found.source, found.private) == ("consolidated", "bob", True)
    assert found.embedding == [0.0, 1.0]
    assert storage.count() == 1
    unknown = record("unknown")
    storage.update(unknown)
    assert storage.count() == 2


def test_touching_moves_only_the_time_of_access(storage: BotWireStorage) -> None:
    kept = record(last_accessed=datetime(2020, 1, 1))
    storage.save([kept])
    storage.touch_records([kept.id, "unknown"])
    found = storage.get_record(kept.id)
    assert found is not None
    assert found.last_accessed > datetime(2026, 1, 1)
    assert found.model_copy(update={"last_accessed": kept.last_accessed}) == kept


def test_another_dimension_is_crewais_own_error(
    storage: BotWireStorage, place_url: str, namespace: str
) -> None:
    storage.save([record()])
    again = BotWireStorage(namespace, url=place_url)
    for call in (
        lambda: again.save([record(embedding=[1.0, 2.0, 3.0])]),
        lambda: again.save([record(), record(embedding=[1.0, 2.0, 3.0])]),
        lambda: again.search([1.0, 2.0, 3.0]),
        lambda: again.update(record(embedding=[1.0, 2.0, 3.0])),
    ):
        with pytest.raises(EmbeddingDimensionMismatchError) as caught:
            call()
        assert (caught.value.stored_dim, caught.value.new_dim) == (2, 3)
    assert storage.count() == 1
    storage.reset(None)
    again.save([record(embedding=[1.0, 2.0, 3.0])])
    assert contents(storage.search([1.0, 2.0, 3.0])) == ["x"]


@pytest.mark.anyio
async def test_another_dimension_is_crewais_own_error_when_awaited(storage: BotWireStorage) -> None:
    await storage.asave([record()])
    for call in (
        storage.asave([record(embedding=[1.0, 2.0, 3.0])]),
        storage.asearch([1.0, 2.0, 3.0]),
    ):
        with pytest.raises(EmbeddingDimensionMismatchError) as caught:
            await call
        assert (caught.value.stored_dim, caught.value.new_dim) == (2, 3)


def test_an_empty_store_takes_one_dimension_only(storage: BotWireStorage) -> None:
    with pytest.raises(EmbeddingDimensionMismatchError) as caught:
        storage.save([record(), record(embedding=[1.0, 2.0, 3.0])])
    assert (caught.value.stored_dim, caught.value.new_dim) == (2, 3)
    assert storage.count() == 0


class _Refusing:
    """An engine that must not be used."""

    def apply(self, batch: Any) -> Any:
        raise AssertionError(batch)

    def close(self) -> None:
        pass


@pytest.mark.anyio
async def test_what_is_awaited_is_awaited_all_the_way(
    place_url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = BotWireStorage(client=BotWire(namespace, url=place_url))
    storage.connection.memory.engine = _Refusing()
    monkeypatch.setattr(asyncio, "to_thread", None)
    await storage.asave([record("kept"), record("gone")])
    assert len(await storage.asearch([1.0, 0.0])) == 2
    assert await storage.adelete(metadata_filter={"no": 1}) == 0
    assert await storage.adelete() == 2


def test_more_than_a_page_is_found_and_listed(storage: BotWireStorage) -> None:
    storage.save([record(str(i), embedding=[1.0, i / 1000]) for i in range(1100)])
    assert contents(storage.search([1.0, 0.0], limit=5000)) == [str(i) for i in range(1100)]
    assert len(storage.list_records(limit=5000)) == 1100


def test_more_than_a_server_takes_at_once_is_saved_in_a_few_requests(
    server_url: str, namespace: str
) -> None:
    storage = BotWireStorage(namespace, url=server_url)
    records = [MemoryRecord(content=f"{i}", embedding=[1.0]) for i in range(10_001)]
    records[7].metadata["bad"] = object()
    puts: list[int] = []
    put = Records.put

    def count(self: Records, new: list[Any], **options: Any) -> Any:
        puts.append(len(new))
        return put(self, new, **options)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Records, "put", count)
        with pytest.raises(NotJSONError, match="bad"):
            storage.save(records)
    assert (storage.count(), len(puts) < 50) == (10_000, True)


def test_metadata_may_be_very_large(storage: BotWireStorage, place_url: str) -> None:
    metadata = {"page": "é" * 500_000, "deep": {"list": [{"n": i} for i in range(20_000)]}}
    kept = record(metadata=metadata)
    storage.save([kept])
    storage.touch_records([kept.id])
    again = BotWireStorage(storage.connection.namespace, url=place_url)
    ((found, _),) = again.search([1.0, 0.0])
    assert found.metadata == metadata


def test_a_category_may_be_empty(storage: BotWireStorage) -> None:
    kept = record(categories=["", "a"])  # models produce such values
    storage.save([kept])
    assert storage.get_record(kept.id) == kept
    assert storage.list_categories() == {"a": 1}
    assert storage.search([1.0, 0.0], categories=[""]) == []


def test_an_id_twice_in_one_save_is_one_record(storage: BotWireStorage) -> None:
    kept = record("old")
    storage.save([kept, kept.model_copy(update={"content": "new"})])
    assert [one.content for one in storage.list_records()] == ["new"]


def test_metadata_that_is_not_json_is_refused(storage: BotWireStorage) -> None:
    with pytest.raises(NotJSONError, match="raw"):
        storage.save([record("good"), record(metadata={"raw": object()})])
    assert [one.content for one in storage.list_records()] == ["good"]  # nothing else was deleted


def test_a_wrong_argument_is_named(storage: BotWireStorage, place_url: str) -> None:
    storage.save([MemoryRecord(content="tea", categories=["t"], embedding=[1.0, 0.0])])
    flows = BotWireFlowPersistence(storage.connection.namespace, url=place_url)
    wrong: Any = 5
    for call, says in (
        (lambda: storage.delete(categories="t"), "categories must be a list of strings, not a s"),  # type: ignore[arg-type]
        (lambda: storage.delete(categories=wrong), "categories must be a list of strings"),
        (lambda: storage.delete(metadata_filter=wrong), "metadata_filter must be a dict"),
        (lambda: storage.save(wrong), "records must be a list of records, not int"),
        (lambda: storage.update(wrong), r"records\[0\] must be a MemoryRecord, not int: 5"),
        (lambda: storage.search(wrong), "query_embedding must be a list of numbers, not int"),
        (lambda: storage.search([1.0, 0.0], limit="x"), "limit must be an int"),  # type: ignore[arg-type]
        (lambda: storage.list_records(offset=None), "offset must be an int"),  # type: ignore[arg-type]
        (lambda: flows.save_state(None, "m", {}), "flow_uuid must be a string, not NoneType"),  # type: ignore[arg-type]
        (lambda: flows.save_pending_feedback("f", wrong, {}), "context must be a PendingFeedback"),
    ):
        with pytest.raises(ConfigurationError, match=says):
            call()
    assert storage.count() == 1


def test_a_reset_is_of_this_namespace(storage: BotWireStorage, place_url: str) -> None:
    other = BotWireStorage(f"other-{uuid.uuid4().hex}", url=place_url)
    other.save([record(embedding=[1.0, 2.0, 3.0])])
    storage.save([record()])
    storage.reset(None)
    assert (storage.count(), other.count()) == (0, 1)


def test_it_goes_on_after_being_closed_and_copied(storage: BotWireStorage) -> None:
    storage.close()
    storage.save([record()])
    for again in (copy.copy(storage), copy.deepcopy(storage), pickle.loads(pickle.dumps(storage))):
        assert again.count() == 1
    assert "bw_secret" not in repr(BotWireStorage("n", url="http://x.test", api_key="bw_secret"))


def test_a_server_that_is_down_is_an_error_of_ours(unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    with pytest.raises(TransportError, match=url) as caught:
        BotWireStorage("n", url=url, timeout=0.5).search([1.0])
    assert not isinstance(caught.value, RuntimeError)  # which CrewAI drops silently


def test_memory_remembers_and_recalls(place_url: str, namespace: str) -> None:
    def embed(texts: list[str]) -> list[list[float]]:
        return [[float("tea" in text), float("sky" in text), 0.1] for text in texts]

    def memory() -> Any:
        return BotWireMemory(namespace, url=place_url, embedder=embed, llm=None)

    given = {"scope": "/a", "categories": ["c"], "metadata": {}, "importance": 0.5}
    first = memory()
    first.remember("Ada likes tea", **given)
    first.remember("The sky is blue", **given)
    first.close()
    found = memory().recall("tea?", depth="shallow", limit=1)
    assert [match.record.content for match in found] == ["Ada likes tea"]
