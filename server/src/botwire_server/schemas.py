"""JSON Schemas of operations and results, for the OpenAPI description.

Types, bounds and defaults come from the declarations of operations, and descriptions from their
docstrings. So the description cannot differ from what the server accepts.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Collection, Mapping
from typing import Any

from botwire import operations as ops
from botwire.names import MAX_AUTHOR_BYTES
from botwire.operations.annotations import PARTS, field_of, members_of
from botwire.operations.codecs import BYTES, REF, VALUE, Schema

TEXT: Schema = {"type": "string"}
NAME = field_of(ops.Key).codec.schema
ID = field_of(ops.Id).codec.schema
PREFIX = field_of(ops.Prefix).codec.schema
SCOPE = field_of(ops.Scope).codec.schema
TIME = field_of(ops.Time).codec.schema
NAMESPACE = field_of(ops.Namespace).codec.schema


def ref(cls: type) -> Schema:
    """Returns a reference to the schema of a class."""
    return {"$ref": REF + cls.__name__}


def list_of(schema: Schema) -> Schema:
    """Returns the schema of a list."""
    return {"type": "array", "items": schema}


def _document(cls: type) -> tuple[str, Mapping[str, str]]:
    """Returns the first paragraph of a docstring, and the description of each attribute."""
    text = inspect.cleandoc(cls.__doc__ or "")
    listed = text.partition("Attributes:\n")[2]
    found = re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", listed, re.MULTILINE)
    return _in_json(text.partition("\n\n")[0]), {name: _in_json(said) for name, said in found}


def _in_json(text: str) -> str:
    """Returns the text of a docstring on one line and in terms of JSON."""
    text = re.sub(r"\s+", " ", text).strip().replace("`", "")
    for python, name in (("None", "null"), ("True", "true"), ("False", "false")):
        text = re.sub(rf"\b{python}\b", name, text)
    return text


def schema_of(cls: Any, *, without: Collection[str] = (), op: bool = False) -> Schema:
    """Returns the schema of a class: an operation, a part of one, or a part of a result.

    Args:
        cls: The class.
        without: Fields that are passed elsewhere, such as in the path.
        op: Whether the object contains the operation's name, as in a batch.
    """
    summary, said = _document(cls)
    properties: Schema = {"op": {"const": ops.BY_CLASS[cls].name}} if op else {}
    required = ["op"] if op else []
    described: Schema = {
        "type": "object",
        "description": summary,
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
    if op:  # for generators of clients
        described["x-result"] = ops.BY_CLASS[cls].result.schema
        described["x-writes"] = cls.writes
    for name, field, default in members_of(cls):
        if name in without:
            continue
        if field.codec is VALUE:
            properties[name] = {"description": "Any JSON value."}
            properties["bytes"] = {**BYTES.schema, "description": "Bytes, instead of a value."}
            described["oneOf"] = [{"required": [name]}, {"required": ["bytes"]}]
            continue
        properties[name] = dict(field.codec.schema)
        if name in said:
            properties[name]["description"] = said[name]
        if isinstance(default, (str, int, float)):
            properties[name]["default"] = default
        if default is dataclasses.MISSING:
            required.append(name)
    return described


def result_of(schema: Schema) -> Schema:
    """Returns the schema of an object whose ``result`` has the given schema."""
    return {"type": "object", "properties": {"result": schema}, "required": ["result"]}


def answer_of(operation: type[ops.AnyOperation]) -> Schema:
    """Returns the schema of the answer of a route for one operation."""
    schema = ops.BY_CLASS[operation].result.schema
    return schema if "$ref" in schema else result_of(schema)


def components() -> dict[str, Schema]:
    """Returns the schemas that references name, by name."""
    operations = {f"Do{cls.__name__}": schema_of(cls, op=True) for cls in ops.BY_CLASS}
    return {
        **{name: schema_of(cls) for name, cls in PARTS.items()},
        **operations,
        "Batch": {
            "type": "object",
            "description": "Operations on one namespace, applied in order as one transaction.",
            "properties": {
                "namespace": NAMESPACE,
                "author": {
                    "description": "Who writes, according to the client.",
                    "oneOf": [
                        field_of(ops.Key).codec.schema
                        | {"maxLength": MAX_AUTHOR_BYTES, "description": "The name of an agent."},
                        schema_of(ops.Author, without=("key",)),
                        {"type": "null"},
                    ],
                },
                "at": {
                    "description": "Read as of this revision or time, if the past is kept.",
                    "oneOf": [schema_of(ops.Moment), {"type": "null"}],
                },
                "operations": list_of({"oneOf": [{"$ref": REF + name} for name in operations]}),
            },
            "required": ["namespace", "operations"],
            "additionalProperties": False,
        },
        "Results": {
            "type": "object",
            "description": "The result of each operation of a batch, in order.",
            "properties": {"results": list_of({})},
            "required": ["results"],
        },
    }
