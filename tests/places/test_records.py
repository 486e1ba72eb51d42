"""Records: the same promises wherever memory lives, for both clients."""

from __future__ import annotations

import math
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from botwire import (
    ConfigurationError,
    ConflictError,
    InvalidRequestError,
    Memory,
    NotJSONError,
    Record,
)
from botwire.engines.sql import words

ODD = [
    "/", "a/b", ".", "..", "%", "_", "a%b", "é", "日本", "😀", "\ud800", "\x00", "'", '"', "\\",
    "''; DROP TABLE botwire_records; --", " ", "\n", "*", "x" * 500,
]  # fmt: skip
YEAR = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def records(memory: Any) -> Any:
    """An empty collection."""
    return memory.records()


def texts(found: list[Any]) -> list[str]:
    return [getattr(one, "record", one).text for one in found]


# --- put, get, patch ------------------------------------------------------------------------


async def test_a_record_comes_back_as_it_went_in(records: Any) -> None:
    record = Record(
        "a \ud800 text \x00",
        metadata={"n": 10**40, "f": 0.1, "none": None, "日本": [{"a": True}], "": ""},
        tags=["b", "a", "b", "\ud800"],
        scope="crew//alice/",
        embedding=[0.1, -2.5, 1e-40],
        created_at=YEAR + timedelta(microseconds=1),
    )
    before = datetime.now(UTC) - timedelta(seconds=5)
    (version,) = await records.put([record])
    (found,) = await records.get([record.id])
    assert found.text == record.text
    assert found.metadata == record.metadata
    assert type(found.metadata["n"]) is int
    assert found.tags == ("b", "a", "\ud800")
    assert found.scope == "/crew/alice"
    assert found.embedding == pytest.approx([0.1, -2.5, 1e-40], rel=1e-6, abs=1e-44)
    assert found.created_at == record.created_at
    assert before < found.updated_at < datetime.now(UTC) + timedelta(seconds=5)
    assert found.version == version
    (again,) = await records.put([found])
    assert again > version
    assert (await records.get([record.id]))[0].embedding == found.embedding


async def test_odd_names_are_kept_apart(memory: Any) -> None:
    for odd in ODD:
        await memory.records(odd).put([Record(odd, id=one, tags=[one]) for one in ODD])
    assert await memory.list_collections() == sorted(
        ODD, key=lambda name: name.encode("utf-8", "surrogatepass")
    )
    for odd in ODD:
        found = await memory.records(odd).get(ODD)
        assert [record.id for record in found] == ODD
        assert {record.text for record in found} == {odd}
        assert await memory.records(odd).tags() == dict.fromkeys(ODD, 1)
        assert await memory.records(odd).delete(ids=[odd]) == 1
        assert await memory.records(odd).count() == len(ODD) - 1


async def test_namespaces_and_collections_never_show_each_others(memory: Any) -> None:
    other = memory.with_namespace(memory.namespace + "x")
    await memory.records().put([Record("mine", id="a", embedding=[1, 0])])
    await other.records().put([Record("theirs", id="a", embedding=[1, 0, 0], scope="/s")])
    assert await memory.records("other").count() == 0
    assert texts(await memory.records().search(vector=[1, 0])) == ["mine"]
    assert texts(await memory.records().search(text="theirs mine")) == ["mine"]
    assert await memory.records().scopes() == []
    assert await other.records().clear() == 1
    assert texts(await memory.records().list()) == ["mine"]


async def test_put_is_an_upsert(records: Any) -> None:
    await records.put([Record("one", id="a", embedding=[1, 0], tags=["x"], metadata={"m": 1})])
    (old,) = await records.get(["a"])
    await records.put([Record("two", id="a"), Record("new", id="b")])
    new, other = await records.get(["a", "b"])
    assert (new.text, new.tags, new.metadata, new.created_at) == ("two", (), {}, old.created_at)
    assert new.embedding == [1.0, 0.0]
    assert other.embedding is None
    assert await records.count() == 2
    assert await records.search(text="one") == []
    assert texts(await records.search(text="two")) == ["two"]
    await records.put([Record("three", id="a")], keep_embedding=False)
    assert (await records.get(["a"]))[0].embedding is None
    assert await records.search(vector=[1, 0]) == []


async def test_a_version_can_be_demanded(records: Any) -> None:
    (first,) = await records.put([Record("one", id="a")], if_versions=[0])
    with pytest.raises(ConflictError):
        await records.put([Record("b", id="b"), Record("x", id="a")], if_versions=[None, 0])
    assert await records.get(["b"]) == [None]
    await records.put([Record("two", id="a")], if_versions=[first])
    with pytest.raises(ConflictError):
        await records.put([Record("three", id="a")], if_versions=[first])


async def test_patch_changes_only_the_fields_given(records: Any) -> None:
    old = Record("t", id="a", metadata={"a": 1, "b": {"c": 2}}, tags=["x"], embedding=[1, 2])
    await records.put([old])
    assert await records.patch(["a", "a", "missing"], {"b": None, "d": 3}) == 1
    (new,) = await records.get(["a"])
    assert new.metadata == {"a": 1, "b": None, "d": 3}
    assert (new.text, new.tags, new.embedding) == ("t", ("x",), [1.0, 2.0])
    assert texts(await records.search(vector=[1, 2], filter={"d": 3})) == ["t"]
    assert await records.patch([], {"x": 1}) == 0


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (Record("t", metadata={"a": math.nan}), r"records\[0\].metadata\['a'\]"),
        (Record("t", metadata=[]), "metadata must be an object"),
        (Record("t", id=""), "id must not be empty"),
        (Record("t", tags="tag"), "tags must be a list"),
        (Record("t", tags=[""]), "tag must not be empty"),
        (Record("t", scope="s" * 1024), "scope path"),
        (Record("t", embedding=[]), "1 to"),
        (Record("t", embedding=["1"]), "list of numbers"),
        (Record("t", embedding=[[1]]), "list of numbers"),
        (Record("t", embedding=b"1234"), "list of numbers"),
        (Record("t", embedding=[math.inf]), r"embedding\[0\] is not a finite number"),
        (Record("t", embedding=[0, 1e39]), r"embedding\[1\] is not a finite number"),
        (Record(None), "text must be a string"),
        (Record("\ud83d\ude00"), "surrogate pair"),
        ({"text": "t"}, "must be a Record"),
    ],
)  # fmt: skip
async def test_what_cannot_be_kept_is_refused(records: Any, record: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        await records.put([record])
    assert await records.count() == 0


async def test_metadata_that_is_not_json_is_a_type_error(records: Any) -> None:
    with pytest.raises(TypeError):
        await records.put([Record("t", metadata={"when": YEAR})])
    with pytest.raises(NotJSONError):
        await records.patch(["a"], {"b": b""})


# --- the dimension --------------------------------------------------------------------------


async def test_one_dimension_a_collection(memory: Any, records: Any) -> None:
    assert (await records.info()).dimension is None
    await records.put([Record("no embedding")])
    await records.put([Record("t", id="a", embedding=[1, 2, 3, 4])])
    assert (await records.info()).dimension == 4
    wrong = "dimension 4, and this one has dimension 8"
    for attempt in (
        records.put([Record("t", embedding=[1] * 8)]),
        records.put([Record("ok", embedding=[1] * 4), Record("t", embedding=[1] * 8)]),
        records.put([Record("t", id="a", embedding=[1] * 8)]),
        records.search(vector=[1] * 8),
    ):
        with pytest.raises(InvalidRequestError, match=wrong):
            await attempt
    assert await records.count() == 2
    await memory.records("other").put([Record("t", embedding=[1] * 8)])
    assert await records.clear() == 2
    await records.put([Record("t", embedding=[1] * 8)])
    assert texts(await records.search(vector=[1] * 8)) == ["t"]


async def test_a_batch_of_two_dimensions_is_refused(records: Any) -> None:
    with pytest.raises(InvalidRequestError, match="dimension 2, and this one has dimension 3"):
        await records.put([Record("t", embedding=[1, 2]), Record("u", embedding=[1, 2, 3])])
    assert await records.count() == 0


# --- selections -----------------------------------------------------------------------------

PATHS = [
    "/", "/crew", "/crew/al", "/crew/alice", "/crew/alice/x", "/crew/alice-b", "/crew_al",
    "/crew0", "/it's/日本", "/100%/a_b", "/100%/axb", "/..", "/.", "/\ud800/x",
]  # fmt: skip


@pytest.fixture
async def tree(records: Any) -> Any:
    """A collection with a record in each of `PATHS`."""
    vectors = [[1, i] for i in range(len(PATHS))]
    await records.put(
        [
            Record(f"at {path}", id=path, scope=path, embedding=vector)
            for path, vector in zip(PATHS, vectors, strict=True)
        ]
    )
    return records


@pytest.mark.parametrize("given", ["{}", "{}/", "/{}", "{}//"])
async def test_a_scope_holds_whole_segments_only(tree: Any, given: str) -> None:
    for path in PATHS:
        scope = given.format(path.strip("/"))
        below = {one for one in PATHS if path in ("/", one) or one.startswith(path + "/")}
        assert {record.id for record in await tree.list(scope=scope)} == below
        assert await tree.count(scope=scope) == len(below)
        found = await tree.search(vector=[1, 1], scope=scope, limit=100)
        assert {match.record.id for match in found} == below
        found = await tree.search(text="at", scope=scope, limit=100)
        assert {match.record.id for match in found} == below


async def test_scopes_are_the_children_of_a_path(tree: Any) -> None:
    top = {"/" + path.split("/")[1] for path in PATHS} - {"/"}
    assert await tree.scopes() == sorted(top)
    assert await tree.scopes("") == sorted(top)
    assert await tree.scopes("crew/") == ["/crew/al", "/crew/alice", "/crew/alice-b"]
    assert await tree.scopes("/crew/al") == []
    assert await tree.scopes("/it's") == ["/it's/日本"]


async def test_deleting_a_scope_leaves_its_neighbours_and_what_is_above(tree: Any) -> None:
    assert await tree.delete(scope="/crew/alice") == 2
    left = [path for path in PATHS if path not in ("/crew/alice", "/crew/alice/x")]
    assert sorted(record.id for record in await tree.list()) == sorted(left)
    found = await tree.search(vector=[1, 1], limit=100)
    assert sorted(match.record.id for match in found) == sorted(left)


async def test_filters_are_all_applied(records: Any) -> None:
    await records.put(
        [
            Record("1", id="1", scope="/a", tags=["x"], metadata={"k": 1}, created_at=YEAR),
            Record("2", id="2", scope="/a", tags=["y"], metadata={"k": 2}),
            Record("3", id="3", scope="/b", tags=["x", "y"], metadata={"k": 3}, created_at=YEAR),
        ]
    )
    assert await records.count(tags=["x"]) == 2
    assert await records.count(tags=["x", "y"]) == 3
    assert await records.count(tags=[]) == 0
    assert await records.count(ids=[]) == 0
    assert await records.count(ids=["1", "2"], tags=["y"]) == 1
    assert await records.count(created_before=YEAR) == 0
    assert await records.count(created_before=YEAR + timedelta(seconds=1)) == 2
    assert await records.count(created_after=YEAR) == 1
    assert await records.count(filter={"k": {"$gte": 2}}, scope="/a") == 1
    assert await records.tags() == {"x": 2, "y": 2}
    assert await records.tags(scope="/a") == {"x": 1, "y": 1}
    assert await records.delete(ids=[]) == 0
    assert await records.delete(ids=["1", "2", "3"], scope="/a", tags=["x"]) == 1
    assert await records.delete(created_before=YEAR, tags=["x"]) == 0
    assert sorted(texts(await records.list())) == ["2", "3"]
    assert await records.delete(filter={"k": 3}) == 1
    assert await records.delete(scope="/a", filter={}) == 1
    assert await records.count() == 0


async def test_deleting_everything_must_be_said(records: Any) -> None:
    await records.put([Record("t")])
    for nothing in ({}, {"scope": "/"}, {"scope": ""}):
        with pytest.raises(ConfigurationError, match="all=True"):
            await records.delete(**nothing)
    with pytest.raises(ConfigurationError, match="no filter"):
        await records.delete(all=True, tags=["x"])
    assert await records.count() == 1
    assert await records.delete(all=True) == 1
    assert await records.clear() == 0


async def test_an_unknown_operator_is_refused(records: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"\$near"):
        await records.search(text="x", filter={"a": {"$near": 1}})


async def test_list_is_newest_first_and_paged(records: Any) -> None:
    await records.put(
        [
            Record(
                str(i),
                id=f"{i:04}",
                metadata={"even": i % 2 == 0},
                created_at=YEAR + timedelta(seconds=i),
            )
            for i in range(1203)
        ]
    )
    everything = [str(i) for i in reversed(range(1203))]
    assert texts(await records.list()) == everything
    assert texts(await records.list(limit=5, offset=10)) == everything[10:15]
    assert await records.list(limit=0) == []
    assert await records.list(offset=5000) == []
    even = everything[::2]
    assert texts(await records.list(filter={"even": True})) == even
    assert texts(await records.list(filter={"even": True}, limit=3, offset=550)) == even[550:553]
    info = await records.info()
    assert (info.count, info.oldest, info.newest) == (1203, YEAR, YEAR + timedelta(seconds=1202))
    assert await records.count(filter={"even": True}) == 602
    assert (await records.list(limit=1, embeddings=False))[0].embedding is None


# --- search ---------------------------------------------------------------------------------


async def test_scores_of_both_metrics(records: Any) -> None:
    await records.put(
        [
            Record("same", embedding=[2, 0]),
            Record("right angle", embedding=[0, 3]),
            Record("opposite", embedding=[-1, 0]),
            Record("zero", embedding=[0, 0]),
            Record("none"),
        ]
    )
    found = {m.record.text: m.score for m in await records.search(vector=[1, 0])}
    assert found == {"same": 1.0, "right angle": 0.0, "opposite": -1.0, "zero": 0.0}
    found = {m.record.text: m.score for m in await records.search(vector=[1, 0], metric="l2")}
    assert found == pytest.approx(
        {"same": 1 / 2, "right angle": 1 / 11, "opposite": 1 / 5, "zero": 1 / 2}
    )
    best = await records.search(vector=[1, 0], min_score=0.5, limit=4)
    assert texts(best) == ["same"]
    assert best[0].record.embedding == [2.0, 0.0]
    (bare,) = await records.search(vector=[1, 0], limit=1, embeddings=False)
    assert bare.record.embedding is None
    assert await records.search(vector=[1, 0], limit=0) == []
    with pytest.raises(ConfigurationError, match="metric"):
        await records.search(vector=[1, 0], metric="dot")
    with pytest.raises(ConfigurationError, match="vector or a text"):
        await records.search()


async def test_filters_come_before_the_limit(records: Any) -> None:
    near = [Record(f"near {i}", embedding=[1, i / 1000], tags=["near"]) for i in range(100)]
    far = [Record(f"far {i}", embedding=[-1, i], metadata={"far": i}) for i in range(3)]
    await records.put([*near, *far])
    assert len(await records.search(vector=[1, 0], limit=3, filter={"far": {"$lt": 9}})) == 3
    await records.put([Record("near near near", tags=["t"]) for _ in range(600)])
    found = await records.search(text="near far", limit=3, filter={"far": {"$exists": True}})
    assert sorted(texts(found)) == ["far 0", "far 1", "far 2"]


async def test_pages_of_a_search_fit_together(records: Any) -> None:
    await records.put([Record(f"r {i}", embedding=[1, i % 7, i % 5]) for i in range(100)])
    for query in ({"vector": [1, 2, 3]}, {"text": "r"}, {"vector": [1, 2, 3], "text": "r 5"}):
        whole = await records.search(**query, limit=100)
        assert [m.score for m in whole] == sorted((m.score for m in whole), reverse=True)
        parts = []
        for offset in range(0, 100, 7):
            parts += await records.search(**query, limit=7, offset=offset)
        assert parts == whole


async def test_text_search(records: Any) -> None:
    await records.put(
        [
            Record("Alice drinks green tea, only green tea", id="tea"),
            Record("Bob drinks coffee in a CAFÉ", id="coffee"),
            Record("東京で日本茶を飲む", id="tokyo"),
            Record("", id="empty"),
        ]
    )

    async def search(text: str) -> list[str]:
        return [match.record.id for match in await records.search(text=text)]

    assert await search("tea") == ["tea"]
    assert await search("drinks TEA?") == ["tea", "coffee"]
    assert await search("cafe") == ["coffee"]
    assert await search("日本茶") == ["tokyo"]
    assert await search("日本語") == ["tokyo"]
    assert await search('"tea" AND (NOT x* OR') == ["tea"]
    assert await search("te") == []
    assert await search("") == []
    assert await search("💥 ' --") == []
    assert all(0 < m.score < 1 for m in await records.search(text="drinks tea"))
    await records.delete(ids=["tea"])
    assert await search("tea drinks") == ["coffee"]


async def test_each_word_of_texts_that_are_put_together_finds_its_texts(records: Any) -> None:
    def text(i: int, first: int) -> str:
        return " ".join([f"word{n}" for n in range(first, first + 150)] + [f"own{i}"] * 2)

    async def found(word: str) -> list[str]:
        return sorted([one.record.id for one in await records.search(text=word)])

    await records.put([Record(text(i, 0), id=f"r{i}") for i in range(3)])
    for n in (0, 33, 99, 100, 149):
        assert await found(f"word{n}") == ["r0", "r1", "r2"]
    assert [await found(f"own{i}") for i in range(3)] == [["r0"], ["r1"], ["r2"]]
    # One is new, one is replaced, and one stays as it is.
    news = [(3, 100), (1, 100), (2, 0)]
    await records.put([Record(text(i, first), id=f"r{i}") for i, first in news])
    assert await found("word99") == ["r0", "r2"]
    assert await found("word100") == ["r0", "r1", "r2", "r3"]
    assert await found("word249") == ["r1", "r3"]
    await records.delete(ids=["r0", "r2"])
    assert await found("word100") == ["r1", "r3"]
    assert await found("word99") == []


async def test_a_text_search_within_many_ids(records: Any) -> None:
    await records.put([Record("tea", id=f"r{i}") for i in range(600)])
    ids = [f"r{i}" for i in range(590, 20_000)]
    found = await records.search(text="tea", ids=ids, limit=50)
    assert sorted(match.record.id for match in found) == [f"r{i}" for i in range(590, 600)]
    assert await records.search(text="tea", ids=[]) == []


async def test_both_a_vector_and_a_text(records: Any) -> None:
    await records.put(
        [
            Record("green tea", id="both", embedding=[1, 0]),
            Record("nothing", id="vector", embedding=[1, 0]),
            Record("green tea", id="text"),
        ]
    )
    found = await records.search(vector=[1, 0], text="tea")
    assert [m.record.id for m in found] == ["both", "vector", "text"]
    (by_text,) = await records.search(text="tea", ids=["text"])
    text = words.normal_beside_a_vector(by_text.score / (1 - by_text.score))
    weight = words.BESIDE_A_VECTOR
    assert [m.score * (weight + 1) for m in found] == pytest.approx(
        [1 + weight * text, 1, weight * text]
    )


async def test_a_search_sees_what_was_written_before(records: Any, memory: Any) -> None:
    query = {"vector": [1, 0, 0], "limit": 100, "embeddings": False}
    expected: dict[str, str] = {}
    for i in range(30):
        new = {str(j): f"{i}" for j in range(i % 4, i + 1, 3)}
        await records.put([Record(t, id=id, embedding=[1, i, int(id)]) for id, t in new.items()])
        expected.update(new)
        if i % 3 == 0:
            gone = {str(i // 2), "0"} & expected.keys()
            assert await records.delete(ids=gone) == len(gone)
            for id in gone:
                del expected[id]
        found = await memory.records().search(**query)
        assert {m.record.id: m.record.text for m in found} == expected


async def test_changes_of_records_are_watched(memory: Any, records: Any) -> None:
    stream = memory.watch(after=0)
    await records.put([Record("a", id="a"), Record("b", id="b")])
    await records.delete(ids=["a"])
    await records.clear()
    changes = []
    async for change in stream:
        changes.append((change.shape, change.action, change.name))
        if len(changes) == 3:
            break
    assert changes == [("record", action, "default") for action in ("put", "delete", "clear")]


WRITER = """
import sys
from botwire import Memory, Record
records = Memory(sys.argv[1], url=sys.argv[2]).records()
for line in sys.stdin:
    name = line.strip()
    if name == "clear":
        records.clear()
    else:
        records.put([Record(name, id=name, embedding=[1.0, float(len(name))])])
    print("done", flush=True)
"""


@pytest.mark.parametrize("kind", ["embedded", "postgres", "http"])
def test_another_processs_writes_are_seen_at_once(
    kind: str, namespace: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    places = {"http": "server_url", "postgres": "postgres_url"}
    url = f"sqlite:///{tmp_path / 'm.db'}"
    if kind in places:
        url = request.getfixturevalue(places[kind])
    memory = Memory(namespace, url=url)
    records = memory.records()
    records.put([Record("mine", embedding=[1, 4])])
    assert texts(records.search(vector=[1, 0])) == ["mine"]
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, namespace, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def tell(line: str) -> None:
        assert writer.stdin is not None
        assert writer.stdout is not None
        writer.stdin.write(line + "\n")
        writer.stdin.flush()
        assert writer.stdout.readline() == "done\n"

    try:
        tell("a")
        assert texts(records.search(vector=[1, 0])) == ["a", "mine"]
        tell("clear")
        assert records.search(vector=[1, 0]) == []
        tell("bb")
        assert texts(records.search(vector=[1, 0])) == ["bb"]
    finally:
        writer.communicate()
        memory.close()


# --- recall ---------------------------------------------------------------------------------


async def test_what_fits_is_recalled_and_then_the_newest(records: Any) -> None:
    for i, text in enumerate(("tea", "coffee", "the sky", "milk")):
        await records.put(
            [Record(text, id=text, tags=[text[0]], metadata={"n": i}, embedding=[1.0, float(i)])]
        )
    assert texts(await records.recall("TEA?", limit=3)) == ["tea", "the sky", "milk"]
    assert texts(await records.recall("tea", limit=1)) == ["tea"]
    assert texts(await records.recall(limit=2)) == ["the sky", "milk"]
    assert texts(await records.recall("quantum", limit=2)) == ["the sky", "milk"]
    assert texts(await records.recall("!", vector=[1.0, 0.0], limit=2)) == ["tea", "coffee"]
    assert texts(await records.recall("tea", filter={"n": {"$gt": 1}})) == ["the sky", "milk"]
    assert texts(await records.recall("tea", tags=["c", "m"], limit=9)) == ["coffee", "milk"]
    assert await records.recall("tea", scope="/elsewhere") == []
