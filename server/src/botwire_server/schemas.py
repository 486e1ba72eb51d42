"""How operations and their results look in JSON Schema, for the OpenAPI description.

Fields, defaults and descriptions are those of the classes that `botwire.wire` reads, so that what
is described is what is read. What an annotation cannot say (a bound, an example) is said here.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Collection, Mapping
from typing import Any

from botwire import exact_operations as exact
from botwire import names, wire
from botwire import operations as ops
from botwire import record_operations as records
from botwire import store_operations as store
from botwire.terms import Usage

Schema = dict[str, Any]

REF = "#/components/schemas/"
MAX_INTEGER = 2**63 - 1
"""The greatest number of a version, an item or a page."""

OPERATION_NAMES: Mapping[Any, str] = {shape.make: name for name, shape in wire.OPERATIONS.items()}
"""What each operation is called in a batch."""


def ref(cls: type) -> Schema:
    """Returns a reference to the schema of a class."""
    return {"$ref": REF + cls.__name__}


def list_of(schema: Schema) -> Schema:
    """Returns the schema of a list."""
    return {"type": "array", "items": schema}


def _or_null(schema: Schema) -> Schema:
    if isinstance(schema.get("type"), str):
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


TEXT: Schema = {"type": "string"}
_INT: Schema = {"type": "integer"}
COUNT: Schema = {"type": "integer", "minimum": 0, "maximum": MAX_INTEGER}
_NUMBER: Schema = {"type": "number"}
_BOOL: Schema = {"type": "boolean"}
_OBJECT: Schema = {"type": "object"}
TIME: Schema = {"type": "string", "format": "date-time"}
_BASE64: Schema = {"type": "string", "contentEncoding": "base64"}
NAME: Schema = {"type": "string", "minLength": 1, "maxLength": names.MAX_NAME_BYTES}
ID: Schema = {"type": "string", "minLength": 1, "maxLength": names.MAX_ID_BYTES}
PREFIX: Schema = {"type": "string", "maxLength": names.MAX_NAME_BYTES}
SCOPE: Schema = {
    "type": "string",
    "pattern": "^(/|(/[^/]+)+)$",
    "maxLength": names.MAX_NAME_BYTES,
    "examples": ["/crew/alice"],
}
_VECTOR: Schema = {
    "description": "32-bit floats: little-endian in base64, or, in a request, a list of numbers.",
    "oneOf": [_BASE64, list_of(_NUMBER)],
}
NAMESPACE: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": names.MAX_NAMESPACE_BYTES,
    "examples": ["user-123"],
}


def _is_part(cls: Any, module: Any) -> bool:
    """Says whether a class is a part of operations or of what they answer."""
    is_record = dataclasses.is_dataclass(cls) or hasattr(cls, "_fields")
    return (
        is_record
        and cls.__module__ == module.__name__
        and cls is not ops.Batch
        and not issubclass(cls, ops.Operation)
    )


_PARTS: list[Any] = [
    Usage,
    *[
        cls
        for module in (ops, records, store, exact)
        for cls in vars(module).values()
        if inspect.isclass(cls) and _is_part(cls, module)
    ],
]

_BY_TYPE: Mapping[str, Schema] = {
    "Micros": TIME,
    "str": TEXT,
    "int": _INT,
    "float": _NUMBER,
    "bool": _BOOL,
    "Json": {},
    "Value": {},
    "Vector": _VECTOR,
    **{cls.__name__: ref(cls) for cls in _PARTS},
}
# What a name says beyond its type, wherever it stands.
_BY_NAME: Mapping[str, Schema] = {
    "after": COUNT,
    "archived": _BOOL,
    "before": COUNT,
    "collection": NAME,
    "created_after": TIME,
    "created_at": TIME,
    "created_before": TIME,
    "expires_at": TIME,
    "filter": {**_OBJECT, "examples": [{"topic": "tea", "year": {"$gte": 2020}}]},
    "id": ID,
    "ids": list_of(ID),
    "if_last": COUNT,
    "if_version": COUNT,
    "key": NAME,
    "keys": list_of(NAME),
    "limit": {"type": "integer", "minimum": 1, "maximum": ops.MAX_PAGE},
    "metadata": _OBJECT,
    "metric": {"type": "string", "enum": list(records.METRICS)},
    "name": NAME,
    "newest": TIME,
    "offset": COUNT,
    "oldest": TIME,
    "parent": SCOPE,
    "prefix": PREFIX,
    "scope": SCOPE,
    "seqs": list_of(COUNT),
    "tags": list_of(ID),
    "ttl": {"type": "number", "exclusiveMinimum": 0, "maximum": ops.MAX_TTL},
    "up_to": COUNT,
    "updated_at": TIME,
    "version": COUNT,
}
# Where a name means something else.
_BY_PLACE: Mapping[tuple[type, str], Schema] = {
    (ops.ListKeys, "after"): NAME,
    (ops.ScanKeys, "after"): NAME,
    (ops.ScanKeys, "before"): NAME,
    (ops.ListHistories, "after"): NAME,
    (records.ListCollections, "after"): NAME,
    (ops.ExtendHistory, "ids"): list_of(_or_null(ID)),
    (ops.ReplaceHistory, "ids"): list_of(_or_null(ID)),
    (ops.HistoryStat, "archived"): COUNT,
    (ops.ChangeEntry, "name"): TEXT,
    (ops.ChangeEntry, "shape"): {
        "type": "string",
        "enum": ["key", "history", "record", "namespace"],
    },
}


def _of_annotation(annotation: str) -> Schema:
    """Returns the schema of an annotation, for example ``tuple[Json, ...]``."""
    if annotation.endswith(" | None"):
        return _or_null(_of_annotation(annotation.removesuffix(" | None")))
    inner = re.fullmatch(r"(?:tuple|Sequence)\[(.+?)(?:, \.\.\.)?\]", annotation)
    if inner:
        return list_of(_of_annotation(inner[1]))
    return _BY_TYPE.get(annotation, {})


def _json_type(schema: Schema) -> str:
    kind = schema.get("type", "object")
    return kind if isinstance(kind, str) else str(kind[0])


def _field(cls: type, name: str, annotation: str) -> Schema:
    of_type = _of_annotation(annotation)
    named = _BY_PLACE.get((cls, name)) or _BY_NAME.get(name)
    # A name says more of a type, and nothing of another type that it has elsewhere. Times are
    # integers here and strings in JSON.
    if named is None or (named is not TIME and _json_type(named) != _json_type(of_type)):
        return of_type
    return _or_null(named) if annotation.endswith("| None") else named


def _document(cls: type) -> tuple[str, Mapping[str, str]]:
    """Returns the first paragraph of a docstring, and what it says of each attribute."""
    text = inspect.cleandoc(cls.__doc__ or "")
    listed = text.partition("Attributes:\n")[2]
    found = re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", listed, re.MULTILINE)
    return _in_json(text.partition("\n\n")[0]), {name: _in_json(said) for name, said in found}


def _in_json(text: str) -> str:
    """Returns what a docstring says, on one line and in the terms of JSON."""
    text = re.sub(r" \((?:tuple of )?(?:int|bool|str|`\w+`)\)", "", text)
    text = re.sub(r"\s+", " ", text).strip().replace("`", "")
    for python, name in (("None", "null"), ("True", "true"), ("False", "false")):
        text = re.sub(rf"\b{python}\b", name, text)
    return text


def schema_of(cls: Any, *, without: Collection[str] = (), op: bool = False) -> Schema:
    """Returns the schema of a class: an operation, a part of one, or a part of a result.

    Args:
        cls: The class.
        without: Fields that are given elsewhere, for example in the path.
        op: Whether the operation's name stands in it, as in a batch.
    """
    if dataclasses.is_dataclass(cls):
        fields = [(field.name, str(field.type), field.default) for field in dataclasses.fields(cls)]
        required = [name for name, _, default in fields if default is dataclasses.MISSING]
    else:
        said = cls.__annotations__  # strings that a named tuple wraps, or not, by Python's version
        fields = [
            (name, getattr(said[name], "__forward_arg__", said[name]), None) for name in cls._fields
        ]
        required = list(cls._fields)
    summary, said = _document(cls)
    properties: Schema = {}
    if op:
        properties["op"] = {"const": OPERATION_NAMES[cls]}
        required = ["op", *required]
    for name, annotation, default in fields:
        if name in without:
            continue
        schema = dict(_field(cls, name, annotation))
        if name in said:
            schema["description"] = said[name]
        if isinstance(default, (str, int, float)):
            schema["default"] = default
        properties[name] = schema
    described: Schema = {
        "type": "object",
        "description": summary,
        "properties": properties,
        "required": [name for name in required if name not in without],
        "additionalProperties": False,
    }
    if {name: annotation for name, annotation, _ in fields}.get("value") == "Value":
        properties["value"] = {"description": "Any JSON value."}
        properties["bytes"] = {**_BASE64, "description": "Instead: bytes."}
        described["required"].remove("value")
        described["oneOf"] = [{"required": ["value"]}, {"required": ["bytes"]}]
    return described


def result_of(schema: Schema) -> Schema:
    """Returns the schema of an object with something that is none, as ``result``."""
    return {"type": "object", "properties": {"result": schema}, "required": ["result"]}


RESULTS: Mapping[type[ops.Operation], Schema] = {
    ops.PutKey: COUNT,
    ops.GetKeys: list_of(_or_null(ref(ops.KeyEntry))),
    ops.ListKeys: ref(ops.KeyPage),
    ops.ScanKeys: ref(ops.EntryPage),
    ops.CountKeys: COUNT,
    ops.DeleteKey: _BOOL,
    ops.ClearKeys: COUNT,
    ops.IncrementKey: _INT,
    ops.CheckKey: {"type": "null"},
    ops.ExtendHistory: list_of(COUNT),
    ops.ReplaceHistory: list_of(COUNT),
    ops.ReadHistory: ref(ops.ItemPage),
    ops.StatHistory: ref(ops.HistoryStat),
    ops.DeleteItems: COUNT,
    ops.PopItem: _or_null(ref(ops.HistoryItem)),
    ops.ArchiveHistory: COUNT,
    ops.ClearHistory: COUNT,
    ops.ListHistories: ref(ops.HistoryPage),
    ops.ReadChanges: ref(ops.ChangePage),
    ops.ReadUsage: ref(Usage),
    records.PutRecords: list_of(COUNT),
    records.PatchRecords: COUNT,
    records.GetRecords: list_of(_or_null(ref(records.RecordEntry))),
    records.DeleteRecords: COUNT,
    records.ListRecords: ref(records.RecordPage),
    records.SearchRecords: list_of(ref(records.RecordMatch)),
    records.StatRecords: ref(records.RecordStat),
    records.ListScopes: list_of(NAME),
    records.ListTags: list_of(ref(records.TagCount)),
    records.ListCollections: ref(records.CollectionPage),
    store.ListNamespaces: ref(store.NamespacePage),
    store.ForgetNamespace: list_of(ref(store.RowCount)),
    store.StatStore: ref(store.StoreStat),
    store.CheckStore: list_of(TEXT),
    store.CompactStore: ref(store.Compaction),
    store.StatNamespace: ref(store.NamespaceStat),
    store.CheckNamespace: list_of(TEXT),
    store.CheckRecords: ref(store.RecordCheck),
    exact.DumpHistories: ref(exact.HistoryStates),
    exact.DumpCollections: ref(exact.CollectionStates),
    exact.DumpRecords: ref(records.RecordPage),
    exact.RestoreNamespace: {"type": "null"},
    exact.RestoreKeys: ref(exact.Restored),
    exact.RestoreHistory: ref(exact.Restored),
    exact.RestoreRecords: ref(exact.Restored),
}
"""What each operation answers in a batch."""


def answer_of(operation: type[ops.Operation]) -> Schema:
    """Returns the schema of what a route that stands for one operation answers."""
    schema = RESULTS.get(operation, {})
    return schema if "$ref" in schema else result_of(schema)


def components() -> dict[str, Schema]:
    """Returns the schemas that others refer to, by name."""
    operations = {f"Do{cls.__name__}": schema_of(cls, op=True) for cls in OPERATION_NAMES}
    return {
        **{cls.__name__: schema_of(cls) for cls in _PARTS},
        **operations,
        "Batch": {
            "type": "object",
            "description": "Operations on one namespace, applied in order, all or none.",
            "properties": {
                "namespace": NAMESPACE,
                "operations": list_of({"oneOf": [{"$ref": REF + name} for name in operations]}),
            },
            "required": ["namespace", "operations"],
            "additionalProperties": False,
        },
        "Results": {
            "type": "object",
            "description": "What each operation of a batch answers, in their order.",
            "properties": {"results": list_of({})},
            "required": ["results"],
        },
    }
