"""How operations and results look in JSON: one table that client and server both read.

A batch is ``{"namespace": …, "operations": [{"op": "put_key", "key": …, "value": …}, …]}``, its
answer ``{"results": […]}``. An operation's fields are those of its class; a field left out has
its default. A stored value is spliced into the text as it is kept, neither decoded nor encoded.
Bytes travel as base64 under ``bytes`` in the place of ``value``; times as ISO 8601 in UTC.

The same texts record the results of a request, for answering it again (see `Batch.request_id`).
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from botwire import exact_operations as exact
from botwire import operations as ops
from botwire import record_operations as records
from botwire import store_operations as store
from botwire.clock import from_iso, to_iso
from botwire.errors import ConfigurationError, InvalidRequestError, NotJSONError, ProtocolError
from botwire.exact import Json, encode, encode_decoded
from botwire.terms import Usage
from botwire.vectors import Vector

BATCH_PATH = "/v1/batch"
"""Where a server takes a batch by POST."""
IDEMPOTENCY_HEADER = "Idempotency-Key"
"""The header that carries `Batch.request_id` (draft-ietf-httpapi-idempotency-key-header)."""
REQUEST_ID_HEADER = "X-Request-ID"
"""The header in which a server names each answer, for its logs."""

_quote = json.JSONEncoder(ensure_ascii=True, allow_nan=False).encode


class _MismatchError(Exception):
    """A part of a document is not what it should be; carries what it should be."""


class _Codec(NamedTuple):
    encode: Callable[[Any], str]
    decode: Callable[[Any], Any]


def _text(part: object) -> str:
    if not isinstance(part, str):
        raise _MismatchError("a string")
    return part


def _int(part: object) -> int:
    if isinstance(part, bool) or not isinstance(part, int):
        raise _MismatchError("an integer")
    return part


def _number(part: object) -> float:
    if isinstance(part, bool) or not isinstance(part, (int, float)):
        raise _MismatchError("a number")
    try:
        finite = math.isfinite(part)
    except OverflowError:  # an int beyond every float
        finite = False
    if not finite:
        raise _MismatchError("a number that a float can hold")
    return part


def _bool(part: object) -> bool:
    if not isinstance(part, bool):
        raise _MismatchError("true or false")
    return part


def _json_in(part: object) -> Json:
    return Json.from_decoded(part)


def _json_exact(part: object) -> Json:
    """Refuses what a lenient decoder lets through, such as NaN; keeps the text of what is good."""
    return Json.from_text(encode(part))


def _vector(part: object) -> Vector:
    # Clients send bytes; a list of numbers is what people write.
    if isinstance(part, list):
        return Vector.of([_number(number) for number in part])
    return Vector.from_bytes(_base64(part))


def _base64(part: object) -> bytes:
    try:
        return base64.b64decode(_text(part), validate=True)
    except (binascii.Error, ValueError):
        raise _MismatchError("base64") from None


def _time(part: object) -> int:
    try:
        return from_iso(_text(part))
    except ValueError:
        raise _MismatchError("a time in ISO 8601") from None


def _list(codec: _Codec) -> _Codec:
    def encode_list(values: Sequence[Any]) -> str:
        return "[" + ",".join([codec.encode(value) for value in values]) + "]"

    def decode_list(part: object) -> tuple[Any, ...]:
        if not isinstance(part, list):
            raise _MismatchError("a list")
        return tuple([codec.decode(item) for item in part])

    return _Codec(encode_list, decode_list)


def _optional(codec: _Codec) -> _Codec:
    return _Codec(
        lambda value: "null" if value is None else codec.encode(value),
        lambda part: None if part is None else codec.decode(part),
    )


_TEXT = _Codec(_quote, _text)
_INT = _Codec(int.__repr__, _int)
_NUMBER = _Codec(_quote, _number)
_BOOL = _Codec(lambda value: "true" if value else "false", _bool)
_JSON = _Codec(lambda value: value.text, _json_in)
_EXACT_JSON = _Codec(lambda value: value.text, _json_exact)
_VECTOR = _Codec(lambda vector: f'"{base64.b64encode(vector.raw).decode("ascii")}"', _vector)
_TIME = _Codec(lambda micros: f'"{to_iso(micros)}"', _time)
_NOTHING = _Codec(lambda _: "null", lambda _: None)


def _record(make: Callable[..., Any], **fields: _Codec) -> _Codec:
    """The codec of a result that is a named tuple; `value` may be bytes."""
    encoders = [(f'"{name}":', codec.encode) for name, codec in fields.items()]

    def encode_record(value: Any) -> str:
        parts = [
            f'"bytes":"{base64.b64encode(part).decode("ascii")}"'
            if isinstance(part, bytes)
            else start + encode_part(part)
            for (start, encode_part), part in zip(encoders, value, strict=True)
        ]
        return "{" + ",".join(parts) + "}"

    def decode_record(part: object) -> Any:
        if not isinstance(part, dict):
            raise _MismatchError("an object")
        try:
            return make(
                *[
                    _base64(part["bytes"])
                    if name == "value" and "bytes" in part
                    else codec.decode(part[name])
                    for name, codec in fields.items()
                ]
            )
        except KeyError as missing:
            raise _MismatchError(f"an object with {missing}") from None

    return _Codec(encode_record, decode_record)


def _input(make: Any, **fields: _Codec) -> _Codec:
    """The codec of a dataclass that is part of an operation; what is left out has its default."""
    defaults = {field.name: field.default for field in dataclasses.fields(make)}

    def encode_input(value: Any) -> str:
        parts = []
        for name, codec in fields.items():
            part = getattr(value, name)
            if part is not defaults[name]:
                parts.append(f'"{name}":{codec.encode(part)}')
        return "{" + ",".join(parts) + "}"

    def decode_input(part: object) -> Any:
        if not isinstance(part, dict) or not part.keys() <= fields.keys():
            raise _MismatchError(f"an object with some of: {', '.join(fields)}")
        for name, default in defaults.items():
            if default is dataclasses.MISSING and name not in part:
                raise _MismatchError(f"an object with {name!r}")
        return make(**{name: fields[name].decode(inner) for name, inner in part.items()})

    return _Codec(encode_input, decode_input)


def _strictly(codec: _Codec, *fields: str) -> _Codec:
    """A codec that knows no other fields; `value` may also be sent as bytes."""

    def decode_strictly(part: object) -> Any:
        if not isinstance(part, dict) or not part.keys() <= {*fields, "bytes"}:
            raise _MismatchError(f"an object with: {', '.join(fields)}")
        return codec.decode(part)

    return _Codec(codec.encode, decode_strictly)


def _stored(make: Any, **fields: _Codec) -> _Codec:
    """The codec of a named tuple that is part of an operation: its JSON is not taken on trust."""
    exact_fields = {
        name: _EXACT_JSON if codec is _JSON else codec for name, codec in fields.items()
    }
    return _strictly(_record(make, **exact_fields), *fields)


_ENTRY_FIELDS = {
    "key": _TEXT,
    "value": _JSON,
    "version": _INT,
    "created_at": _TIME,
    "updated_at": _TIME,
    "expires_at": _optional(_TIME),
}
_ITEM_FIELDS = {"seq": _INT, "id": _optional(_TEXT), "value": _JSON, "created_at": _TIME}
_RECORD_FIELDS = {
    "id": _TEXT,
    "text": _TEXT,
    "metadata": _JSON,
    "tags": _list(_TEXT),
    "scope": _TEXT,
    "embedding": _optional(_VECTOR),
    "version": _INT,
    "created_at": _TIME,
    "updated_at": _TIME,
}
_ENTRY = _record(ops.KeyEntry, **_ENTRY_FIELDS)
_ITEM = _record(ops.HistoryItem, **_ITEM_FIELDS)
_STAT = _record(
    ops.HistoryStat,
    name=_TEXT,
    count=_INT,
    archived=_INT,
    last_seq=_INT,
    created_at=_TIME,
    updated_at=_TIME,
)
_CHANGE = _record(ops.ChangeEntry, revision=_INT, shape=_TEXT, action=_TEXT, name=_TEXT)
_RECORD = _record(records.RecordEntry, **_RECORD_FIELDS)
_NEW_RECORD = _input(
    records.NewRecord,
    id=_TEXT,
    text=_TEXT,
    metadata=_EXACT_JSON,
    tags=_list(_TEXT),
    scope=_TEXT,
    embedding=_optional(_VECTOR),
    created_at=_optional(_TIME),
    if_version=_optional(_INT),
)
_STORED_ENTRY = _stored(ops.KeyEntry, **_ENTRY_FIELDS)
_STORED_ITEM = _stored(ops.HistoryItem, **_ITEM_FIELDS)
_STORED_RECORD = _stored(records.RecordEntry, **_RECORD_FIELDS)
_HISTORY_STATE = _stored(
    exact.HistoryState,
    name=_TEXT,
    last_seq=_INT,
    archived_seq=_INT,
    created_at=_TIME,
    updated_at=_TIME,
)
_COLLECTION_STATE = _stored(exact.CollectionState, name=_TEXT, dimension=_optional(_INT))
_RESTORED = _record(exact.Restored, written=_INT, kept=_INT, removed=_INT)
_SPAN = _input(exact.Span, after=_optional(_TEXT), until=_optional(_TEXT), revision=_INT)
_SELECTION = _input(
    records.Selection,
    ids=_optional(_list(_TEXT)),
    scope=_TEXT,
    tags=_optional(_list(_TEXT)),
    filter=_optional(_EXACT_JSON),
    created_after=_optional(_TIME),
    created_before=_optional(_TIME),
)

RESULTS: Mapping[type[ops.Operation], _Codec] = {
    ops.PutKey: _INT,
    ops.GetKeys: _list(_optional(_ENTRY)),
    ops.ListKeys: _record(ops.KeyPage, keys=_list(_TEXT), more=_BOOL),
    ops.ScanKeys: _record(ops.EntryPage, entries=_list(_ENTRY), more=_BOOL),
    ops.CountKeys: _INT,
    ops.DeleteKey: _BOOL,
    ops.ClearKeys: _INT,
    ops.IncrementKey: _INT,
    ops.CheckKey: _NOTHING,
    ops.ExtendHistory: _list(_INT),
    ops.ReplaceHistory: _list(_INT),
    ops.ReadHistory: _record(ops.ItemPage, items=_list(_ITEM), more=_BOOL),
    ops.StatHistory: _STAT,
    ops.DeleteItems: _INT,
    ops.PopItem: _optional(_ITEM),
    ops.ArchiveHistory: _INT,
    ops.ClearHistory: _INT,
    ops.ListHistories: _record(ops.HistoryPage, histories=_list(_STAT), more=_BOOL),
    ops.ReadChanges: _record(ops.ChangePage, changes=_list(_CHANGE), revision=_INT),
    ops.ReadUsage: _record(Usage, bytes=_INT, writes=_INT, day=_INT),
    records.PutRecords: _list(_INT),
    records.PatchRecords: _INT,
    records.GetRecords: _list(_optional(_RECORD)),
    records.DeleteRecords: _INT,
    records.ListRecords: _record(records.RecordPage, records=_list(_RECORD), more=_BOOL),
    records.SearchRecords: _list(_record(records.RecordMatch, record=_RECORD, score=_NUMBER)),
    records.StatRecords: _record(
        records.RecordStat,
        count=_INT,
        oldest=_optional(_TIME),
        newest=_optional(_TIME),
        dimension=_optional(_INT),
    ),
    records.ListScopes: _list(_TEXT),
    records.ListTags: _list(_record(records.TagCount, tag=_TEXT, count=_INT)),
    records.ListCollections: _record(records.CollectionPage, collections=_list(_TEXT), more=_BOOL),
    store.ListNamespaces: _record(
        store.NamespacePage,
        namespaces=_list(
            _record(store.NamespaceEntry, name=_TEXT, revision=_INT, created_at=_TIME)
        ),
        more=_BOOL,
    ),
    store.ForgetNamespace: _list(_record(store.RowCount, kind=_TEXT, count=_INT)),
    store.StatStore: _record(store.StoreStat, engine=_TEXT, bytes=_INT),
    store.CheckStore: _list(_TEXT),
    store.CompactStore: _record(store.Compaction, rewritten=_BOOL, detail=_TEXT),
    store.StatNamespace: _record(
        store.NamespaceStat,
        revision=_INT,
        created_at=_optional(_TIME),
        keys=_INT,
        histories=_INT,
        items=_INT,
        collections=_INT,
        records=_INT,
        bytes=_INT,
    ),
    store.CheckNamespace: _list(_TEXT),
    store.CheckRecords: _record(store.RecordCheck, problems=_list(_TEXT), last=_optional(_TEXT)),
    exact.DumpHistories: _record(exact.HistoryStates, histories=_list(_HISTORY_STATE), more=_BOOL),
    exact.DumpCollections: _record(
        exact.CollectionStates, collections=_list(_COLLECTION_STATE), more=_BOOL
    ),
    exact.DumpRecords: _record(records.RecordPage, records=_list(_RECORD), more=_BOOL),
    exact.RestoreNamespace: _NOTHING,
    exact.RestoreKeys: _RESTORED,
    exact.RestoreHistory: _RESTORED,
    exact.RestoreRecords: _RESTORED,
}
"""What each operation answers."""

STORED: Mapping[type[Any], _Codec] = {
    ops.KeyEntry: _STORED_ENTRY,
    ops.HistoryItem: _STORED_ITEM,
    records.RecordEntry: _STORED_RECORD,
    exact.HistoryState: _HISTORY_STATE,
    exact.CollectionState: _COLLECTION_STATE,
}
"""How what is stored looks where it is moved as it is."""

# How a field travels, by its annotation in `operations`.
_FIELDS: Mapping[str, _Codec] = {
    "str": _TEXT,
    "str | None": _optional(_TEXT),
    "int": _INT,
    "int | None": _optional(_INT),
    "float | None": _optional(_NUMBER),
    "bool": _BOOL,
    "Json": _EXACT_JSON,
    "Vector | None": _optional(_VECTOR),
    "Selection": _SELECTION,
    "tuple[NewRecord, ...]": _list(_NEW_RECORD),
    "Value": _JSON,
    "tuple[Json, ...]": _list(_JSON),
    "tuple[str, ...]": _list(_TEXT),
    "tuple[int, ...]": _list(_INT),
    "tuple[str, ...] | None": _optional(_list(_TEXT)),
    "tuple[KeyEntry, ...]": _list(_STORED_ENTRY),
    "tuple[HistoryItem, ...]": _list(_STORED_ITEM),
    "tuple[RecordEntry, ...]": _list(_STORED_RECORD),
    "HistoryState": _HISTORY_STATE,
    "CollectionState": _COLLECTION_STATE,
    "Micros": _TIME,
    "Span | None": _optional(_SPAN),
    "tuple[str | None, ...] | None": _optional(_list(_optional(_TEXT))),
}


class _Shape(NamedTuple):
    """An operation's class, its name on the wire, and its fields: name, codec, default."""

    make: type[ops.Operation]
    name: str
    fields: Mapping[str, tuple[_Codec, Any]]


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
    return _SHAPES[type(operation)].name


def encode_batch(batch: ops.Batch) -> str:
    """Returns the body that asks a server to apply `batch`."""
    texts = []
    for operation in batch.operations:
        shape = _SHAPES[type(operation)]
        parts = [f'{{"op":"{shape.name}"']
        for name, (codec, default) in shape.fields.items():
            value = getattr(operation, name)
            if isinstance(value, bytes):
                parts.append(f'"bytes":"{base64.b64encode(value).decode("ascii")}"')
            elif value is not default:
                parts.append(f'"{name}":{codec.encode(value)}')
        texts.append(",".join(parts) + "}")
    return f'{{"namespace":{_quote(batch.namespace)},"operations":[{",".join(texts)}]}}'


def decode_batch(
    document: object, request_id: str | None = None, digest: str | None = None
) -> ops.Batch:
    """Reads the body that `encode_batch` writes; trusts nothing in it.

    Args:
        document: The body, decoded by `json.loads`.
        request_id: From the `IDEMPOTENCY_HEADER`, if there was one.
        digest: Of the request; see `Batch.digest`.

    Raises:
        InvalidRequestError: It is not a batch; the detail says where and why.
    """
    body = _object(document, "the body", ("namespace", "operations"))
    listed = body["operations"]
    if not isinstance(listed, list):
        raise InvalidRequestError("operations must be a list")
    decoded = tuple(decode_operation(part, f"operations[{i}]") for i, part in enumerate(listed))
    try:
        return ops.Batch(body["namespace"], decoded, request_id, digest)
    except ConfigurationError as error:
        raise InvalidRequestError(str(error)) from None


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
        given["value"] = _checked(_base64, given.pop("bytes"), where, "bytes")
        raw = True
    else:
        raw = False
    if not given.keys() <= shape.fields.keys():
        raise InvalidRequestError(
            f"{where} has the unknown field {min(given.keys() - shape.fields.keys())!r:.60}; "
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
        raise InvalidRequestError(f"{where}: {error}") from None


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
        except (_MismatchError, ConfigurationError) as bad:
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
    try:
        return decode(part)
    except _MismatchError as bad:
        problem = f" must be or hold {bad}"
    except ConfigurationError as error:
        problem = f": {error}"
    raise InvalidRequestError((where if field is None else f"{where}.{field}") + problem)


def _check_values(argument: Any, where: str) -> Any:
    """Refuses what a lenient decoder lets through, such as NaN; keeps the text of what is good."""
    if isinstance(argument, Json):
        return _exact(argument, where)
    if isinstance(argument, tuple) and argument and isinstance(argument[0], Json):
        return tuple(_exact(value, f"{where}[{i}]") for i, value in enumerate(argument))
    return argument


def _exact(value: Json, where: str) -> Json:
    try:
        return Json.from_text(encode_decoded(value.value, where))
    except NotJSONError as error:
        raise InvalidRequestError(str(error)) from None
