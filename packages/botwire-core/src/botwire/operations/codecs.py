"""The JSON forms of the types that a field may have: how each is written, read and described."""

from __future__ import annotations

import base64
import binascii
import json
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from botwire.clock import from_iso, to_iso
from botwire.errors import ConfigurationError, NotJSONError, TooComplexError
from botwire.exact import Json, encode_decoded
from botwire.vectors import Vector

Schema = dict[str, Any]
"""A JSON Schema."""

REF = "#/components/schemas/"
"""Where OpenAPI keeps the schemas that others refer to."""

quote: Callable[[str], str] = json.encoder.encode_basestring_ascii
"""Returns a string as JSON."""


class MismatchError(Exception):
    """Part of a document is invalid; the message says where it is and what it must be.

    Attributes:
        too_complex: Whether the part is well formed but too much for a server.
    """

    def __init__(self, message: str, *, too_complex: bool = False) -> None:
        super().__init__(message)
        self.too_complex = too_complex


class Codec(NamedTuple):
    """The JSON form of a part of an operation or a result.

    Attributes:
        encode: Returns the JSON text of a part.
        decode: Returns the part for a decoded document. Given the part's position
            (``operations[0].key``), it trusts nothing and refuses unknown fields and inexact JSON.
            Given None, it trusts the document, which is then a server's answer. Raises
            `MismatchError`.
        schema: The JSON Schema of a part.
    """

    encode: Callable[[Any], str]
    decode: Callable[[Any, str | None], Any]
    schema: Schema


def mismatch(expected: str, where: str | None) -> MismatchError:
    """Returns the error for a part that is not what is expected at a position."""
    return MismatchError(expected if where is None else f"{where} must be {expected}")


def refused(error: ConfigurationError, where: str | None) -> MismatchError:
    """Returns the error for a part that its check refused."""
    message = str(error) if where is None else f"{where}: {error}"
    return MismatchError(message, too_complex=isinstance(error, TooComplexError))


def _text(part: object, where: str | None) -> str:
    if not isinstance(part, str):
        raise mismatch("a string", where)
    return part


def _int(part: object, where: str | None) -> int:
    if isinstance(part, bool) or not isinstance(part, int):
        raise mismatch("an integer", where)
    return part


def _number(part: object, where: str | None) -> float:
    if isinstance(part, bool) or not isinstance(part, (int, float)):
        raise mismatch("a number", where)
    try:
        finite = math.isfinite(part)
    except OverflowError:  # an int beyond every float
        finite = False
    if not finite:
        raise mismatch("a number that a float can hold", where)
    return part


def _bool(part: object, where: str | None) -> bool:
    if not isinstance(part, bool):
        raise mismatch("true or false", where)
    return part


def _json(part: object, where: str | None) -> Json:
    if isinstance(part, Json):
        return part
    if where is None:
        return Json.from_decoded(part)
    try:
        # Refuses what a lenient decoder accepts, such as NaN.
        return Json.from_text(encode_decoded(part, where))
    except NotJSONError as error:
        raise MismatchError(str(error)) from None


def from_base64(part: object, where: str | None) -> bytes:
    """Returns the bytes that base64 stands for."""
    try:
        return base64.b64decode(_text(part, where), validate=True)
    except (binascii.Error, ValueError):
        raise mismatch("base64", where) from None


def to_base64(raw: bytes) -> str:
    """Returns bytes as a string of base64 in JSON."""
    return f'"{base64.b64encode(raw).decode("ascii")}"'


def _vector(part: object, where: str | None) -> Vector:
    try:
        # Clients send bytes; people write a list of numbers.
        if isinstance(part, list):
            return Vector.of([_number(number, where) for number in part])
        return Vector.from_bytes(from_base64(part, where))
    except ConfigurationError as error:
        raise refused(error, where) from None


def _time(part: Any, where: str | None) -> int:
    try:
        return from_iso(part)
    except (TypeError, ValueError):  # no string, or no time
        raise mismatch("a time in ISO 8601", where) from None


_BASE64: Schema = {"type": "string", "contentEncoding": "base64"}

TEXT = Codec(quote, _text, {"type": "string"})
INT = Codec(int.__repr__, _int, {"type": "integer"})
NUMBER = Codec(json.JSONEncoder(allow_nan=False).encode, _number, {"type": "number"})
BOOL = Codec(lambda value: "true" if value else "false", _bool, {"type": "boolean"})
JSON = Codec(operator.attrgetter("text"), _json, {})
BYTES = Codec(to_base64, from_base64, _BASE64)
TIME = Codec(lambda micros: f'"{to_iso(micros)}"', _time, {"type": "string", "format": "date-time"})
NOTHING = Codec(lambda _: "null", lambda _part, _where: None, {"type": "null"})
VECTOR = Codec(
    lambda vector: to_base64(vector.raw),
    _vector,
    {
        "description": "32-bit floats: little-endian in base64, or, in a request, a list of "
        "numbers.",
        "oneOf": [_BASE64, {"type": "array", "items": {"type": "number"}}],
    },
)
# JSON, or bytes, which an object holds under another name; see `object_of`.
VALUE = Codec(JSON.encode, JSON.decode, JSON.schema)


def list_of(codec: Codec) -> Codec:
    """Returns the codec of a tuple of any length, a list in JSON."""
    encode, decode = codec.encode, codec.decode

    def encode_list(values: Sequence[Any]) -> str:
        return "[" + ",".join([encode(value) for value in values]) + "]"

    def decode_list(part: object, where: str | None) -> tuple[Any, ...]:
        if not isinstance(part, list):
            raise mismatch("a list", where)
        if where is None:
            return tuple([decode(item, None) for item in part])
        return tuple([decode(item, f"{where}[{i}]") for i, item in enumerate(part)])

    return Codec(encode_list, decode_list, {"type": "array", "items": codec.schema})


def optional(codec: Codec) -> Codec:
    """Returns the codec for a part that may be None."""
    encode, decode, kind = codec.encode, codec.decode, codec.schema.get("type")
    return Codec(
        lambda value: "null" if value is None else encode(value),
        lambda part, where: None if part is None else decode(part, where),
        {**codec.schema, "type": [kind, "null"]}
        if isinstance(kind, str)
        else {"anyOf": [codec.schema, {"type": "null"}]},
    )
