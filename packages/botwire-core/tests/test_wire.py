"""The wire: each side reads what the other writes, and nothing hostile gets through."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botwire import ConfigurationError, InvalidRequestError, ProtocolError, wire
from botwire import operations as ops
from botwire.clock import MAX_TIME, MIN_TIME
from botwire.exact import Json
from botwire.names import SYSTEM_NAMESPACE
from botwire.operations.terms import Usage
from botwire.scopes import normalise
from botwire.vectors import Vector

names = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20)
counts = st.integers(0, 2**63 - 1)
jsons = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
values = jsons.map(Json.of)
json_lists = st.lists(values, max_size=3).map(tuple)
pages = st.integers(1, ops.MAX_PAGE)
ttls = st.none() | st.floats(0.001, ops.MAX_TTL)
prefixes = st.just("") | names
name_lists = st.lists(names, max_size=3).map(tuple)
objects = st.dictionaries(names, jsons, max_size=3).map(Json.of)
paths = names.map(normalise)
times = st.none() | st.integers(0, 4_000_000_000_000_000)
vectors = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1).map(
    Vector.of
)
filters = st.dictionaries(st.sampled_from(["a", "b.c"]), jsons, max_size=2).map(
    lambda given: Json.of({name: {"$eq": value} for name, value in given.items()})
)
selections = st.builds(
    ops.Selection,
    st.none() | name_lists,
    st.just("/") | paths,
    st.none() | name_lists,
    st.none() | filters,
    times,
    times,
)
new_records = st.builds(
    ops.NewRecord,
    names,
    st.text(st.characters(exclude_categories=("Cs",))),
    objects,
    name_lists,
    paths,
    st.none() | vectors,
    times,
    st.none() | counts,
)

moments = st.integers(MIN_TIME, MAX_TIME)
versions = st.integers(1, 2**63 - 1)
conflicts = st.sampled_from(ops.CONFLICTS)
spans = st.none() | st.builds(ops.Span, st.none() | names, st.none() | names, counts)
some_names = st.none() | name_lists
entries = st.builds(
    ops.KeyEntry, names, values | st.binary(), versions, moments, moments, st.none() | moments
)
items = st.builds(ops.HistoryItem, st.integers(1, 9), st.none() | names, values, moments, counts)
states = st.builds(
    ops.HistoryState,
    names,
    st.integers(9, 99),
    st.integers(0, 9),
    moments,
    moments,
    objects,
    counts,
    st.none() | moments,
)
plain_vectors = st.lists(st.integers(-9, 9), min_size=2, max_size=2).map(Vector.of)
stored_records = st.builds(
    ops.RecordEntry,
    names,
    names,
    objects,
    name_lists,
    paths,
    st.none() | plain_vectors,
    versions,
    moments,
    moments,
)
policies = st.builds(
    ops.RetentionPolicy,
    names,
    names,
    st.none() | names,
    st.none() | st.floats(1, 1e9),
    st.none() | st.integers(1, 9),
    st.integers(1, 2**63 - 1),
)
holds = st.builds(ops.RetentionPolicy, names, names, hold=st.just(True), reason=st.none() | names)
STOREWIDE: dict[type[ops.AnyOperation], st.SearchStrategy[Any]] = {
    ops.ListNamespaces: st.builds(ops.ListNamespaces, prefixes, st.none() | names, pages),
    ops.ForgetNamespace: st.builds(ops.ForgetNamespace, names),
    ops.SetPolicy: st.builds(ops.SetPolicy, policies | holds),
    ops.DropPolicy: st.builds(ops.DropPolicy, names, names),
    ops.ListPolicies: st.builds(ops.ListPolicies, names),
    ops.ListUsage: st.builds(ops.ListUsage, st.sampled_from(["bytes", "writes"]), pages),
    ops.StatStore: st.builds(ops.StatStore),
    ops.CheckStore: st.builds(ops.CheckStore),
    ops.CompactStore: st.builds(ops.CompactStore),
}


def with_ids(cls: type[Any]) -> st.SearchStrategy[Any]:
    """Items with an id for each, for some, or for none."""

    def build(parts: tuple[Any, ...]) -> Any:
        name, items, tagged, if_last, ttl = parts
        ids = tuple(str(i) if tagged & 1 << i else None for i in range(len(items)))
        return cls(name, items, ids if tagged else None, if_last, ttl)

    return st.tuples(names, json_lists, st.integers(0, 7), st.none() | counts, ttls).map(build)


def list_histories(order: str, after: str | None, time: int, *others: Any) -> ops.ListHistories:
    prefix, limit, descending, where = others
    at = time if order == "updated" and after is not None else None
    return ops.ListHistories(prefix, after, limit, order, descending, where, at)


past_moments = counts.map(ops.Moment) | moments.map(lambda time: ops.Moment(time=time))
past_shapes = st.sampled_from(ops.SHAPES)
authors = st.builds(ops.Author, names, st.none() | names, st.none() | names, st.none() | names)
st.register_type_strategy(ops.Author, authors)

EVERY_OPERATION: dict[type[ops.AnyOperation], st.SearchStrategy[Any]] = {
    ops.PutKey: st.builds(ops.PutKey, names, values | st.binary(), ttls, st.none() | counts),
    ops.GetKeys: st.builds(ops.GetKeys, st.lists(names, max_size=3).map(tuple)),
    ops.ListKeys: st.builds(ops.ListKeys, prefixes, st.none() | names, pages),
    ops.ListExpiring: st.builds(ops.ListExpiring, pages),
    ops.ListKeyStats: st.builds(ops.ListKeyStats, prefixes, st.none() | names, pages),
    ops.ScanKeys: st.builds(
        ops.ScanKeys, prefixes, st.none() | names, st.none() | names, pages, st.booleans()
    ),
    ops.CountKeys: st.builds(ops.CountKeys, prefixes),
    ops.DeleteKey: st.builds(ops.DeleteKey, names, st.none() | counts),
    ops.ClearKeys: st.builds(ops.ClearKeys, prefixes, st.none() | pages),
    ops.IncrementKey: st.builds(ops.IncrementKey, names, st.integers()),
    ops.CheckKey: st.builds(ops.CheckKey, names, counts),
    ops.ExtendHistory: with_ids(ops.ExtendHistory),
    ops.ReplaceHistory: with_ids(ops.ReplaceHistory),
    ops.ReadHistory: st.builds(
        ops.ReadHistory, names, counts, st.none() | counts, pages, st.booleans(), st.booleans()
    ),
    ops.StatHistory: st.builds(ops.StatHistory, names),
    ops.DeleteItems: st.builds(ops.DeleteItems, names, st.lists(counts, max_size=3).map(tuple)),
    ops.PopItem: st.builds(ops.PopItem, names),
    ops.ArchiveHistory: st.builds(ops.ArchiveHistory, names, counts),
    ops.ClearHistory: st.builds(ops.ClearHistory, names, st.none() | pages),
    ops.UpdateItem: st.one_of(
        st.builds(ops.UpdateItem, names, values, counts, st.none(), st.none() | counts, ttls),
        st.builds(ops.UpdateItem, names, values, st.none(), names, st.none() | counts, ttls),
    ),
    ops.SetHistoryMetadata: st.builds(ops.SetHistoryMetadata, names, objects, st.none() | counts),
    ops.ForkHistory: st.tuples(names, names, st.none() | counts)
    .filter(lambda given: given[0] != given[1])
    .map(lambda given: ops.ForkHistory(*given)),
    ops.ExpireHistory: st.builds(ops.ExpireHistory, names, ttls),
    ops.FindHolds: st.builds(ops.FindHolds),
    ops.KeepExpiring: st.builds(ops.KeepExpiring, pages),
    ops.FindOldItems: st.builds(ops.FindOldItems, names, ttls, after=counts, gone_bytes=counts),
    ops.TrimHistory: st.builds(ops.TrimHistory, names, counts, names),
    ops.FindOldRecords: st.builds(ops.FindOldRecords, names, ttls, gone_records=counts),
    ops.TrimRecords: st.builds(ops.TrimRecords, names, name_lists, names),
    ops.ListHistories: st.builds(
        list_histories,
        st.sampled_from(["name", "updated"]),
        st.none() | names,
        moments,
        prefixes,
        pages,
        st.booleans(),
        st.none() | filters,
    ),
    ops.ReadChanges: st.builds(ops.ReadChanges, st.none() | counts, pages),
    ops.ReadUsage: st.builds(ops.ReadUsage),
    ops.StatPast: st.builds(ops.StatPast),
    ops.KeepPast: st.builds(ops.KeepPast, ttls),
    ops.FindRevision: st.builds(ops.FindRevision, moments),
    ops.ReadVersions: st.builds(ops.ReadVersions, names, st.none() | counts, pages),
    ops.ReadItemVersions: st.builds(
        ops.ReadItemVersions, names, counts, before=st.none() | counts, limit=pages
    )
    | st.builds(ops.ReadItemVersions, names, id=names, limit=pages),
    ops.ReadRecordVersions: st.builds(
        ops.ReadRecordVersions, names, names, st.none() | counts, pages, st.booleans()
    ),
    ops.ListChanged: st.builds(ops.ListChanged, past_moments, past_shapes, prefixes, limit=pages),
    ops.RestorePast: st.builds(
        ops.RestorePast, past_moments, past_shapes, names, st.none() | counts, st.none() | names
    ),
    ops.ErasePast: st.builds(ops.ErasePast, st.none() | past_shapes, st.none() | names),
    ops.PutRecords: st.builds(
        ops.PutRecords,
        names,
        st.lists(new_records, max_size=3, unique_by=lambda record: record.id).map(tuple),
        st.booleans(),
    ),
    ops.PatchRecords: st.builds(ops.PatchRecords, names, name_lists, objects),
    ops.GetRecords: st.builds(ops.GetRecords, names, name_lists, st.booleans()),
    ops.DeleteRecords: selections.flatmap(
        lambda where: st.builds(
            ops.DeleteRecords,
            names,
            st.just(where),
            st.just(where.is_everything),
            st.none() | pages,
        )
    ),
    ops.ListRecords: st.builds(ops.ListRecords, names, selections, pages, counts, st.booleans()),
    ops.SearchRecords: st.builds(
        ops.SearchRecords,
        names,
        st.none() | vectors,
        names,
        selections,
        pages,
        counts,
        st.none() | st.floats(-1, 1),
        st.sampled_from(ops.METRICS),
        st.booleans(),
    ),
    ops.StatRecords: st.builds(ops.StatRecords, names, selections),
    ops.ListScopes: st.builds(ops.ListScopes, names, paths),
    ops.ListTags: st.builds(ops.ListTags, names, selections),
    ops.ListCollections: st.builds(ops.ListCollections, prefixes, st.none() | names, pages),
    ops.StatNamespace: st.builds(ops.StatNamespace),
    ops.CheckNamespace: st.builds(ops.CheckNamespace),
    ops.CheckRecords: st.builds(ops.CheckRecords, names, st.none() | names, pages),
    ops.DumpHistories: st.builds(ops.DumpHistories, some_names, st.none() | names, pages),
    ops.DumpCollections: st.builds(ops.DumpCollections, some_names, st.none() | names, pages),
    ops.DumpRecords: st.builds(ops.DumpRecords, names, st.none() | names, pages),
    ops.DumpRecordsSince: st.builds(ops.DumpRecordsSince, names, counts, st.none() | names, pages),
    ops.DumpRecordIds: st.builds(ops.DumpRecordIds, names, st.none() | names, pages),
    ops.RestoreNamespace: st.builds(ops.RestoreNamespace, counts, moments),
    ops.RestoreKeys: st.builds(
        ops.RestoreKeys,
        st.lists(entries, max_size=3, unique_by=lambda entry: entry.key).map(tuple),
        conflicts,
        spans,
    ),
    ops.RestoreHistory: st.builds(
        ops.RestoreHistory,
        states,
        st.lists(
            items,
            max_size=3,
            unique_by=(lambda item: item.seq, lambda item: item.id or f"#{item.seq}"),
        ).map(tuple),
        conflicts,
        counts,
        st.none() | counts,
    ),
    ops.RestoreRecords: st.builds(
        ops.RestoreRecords,
        st.builds(ops.CollectionState, names, st.just(2)),
        st.lists(stored_records, max_size=3, unique_by=lambda record: record.id).map(tuple),
        conflicts,
        spans,
    ),
}


@given(st.data())
def test_a_batch_arrives_as_it_was_sent(data: st.DataObject) -> None:
    operations = data.draw(st.lists(st.one_of(*EVERY_OPERATION.values()), max_size=4).map(tuple))
    author = data.draw(st.none() | st.builds(ops.Author, names, names, names, st.none()))
    has_past = all(operation.has_past for operation in operations)
    at = data.draw(st.none() | past_moments) if has_past else None
    batch = ops.Batch(data.draw(names), operations, "request", author=author, at=at)
    body = wire.encode_batch(batch)
    assert body.isascii()
    assert wire.decode_batch(json.loads(body), "request") == batch


@given(st.data())
def test_what_is_about_the_whole_store_arrives_too(data: st.DataObject) -> None:
    operation = data.draw(st.one_of(*STOREWIDE.values()))
    batch = ops.Batch(SYSTEM_NAMESPACE, (operation,))
    assert wire.decode_batch(json.loads(wire.encode_batch(batch))) == batch
    document = json.loads(wire.encode_batch(batch)) | {"namespace": "n"}
    with pytest.raises(InvalidRequestError, match="about the whole store"):
        wire.decode_batch(document)


def test_what_the_database_does_is_alone_in_its_batch() -> None:
    with pytest.raises(ConfigurationError, match="the only operation"):
        ops.Batch(SYSTEM_NAMESPACE, (ops.CompactStore(), ops.ListNamespaces()))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[" * 201 + "]" * 201, "deeper than 200"),
        ('{"a": ' * 201 + "1" + "}" * 201, "deeper than 200"),
        ("[1e999]", "values[0][0] is inf"),
        ("[-1e999]", "values[0][0] is -inf"),
    ],
)
def test_what_a_decoder_takes_and_json_does_not_hold_is_refused(text: str, says: str) -> None:
    operation = json.loads(f'{{"op": "extend_history", "name": "h", "values": [{text}]}}')
    with pytest.raises(InvalidRequestError, match=re.escape(says)):
        wire.decode_operation(operation, "it")


def test_every_operation_is_generated_here() -> None:
    assert set(ops.BY_CLASS) == set(EVERY_OPERATION) | set(STOREWIDE)


def test_what_an_operation_is_called() -> None:
    assert wire.operation_name(ops.PutKey("k", Json.of(1))) == "put_key"
    assert {"get_keys", "extend_history", "list_histories"} <= set(ops.OPERATIONS)


def one(**fields: Any) -> dict[str, Any]:
    return {"namespace": "n", "operations": [fields]}


def put(**fields: Any) -> dict[str, Any]:
    return one(op="put_key", key="k", **fields)


def new(**fields: Any) -> dict[str, Any]:
    return {"id": "a", "text": "t", "metadata": {}, **fields}


EARLY = "0001-01-01T00:00+23:00"  # in UTC before the first year
TIME = "2026-01-01T00:00:00.000000Z"


def entry(**fields: Any) -> dict[str, Any]:
    times = {"created_at": TIME, "updated_at": TIME, "expires_at": None}
    return {"key": "k", "value": 1, "version": 1, **times, **fields}


def item(**fields: Any) -> dict[str, Any]:
    return {"seq": 1, "id": None, "value": 1, "created_at": TIME, **fields}


def state(**fields: Any) -> dict[str, Any]:
    times = {"created_at": TIME, "updated_at": TIME}
    return {"name": "h", "last_seq": 3, "archived_seq": 0, **times, **fields}


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (None, "the body"),
        ([], "the body"),
        ({}, "namespace and operations"),
        ({"namespace": "n", "operations": {}}, "operations must be a list"),
        ({"namespace": "", "operations": []}, "namespace must not be empty"),
        ({"namespace": 1, "operations": []}, "namespace must be a string"),
        ({"namespace": "n", "operations": [], "more": 1}, "namespace and operations"),
        ({"namespace": "n", "operations": [1]}, r"operations\[0\] must be an object"),
        ({"namespace": "n", "operations": [{}]}, r"operations\[0\].op must be the name of an op"),
        (one(op="put_keys"), "such as put_key or "),
        ({"namespace": "n", "operations": [{"op": ["put_key"]}]}, "must be the name of an op"),
        ({"namespace": "n", "operations": [{"op": "drop"}]}, "must be the name of an op"),
        (put(), "lacks the field 'value'"),
        (put(value=1, other=2), "unknown field 'other'"),
        (put(value=1, ttl="5"), r"operations\[0\].ttl must be a number"),
        (put(value=1, ttl=-5), "ttl must be a number of seconds above 0"),
        (put(value=1, ttl=float("nan")), "a number that a float can hold"),
        (put(value=1, ttl=10**400), "a number that a float can hold"),
        (one(op="put_records", collection="c", records=[new(created_at=EARLY)]), "ISO 8601"),
        (one(op="put_records", collection="c", records=[new(embedding=[1, "2"])]), "a number"),
        (one(op="put_records", collection="c", records=[new(embedding=[False])]), "a number"),
        (put(value=1, if_version=True), "if_version must be an integer"),
        (put(value=1, if_version=-1), "if_version must be at least 0"),
        (put(value=float("inf")), r"operations\[0\].value is inf"),
        (put(bytes="not base64!"), "bytes must be base64"),
        (put(bytes=5), "bytes must be"),
        (put(value=1, bytes="AA=="), "has both value and bytes"),
        (one(op="get_keys", keys="k"), r"operations\[0\].keys must be a list"),
        (one(op="get_keys", keys=[""]), "must not be empty"),
        (
            {"namespace": "n", "operations": [{"op": "extend_history", "name": "h", "values": [
                1, float("nan")]}]},
            r"values\[1\] is nan",
        ),
        (one(op="put_records", collection="c", records=[{"text": "t"}]), "lacks the field 'id'"),
        (one(op="put_records", collection="c", records=[new(more=1)]), "unknown field 'more'"),
        (one(op="put_records", collection="c", records=[new(metadata=[])]), "must be an object"),
        (one(op="put_records", collection="c", records=[new(metadata={"a": float("nan")})]), "nan"),
        (one(op="put_records", collection="c", records=[new(scope="a/")]), "scope 'a/'"),
        (one(op="put_records", collection="c", records=[new(embedding="AAA=")]), "four bytes each"),
        (one(op="put_records", collection="c", records=[new(embedding="AADAfw==")]), "fits 32"),
        (one(op="put_records", collection="c", records=[new(), new()]), "differ from one another"),
        (one(op="list_records", collection="c", where={"filter": {"$x": 1}}), "not an operator"),
        (one(op="list_records", collection="c", where={"all": True}), "unknown field 'all'"),
        (one(op="delete_records", collection="c"), "all=True"),
        (one(op="search_records", collection="c"), "needs a vector or a text"),
        (one(op="restore_keys", entries=[entry(more=1)]), "unknown field 'more'"),
        (one(op="restore_keys", entries=[entry(value=float("nan"))]), "nan"),
        (one(op="restore_keys", entries=[entry(version=0)]), "version of key 'k' must be at least"),
        (one(op="restore_keys", entries=[entry(key="")]), "must not be empty"),
        (one(op="restore_keys", entries=[entry(), entry()]), "differ from one another"),
        (one(op="restore_keys", entries=[], conflict="win"), "conflict must be one of"),
        (one(op="restore_history", state=state(last_seq=1, archived_seq=2)), "cannot be archived"),
        (one(op="restore_history", state=state(), items=[item(seq=4)]), "beyond it"),
        (one(op="restore_history", state=state(), items=[item(), item()]), "differ from one"),
        (one(op="restore_namespace", revision=1, created_at="0001-01-01T00:00:00+05:00"), "a time"),
    ],
)  # fmt: skip
def test_what_is_no_batch_is_refused_with_its_place(document: Any, says: str) -> None:
    with pytest.raises(InvalidRequestError, match=says):
        wire.decode_batch(document)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["namespace", "operations", "op", "key", "value", "bytes", "ttl", "name"]
            ),
            inner | st.sampled_from(list(ops.OPERATIONS)),
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(anything)
def test_no_document_makes_another_error(document: Any) -> None:
    for body in (document, {"namespace": "n", "operations": [document]}):
        with contextlib.suppress(InvalidRequestError):
            wire.decode_batch(body)


RECORD = ops.RecordEntry(
    "a", "\ud800", Json.of({"x": 1}), ("t",), "/s", Vector.of([0.1, -1e-40]), 3, 4, 5
)
RESULTS: list[tuple[ops.AnyOperation, Any]] = [
    (ops.PutKey("k", Json.of(1)), 7),
    (
        ops.GetKeys(("a", "b", "c")),
        (
            ops.KeyEntry("a", Json.of({"x": "\ud800"}), 1, 0, 1_795_489_197_128_055, None),
            None,
            ops.KeyEntry("c", b"\x00\xff", 2, 1, 2, 3),
        ),
    ),
    (ops.ListKeys(), ops.KeyPage(("a", "\ud800"), True)),
    (
        ops.ListKeyStats(),
        ops.KeyStatPage((ops.KeyStat("\ud800", 3, True, 1, 0, 2, None, ops.Author("a")),), False),
    ),
    (ops.ListUsage(), ops.StoreUsage(9, 10**12, (ops.NamespaceUsage("n", 1, 2, 3, 4),))),
    (
        ops.ListExpiring(),
        (ops.Expiring("key", "\ud800", 5), ops.Expiring("record", "a", 6, "memories")),
    ),
    (ops.DeleteKey("k"), True),
    (ops.CheckKey("k", 1), None),
    (ops.ExtendHistory("h", ()), (1, 2)),
    (ops.ReadHistory("h"), ops.ItemPage((ops.HistoryItem(1, None, Json.of(None), 5),), False)),
    (ops.PopItem("h"), None),
    (ops.PopItem("h"), ops.HistoryItem(1, "a", Json.of({}), 5, 7)),
    (ops.StatHistory("h"), ops.HistoryStat("h", 1, 2, 3, 4, 5)),
    (ops.StatHistory("h"), ops.HistoryStat("h", 1, 2, 3, 4, 5, Json.of({"a": 1}), 6, 7)),
    (ops.UpdateItem("h", Json.of(1), id="a"), 8),
    (ops.SetHistoryMetadata("h", Json.of({})), 9),
    (ops.ExpireHistory("h"), True),
    (ops.ForkHistory("h", "i"), 3),
    (ops.ReadUsage(), Usage(10**12, 3, 20_783)),
    (ops.ReadChanges(1), ops.ChangePage((ops.ChangeEntry(2, "key", "put", "\ud800"),), 2)),
    (ops.ListHistories(), ops.HistoryPage((ops.HistoryStat("h", 1, 2, 3, 4, 5),), False)),
    (ops.PutRecords("c", ()), (1, 2)),
    (ops.GetRecords("c", ("a", "b")), (RECORD, None)),
    (ops.ListRecords("c"), ops.RecordPage((RECORD,), True)),
    (ops.SearchRecords("c", text="t"), (ops.RecordMatch(RECORD, 0.1),)),
    (ops.StatRecords("c"), ops.RecordStat(1, 2, None, None)),
    (ops.ListTags("c"), (ops.TagCount("t", 1),)),
    (ops.ListScopes("c"), ("/a",)),
    (ops.ListCollections(), ops.CollectionPage(("c",), False)),
    (
        ops.ListNamespaces(),
        ops.NamespacePage((ops.NamespaceEntry("\ud800", 1, MIN_TIME),), True),
    ),
    (ops.ForgetNamespace("n"), (ops.RowCount("keys", 2),)),
    (ops.ListPolicies(), (ops.RetentionPolicy("p", "n", hold=True, reason="\ud800"),)),
    (ops.FindOldItems("h"), ops.OldItems(1, 2, 3, more=True)),
    (ops.TrimHistory("h", 1, "p"), ops.Trimmed(1, 2)),
    (ops.FindOldRecords("c"), ops.OldRecords(("a",), 1, MAX_TIME, "b")),
    (ops.StatStore(), ops.StoreStat("sqlite", 4096)),
    (ops.CheckStore(), ("a problem",)),
    (ops.CompactStore(), ops.Compaction(False, "why")),
    (ops.StatNamespace(), ops.NamespaceStat(1, None, 2, 3, 4, 5, 6, 7)),
    (ops.CheckRecords("c"), ops.RecordCheck(("a problem",), "last")),
    (
        ops.DumpHistories(),
        ops.HistoryStates((ops.HistoryState("h", 3, 2, 1, MAX_TIME),), False),
    ),
    (ops.DumpCollections(), ops.CollectionStates((ops.CollectionState("c", 2),), True)),
    (ops.DumpRecords("c"), ops.RecordPage((RECORD,), False)),
    (ops.DumpRecordsSince("c", 1), ops.RecordPage((RECORD,), True)),
    (ops.DumpRecordIds("c"), ops.IdPage(("a", "\ud800"), True)),
    (ops.RestoreNamespace(1, 1), None),
    (ops.RestoreKeys(()), ops.Restored(1, 2, 3)),
]


def test_results_arrive_as_they_were_sent() -> None:
    operations = [operation for operation, _ in RESULTS]
    results = [result for _, result in RESULTS]
    body = wire.encode_results(operations, results)
    assert body.isascii()
    assert wire.decode_results(operations, json.loads(body)) == results


ITEMS = ops.ItemPage(
    (
        ops.HistoryItem(1, None, Json.of({"items": [[1, "a"]]}), MIN_TIME, 7, ops.Author("\ud800")),
        ops.HistoryItem(2, "\ud800", Json.of('}\n{"é'), MAX_TIME, 0, None),
        ops.HistoryItem(9, "x", Json.of(None), 5, 8, ops.Author(framework="f", key="k")),
        ops.HistoryItem(10, None, Json.of(0), 5, 9, ops.Author("a\ud800")),
    ),
    True,
)


def test_results_arrive_with_the_values_of_items_apart() -> None:
    operations = [*[operation for operation, _ in RESULTS], ops.ReadHistory("h")]
    results = [*[result for _, result in RESULTS], ITEMS]
    body = wire.encode_apart(operations, results)
    assert body.isascii()
    head, _, values = body.partition("\n")
    assert wire.decode_results(operations, json.loads(head), values) == results


@pytest.mark.parametrize(
    "values", ["", '{"items":[[1,"a"]]}"}\\n{\\"\\u00e9"null', '{"items":[[1,"a"]]}"}']
)
def test_an_answer_that_lacks_values_is_a_protocol_error(values: str) -> None:
    read = ops.ReadHistory("h")
    head, _, _ = wire.encode_apart([read], [ITEMS]).partition("\n")
    with pytest.raises(ProtocolError, match="values apart"):
        wire.decode_results([read], json.loads(head), values)


@pytest.mark.parametrize(
    "document",
    [None, [], {}, {"results": []}, {"results": [1, 2]}, {"results": ["x"]}, {"results": [True]}],
)
def test_an_answer_to_something_else_is_a_protocol_error(document: Any) -> None:
    with pytest.raises(ProtocolError):
        wire.decode_results([ops.CountKeys()], document)


@given(anything, st.sampled_from([operation for operation, _ in RESULTS]))
def test_no_answer_makes_another_error(document: Any, operation: ops.Operation) -> None:
    for values in (None, "{}"):
        with contextlib.suppress(ProtocolError):
            wire.decode_results([operation], {"results": [document]}, values)
