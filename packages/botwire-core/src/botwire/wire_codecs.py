"""How a part of an operation or a result looks in JSON: what it is written as, how it is read.

What is read came from somewhere else, and nothing in it is trusted.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from botwire.clock import from_iso, to_iso
from botwire.exact import Json, encode
from botwire.vectors import Vector

quote: Callable[[str], str] = json.JSONEncoder(ensure_ascii=True, allow_nan=False).encode
"""Returns a string or a number as JSON."""


class MismatchError(Exception):
    """A part of a document is not what it should be; carries what it should be."""


class Codec(NamedTuple):
    """How a part looks in JSON.

    Attributes:
        encode: Returns the JSON text of a part.
        decode: Returns the part of what a JSON decoder made; raises `MismatchError` or
            `botwire.errors.ConfigurationError` if it is none.
    """

    encode: Callable[[Any], str]
    decode: Callable[[Any], Any]


def _text(part: object) -> str:
    if not isinstance(part, str):
        raise MismatchError("a string")
    return part


def _int(part: object) -> int:
    if isinstance(part, bool) or not isinstance(part, int):
        raise MismatchError("an integer")
    return part


def _number(part: object) -> float:
    if isinstance(part, bool) or not isinstance(part, (int, float)):
        raise MismatchError("a number")
    try:
        finite = math.isfinite(part)
    except OverflowError:  # an int beyond every float
        finite = False
    if not finite:
        raise MismatchError("a number that a float can hold")
    return part


def _bool(part: object) -> bool:
    if not isinstance(part, bool):
        raise MismatchError("true or false")
    return part


def _json(part: object) -> Json:
    return part if isinstance(part, Json) else Json.from_decoded(part)


def _json_exact(part: object) -> Json:
    """Refuses what a lenient decoder lets through, such as NaN; keeps the text of what is good."""
    return part if isinstance(part, Json) else Json.from_text(encode(part))


def _vector(part: object) -> Vector:
    # Clients send bytes; a list of numbers is what people write.
    if isinstance(part, list):
        return Vector.of([_number(number) for number in part])
    return Vector.from_bytes(decode_base64(part))


def decode_base64(part: object) -> bytes:
    """Returns the bytes that a string of base64 stands for."""
    try:
        return base64.b64decode(_text(part), validate=True)
    except (binascii.Error, ValueError):
        raise MismatchError("base64") from None


def _time(part: object) -> int:
    try:
        return from_iso(_text(part))
    except ValueError:
        raise MismatchError("a time in ISO 8601") from None


def list_of(codec: Codec) -> Codec:
    """Returns the codec of a tuple of any length, which is a list in JSON."""

    def encode_list(values: Sequence[Any]) -> str:
        return "[" + ",".join([codec.encode(value) for value in values]) + "]"

    def decode_list(part: object) -> tuple[Any, ...]:
        if not isinstance(part, list):
            raise MismatchError("a list")
        return tuple([codec.decode(item) for item in part])

    return Codec(encode_list, decode_list)


def optional(codec: Codec) -> Codec:
    """Returns the codec of what may be None."""
    return Codec(
        lambda value: "null" if value is None else codec.encode(value),
        lambda part: None if part is None else codec.decode(part),
    )


TEXT = Codec(quote, _text)
INT = Codec(int.__repr__, _int)
NUMBER = Codec(quote, _number)
BOOL = Codec(lambda value: "true" if value else "false", _bool)
JSON = Codec(lambda value: value.text, _json)
EXACT_JSON = Codec(lambda value: value.text, _json_exact)
VECTOR = Codec(lambda vector: f'"{base64.b64encode(vector.raw).decode("ascii")}"', _vector)
TIME = Codec(lambda micros: f'"{to_iso(micros)}"', _time)
NOTHING = Codec(lambda _: "null", lambda _: None)


def tuple_of(make: Callable[..., Any], **fields: Codec) -> Codec:
    """Returns the codec of a named tuple, in the order of its fields; `value` may be bytes."""
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
            raise MismatchError("an object")
        try:
            return make(
                *[
                    decode_base64(part["bytes"])
                    if name == "value" and "bytes" in part
                    else codec.decode(part[name])
                    for name, codec in fields.items()
                ]
            )
        except KeyError as missing:
            raise MismatchError(f"an object with {missing}") from None

    return Codec(encode_record, decode_record)


def dataclass_of(make: Any, **fields: Codec) -> Codec:
    """Returns the codec of a dataclass; what is left out has its default."""
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
            raise MismatchError(f"an object with some of: {', '.join(fields)}")
        for name, default in defaults.items():
            if default is dataclasses.MISSING and name not in part:
                raise MismatchError(f"an object with {name!r}")
        return make(**{name: fields[name].decode(inner) for name, inner in part.items()})

    return Codec(encode_input, decode_input)


def _strictly(codec: Codec, *fields: str) -> Codec:
    """A codec that knows no other fields; `value` may also be sent as bytes."""

    def decode_strictly(part: object) -> Any:
        if not isinstance(part, dict) or not part.keys() <= {*fields, "bytes"}:
            raise MismatchError(f"an object with: {', '.join(fields)}")
        return codec.decode(part)

    return Codec(codec.encode, decode_strictly)


def stored_tuple_of(make: Any, **fields: Codec) -> Codec:
    """Returns the codec of a named tuple that is part of an operation, not of a result.

    It has no other fields, and JSON in it is not taken on trust.
    """
    exact_fields = {name: EXACT_JSON if codec is JSON else codec for name, codec in fields.items()}
    return _strictly(tuple_of(make, **exact_fields), *fields)
