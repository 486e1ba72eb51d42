"""How operations and results look in JSON: one table that client and server both read.

A batch is ``{"namespace": …, "operations": [{"op": "put_key", "key": …, "value": …}, …]}``, its
answer ``{"results": […]}``. An operation's fields are those of its class; a field left out has
its default. A stored value is spliced into the text as it is kept, neither decoded nor encoded.
Bytes travel as base64 under ``bytes`` in the place of ``value``; times as ISO 8601 in UTC.

The same texts record the results of a request, for answering it again (see `Batch.request_id`).
"""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from botwire import exact_operations as exact
from botwire import names, work
from botwire import operations as ops
from botwire import record_operations as records
from botwire import store_operations as store
from botwire.errors import (
    ConfigurationError,
    InvalidRequestError,
    NotJSONError,
    PayloadTooLargeError,
    ProtocolError,
    TooComplexError,
)
from botwire.exact import Json, encode_decoded
from botwire.terms import Usage
from botwire.wire_codecs import (
    BOOL,
    EXACT_JSON,
    INT,
    JSON,
    NOTHING,
    NUMBER,
    TEXT,
    TIME,
    VECTOR,
    Codec,
    MismatchError,
    dataclass_of,
    decode_base64,
    list_of,
    optional,
    quote,
    stored_tuple_of,
    tuple_of,
)

BATCH_PATH = "/v1/batch"
"""Where a server takes a batch by POST."""
IDEMPOTENCY_HEADER = "Idempotency-Key"
"""The header that carries `Batch.request_id` (draft-ietf-httpapi-idempotency-key-header)."""
REQUEST_ID_HEADER = "X-Request-ID"
"""The header in which a server names each answer, for its logs."""

_ENTRY_FIELDS = {
    "key": TEXT,
    "value": JSON,
    "version": INT,
    "created_at": TIME,
    "updated_at": TIME,
    "expires_at": optional(TIME),
}
_ITEM_FIELDS = {"seq": INT, "id": optional(TEXT), "value": JSON, "created_at": TIME}
_RECORD_FIELDS = {
    "id": TEXT,
    "text": TEXT,
    "metadata": JSON,
    "tags": list_of(TEXT),
    "scope": TEXT,
    "embedding": optional(VECTOR),
    "version": INT,
    "created_at": TIME,
    "updated_at": TIME,
}
_ENTRY = tuple_of(ops.KeyEntry, **_ENTRY_FIELDS)
_ITEM = tuple_of(ops.HistoryItem, **_ITEM_FIELDS)
_STAT = tuple_of(
    ops.HistoryStat,
    name=TEXT,
    count=INT,
    archived=INT,
    last_seq=INT,
    created_at=TIME,
    updated_at=TIME,
)
_CHANGE = tuple_of(ops.ChangeEntry, revision=INT, shape=TEXT, action=TEXT, name=TEXT)
_RECORD = tuple_of(records.RecordEntry, **_RECORD_FIELDS)
_NEW_RECORD = dataclass_of(
    records.NewRecord,
    id=TEXT,
    text=TEXT,
    metadata=EXACT_JSON,
    tags=list_of(TEXT),
    scope=TEXT,
    embedding=optional(VECTOR),
    created_at=optional(TIME),
    if_version=optional(INT),
)
_STORED_ENTRY = stored_tuple_of(ops.KeyEntry, **_ENTRY_FIELDS)
_STORED_ITEM = stored_tuple_of(ops.HistoryItem, **_ITEM_FIELDS)
_STORED_RECORD = stored_tuple_of(records.RecordEntry, **_RECORD_FIELDS)
_HISTORY_STATE = stored_tuple_of(
    exact.HistoryState,
    name=TEXT,
    last_seq=INT,
    archived_seq=INT,
    created_at=TIME,
    updated_at=TIME,
)
_COLLECTION_STATE = stored_tuple_of(exact.CollectionState, name=TEXT, dimension=optional(INT))
_RESTORED = tuple_of(exact.Restored, written=INT, kept=INT, removed=INT)
_SPAN = dataclass_of(exact.Span, after=optional(TEXT), until=optional(TEXT), revision=INT)
_SELECTION = dataclass_of(
    records.Selection,
    ids=optional(list_of(TEXT)),
    scope=TEXT,
    tags=optional(list_of(TEXT)),
    filter=optional(EXACT_JSON),
    created_after=optional(TIME),
    created_before=optional(TIME),
)

RESULTS: Mapping[type[ops.Operation], Codec] = {
    ops.PutKey: INT,
    ops.GetKeys: list_of(optional(_ENTRY)),
    ops.ListKeys: tuple_of(ops.KeyPage, keys=list_of(TEXT), more=BOOL),
    ops.ScanKeys: tuple_of(ops.EntryPage, entries=list_of(_ENTRY), more=BOOL),
    ops.CountKeys: INT,
    ops.DeleteKey: BOOL,
    ops.ClearKeys: INT,
    ops.IncrementKey: INT,
    ops.CheckKey: NOTHING,
    ops.ExtendHistory: list_of(INT),
    ops.ReplaceHistory: list_of(INT),
    ops.ReadHistory: tuple_of(ops.ItemPage, items=list_of(_ITEM), more=BOOL),
    ops.StatHistory: _STAT,
    ops.DeleteItems: INT,
    ops.PopItem: optional(_ITEM),
    ops.ArchiveHistory: INT,
    ops.ClearHistory: INT,
    ops.ListHistories: tuple_of(ops.HistoryPage, histories=list_of(_STAT), more=BOOL),
    ops.ReadChanges: tuple_of(ops.ChangePage, changes=list_of(_CHANGE), revision=INT),
    ops.ReadUsage: tuple_of(Usage, bytes=INT, writes=INT, day=INT),
    records.PutRecords: list_of(INT),
    records.PatchRecords: INT,
    records.GetRecords: list_of(optional(_RECORD)),
    records.DeleteRecords: INT,
    records.ListRecords: tuple_of(records.RecordPage, records=list_of(_RECORD), more=BOOL),
    records.SearchRecords: list_of(tuple_of(records.RecordMatch, record=_RECORD, score=NUMBER)),
    records.StatRecords: tuple_of(
        records.RecordStat,
        count=INT,
        oldest=optional(TIME),
        newest=optional(TIME),
        dimension=optional(INT),
    ),
    records.ListScopes: list_of(TEXT),
    records.ListTags: list_of(tuple_of(records.TagCount, tag=TEXT, count=INT)),
    records.ListCollections: tuple_of(records.CollectionPage, collections=list_of(TEXT), more=BOOL),
    store.ListNamespaces: tuple_of(
        store.NamespacePage,
        namespaces=list_of(
            tuple_of(store.NamespaceEntry, name=TEXT, revision=INT, created_at=TIME)
        ),
        more=BOOL,
    ),
    store.ForgetNamespace: list_of(tuple_of(store.RowCount, kind=TEXT, count=INT)),
    store.StatStore: tuple_of(store.StoreStat, engine=TEXT, bytes=INT),
    store.CheckStore: list_of(TEXT),
    store.CompactStore: tuple_of(store.Compaction, rewritten=BOOL, detail=TEXT),
    store.StatNamespace: tuple_of(
        store.NamespaceStat,
        revision=INT,
        created_at=optional(TIME),
        keys=INT,
        histories=INT,
        items=INT,
        collections=INT,
        records=INT,
        bytes=INT,
    ),
    store.CheckNamespace: list_of(TEXT),
    store.CheckRecords: tuple_of(store.RecordCheck, problems=list_of(TEXT), last=optional(TEXT)),
    exact.DumpHistories: tuple_of(
        exact.HistoryStates, histories=list_of(_HISTORY_STATE), more=BOOL
    ),
    exact.DumpCollections: tuple_of(
        exact.CollectionStates, collections=list_of(_COLLECTION_STATE), more=BOOL
    ),
    exact.DumpRecords: tuple_of(records.RecordPage, records=list_of(_RECORD), more=BOOL),
    exact.RestoreNamespace: NOTHING,
    exact.RestoreKeys: _RESTORED,
    exact.RestoreHistory: _RESTORED,
    exact.RestoreRecords: _RESTORED,
}
"""What each operation answers."""

STORED: Mapping[type[Any], Codec] = {
    ops.KeyEntry: _STORED_ENTRY,
    ops.HistoryItem: _STORED_ITEM,
    records.RecordEntry: _STORED_RECORD,
    exact.HistoryState: _HISTORY_STATE,
    exact.CollectionState: _COLLECTION_STATE,
}
"""How what is stored looks where it is moved as it is."""

# How a field travels, by its annotation in `operations`.
_FIELDS: Mapping[str, Codec] = {
    "str": TEXT,
    "str | None": optional(TEXT),
    "int": INT,
    "int | None": optional(INT),
    "float | None": optional(NUMBER),
    "bool": BOOL,
    "Json": EXACT_JSON,
    "Vector | None": optional(VECTOR),
    "Selection": _SELECTION,
    "tuple[NewRecord, ...]": list_of(_NEW_RECORD),
    "Value": JSON,
    "tuple[Json, ...]": list_of(JSON),
    "tuple[str, ...]": list_of(TEXT),
    "tuple[int, ...]": list_of(INT),
    "tuple[str, ...] | None": optional(list_of(TEXT)),
    "tuple[KeyEntry, ...]": list_of(_STORED_ENTRY),
    "tuple[HistoryItem, ...]": list_of(_STORED_ITEM),
    "tuple[RecordEntry, ...]": list_of(_STORED_RECORD),
    "HistoryState": _HISTORY_STATE,
    "CollectionState": _COLLECTION_STATE,
    "Micros": TIME,
    "Span | None": optional(_SPAN),
    "tuple[str | None, ...] | None": optional(list_of(optional(TEXT))),
}


class _Shape(NamedTuple):
    """An operation's class, its name on the wire, and its fields: name, codec, default."""

    make: type[ops.Operation]
    name: str
    fields: Mapping[str, tuple[Codec, Any]]


def _shape(cls: Any) -> _Shape:
    name = "".join("_" + c.lower() if c.isupper() else c for c in cls.__name__).lstrip("_")
    return _Shape(
        cls,
        name,
        {f.name: (_FIELDS[str(f.type)], f.default) for f in dataclasses.fields(cls)},
    )


_SHAPES = {cls: _shape(cls) for cls in RESULTS}

OPERATIONS: Mapping[str, _Shape] = {shape.name: shape for shape in _SHAPES.values()}
"""Every operation by its name on the wire."""


def operation_name(operation: ops.Operation) -> str:
    """Returns an operation's name on the wire, for example ``put_key``."""
    return _shape_of(operation).name


def _shape_of(operation: ops.Operation) -> _Shape:
    shape = _SHAPES.get(type(operation))
    if shape is None:
        raise ConfigurationError(
            f"{type(operation).__name__} has no form on the wire: add a codec for its result to "
            "botwire.wire.RESULTS"
        )
    return shape


def encode_batch(batch: ops.Batch) -> str:
    """Returns the body that asks a server to apply `batch`."""
    texts = []
    for operation in batch.operations:
        shape = _shape_of(operation)
        parts = [f'{{"op":"{shape.name}"']
        for name, (codec, default) in shape.fields.items():
            value = getattr(operation, name)
            if isinstance(value, bytes):
                parts.append(f'"bytes":"{base64.b64encode(value).decode("ascii")}"')
            elif value is not default:
                parts.append(f'"{name}":{codec.encode(value)}')
        texts.append(",".join(parts) + "}")
    return f'{{"namespace":{quote(batch.namespace)},"operations":[{",".join(texts)}]}}'


def decode_batch(
    document: object,
    request_id: str | None = None,
    digest: str | None = None,
    *,
    most: int | None = None,
) -> ops.Batch:
    """Reads the body that `encode_batch` writes; trusts nothing in it.

    Args:
        document: The body, decoded by `json.loads`.
        request_id: From the `IDEMPOTENCY_HEADER`, if there was one.
        digest: Of the request; see `Batch.digest`.
        most: How many operations it may have; None: any number.

    Raises:
        InvalidRequestError: It is not a batch; the detail says where and why.
        PayloadTooLargeError: It has too many operations.
    """
    body = _object(document, "the body", ("namespace", "operations"))
    listed = body["operations"]
    if not isinstance(listed, list):
        raise InvalidRequestError("operations must be a list")
    if most is not None and len(listed) > most:
        raise PayloadTooLargeError(
            f"a batch has at most {most} operations here, and this one has {len(listed)}: send it "
            "in parts"
        )
    decoded = tuple(_decode_each(listed))
    try:
        return ops.Batch(body["namespace"], decoded, request_id, digest)
    except ConfigurationError as error:
        raise InvalidRequestError(str(error)) from None


def _decode_each(listed: Sequence[object]) -> Iterator[ops.Operation]:
    for i, part in enumerate(listed):
        work.look()
        yield decode_operation(part, f"operations[{i}]")


def decode_operation(document: object, where: str) -> ops.Operation:
    """Reads one operation.

    Args:
        document: The decoded object, with its name under ``op``.
        where: What to call it in an error.

    Raises:
        InvalidRequestError: It is not an operation; the detail says where and why.
    """
    if not isinstance(document, dict):
        raise InvalidRequestError(f"{where} must be an object")
    shape = OPERATIONS.get(document["op"]) if isinstance(document.get("op"), str) else None
    if shape is None:
        raise InvalidRequestError(f"{where}.op must be one of: {', '.join(OPERATIONS)}")
    given = {name: part for name, part in document.items() if name != "op"}
    if "value" in shape.fields and "bytes" in given and "value" not in given:
        given["value"] = _checked(decode_base64, given.pop("bytes"), where, "bytes")
        raw = True
    else:
        raw = False
    if not given.keys() <= shape.fields.keys():
        raise InvalidRequestError(
            f"{where} has the unknown field "
            f"{names.shown(min(given.keys() - shape.fields.keys()), 60)}; "
            f"{shape.name} takes: {', '.join(shape.fields)}"
        )
    arguments = {}
    for name, (codec, default) in shape.fields.items():
        if name not in given:
            if default is dataclasses.MISSING:
                raise InvalidRequestError(f"{where} lacks the field {name!r}")
        elif raw and name == "value":
            arguments[name] = given[name]
        else:
            argument = _checked(codec.decode, given[name], where, name)
            if isinstance(argument, (Json, tuple)):
                argument = _check_values(argument, f"{where}.{name}")
            arguments[name] = argument
    try:
        return shape.make(**arguments)
    except ConfigurationError as error:
        raise InvalidRequestError(f"{where}: {error}", status=_status(error)) from None


def _status(error: ConfigurationError) -> int | None:
    """Returns the status of a bad argument, where it has another than usual."""
    return 422 if isinstance(error, TooComplexError) else None


def decode_stored(make: type[Any], document: object) -> Any:
    """Reads what the codec in `STORED` wrote; trusts nothing in it.

    Raises:
        InvalidRequestError: It is not that; the detail says why.
    """
    return _checked(STORED[make].decode, document, "it")


def encode_results(
    operations: Sequence[ops.Operation], results: ops.Results, digest: str | None = None
) -> str:
    """Returns the body that answers a batch.

    Args:
        operations: Those of the batch.
        results: What they answered.
        digest: That of the batch (see `Batch.digest`), to be recorded with its results.
    """
    texts = [
        RESULTS[type(operation)].encode(result)
        for operation, result in zip(operations, results, strict=True)
    ]
    of = "" if digest is None else f'"digest":"{digest}",'
    return f'{{{of}"results":[{",".join(texts)}]}}'


def decode_results(operations: Sequence[ops.Operation], document: object) -> ops.Results:
    """Reads the body that `encode_results` writes.

    Raises:
        ProtocolError: It is not the answer to these operations.
    """
    results = document.get("results") if isinstance(document, dict) else None
    if not isinstance(results, list) or len(results) != len(operations):
        raise ProtocolError("the answer does not hold one result for each operation")
    decoded = []
    for i, (operation, part) in enumerate(zip(operations, results, strict=True)):
        try:
            decoded.append(RESULTS[type(operation)].decode(part))
        except (MismatchError, ConfigurationError) as bad:
            raise ProtocolError(f"results[{i}] of the answer must be or hold {bad}") from None
    return decoded


def encode_change(change: ops.ChangeEntry) -> str:
    """Returns a change as it stands in the answer to `ReadChanges`."""
    return _CHANGE.encode(change)


def _object(document: object, where: str, fields: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(document, dict) or document.keys() != set(fields):
        raise InvalidRequestError(f"{where} must be an object with {' and '.join(fields)}")
    return document


def _checked(
    decode: Callable[[Any], Any], part: object, where: str, field: str | None = None
) -> Any:
    status = None
    try:
        return decode(part)
    except MismatchError as bad:
        problem = f" must be or hold {bad}"
    except ConfigurationError as error:
        problem, status = f": {error}", _status(error)
    what = where if field is None else f"{where}.{field}"
    raise InvalidRequestError(what + problem, status=status)


def _check_values(argument: Any, where: str) -> Any:
    """Refuses what a lenient decoder lets through, such as NaN; keeps the text of what is good."""
    if isinstance(argument, Json):
        return _exact(argument, where)
    if isinstance(argument, tuple) and argument and isinstance(argument[0], Json):
        return tuple(_exact(value, f"{where}[{i}]") for i, value in enumerate(argument))
    return argument


def _exact(value: Json, where: str) -> Json:
    if value.is_text:
        return value
    try:
        return Json.from_text(encode_decoded(value.value, where))
    except NotJSONError as error:
        raise InvalidRequestError(str(error)) from None
