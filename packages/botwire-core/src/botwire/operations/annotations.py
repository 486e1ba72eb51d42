"""The JSON form of an annotated field: how it is written, read, checked and described.

`field_of` derives all four from the annotation alone, so an operation is declared once: in its
class. A `Rule` in an ``Annotated`` adds what the type cannot say: a bound, a pattern, another form;
see `botwire.operations.fields`.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from botwire import names
from botwire.errors import ConfigurationError
from botwire.exact import Json
from botwire.operations.codecs import (
    BOOL,
    INT,
    JSON,
    NOTHING,
    NUMBER,
    REF,
    TEXT,
    VALUE,
    VECTOR,
    Codec,
    MismatchError,
    from_base64,
    list_of,
    mismatch,
    optional,
    refused,
    to_base64,
)
from botwire.vectors import Vector

Check = Callable[[Any, str], object]
"""Takes a value and the field's name; raises `ConfigurationError` unless the value is valid."""


@dataclasses.dataclass(frozen=True, eq=False)  # one in an annotation must be hashable
class Rule:
    """What the type of a field cannot say.

    Attributes:
        check: Raises `ConfigurationError` unless the value is valid.
        schema: Added to the schema of the type.
        codec: Replaces the codec of the type.
    """

    check: Check | None = None
    schema: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    codec: Codec | None = None


class Field(NamedTuple):
    """All that an annotation says.

    Attributes:
        codec: How the value looks in JSON.
        check: Raises `ConfigurationError` unless a value is valid; None accepts every value.
        optional: Whether None is valid too; `check` is not called for it.
    """

    codec: Codec
    check: Check | None = None
    optional: bool = False


class Member(NamedTuple):
    """A field of a class that is an object in JSON; `default` is MISSING if it is required."""

    name: str
    field: Field
    default: Any


@functools.cache
def members_of(cls: Any) -> tuple[Member, ...]:
    """Returns the fields of a dataclass or a named tuple, in their order."""
    annotations = typing.get_type_hints(cls, include_extras=True)
    if dataclasses.is_dataclass(cls):
        defaults = {field.name: field.default for field in dataclasses.fields(cls)}
    else:
        required = dict.fromkeys(cls._fields, dataclasses.MISSING)
        defaults = {**required, **cls._field_defaults}
    return tuple(
        Member(name, field_of(annotations[name]), default) for name, default in defaults.items()
    )


def _checks_of(cls: Any) -> tuple[tuple[str, Check, bool], ...]:
    """Returns, for each field with a check, its name, the check, and whether None is valid."""
    return tuple(
        (name, field.check, field.optional)
        for name, field, _ in members_of(cls)
        if field.check is not None
    )


class Checked:
    """A dataclass that checks its fields by their annotations when it is created."""

    __slots__ = ()

    _checks: ClassVar[tuple[tuple[str, Check, bool], ...] | None] = None

    def __post_init__(self) -> None:
        checks = self._checks
        if checks is None:
            checks = type(self)._checks = _checks_of(type(self))
        for name, check, may_be_none in checks:
            value = getattr(self, name)
            if not (may_be_none and value is None):
                check(value, name)
        self.check()

    def check(self) -> None:
        """Raises `ConfigurationError` if the fields contradict each other."""


PARTS: dict[str, Any] = {}
"""Every class that occurs in an operation or a result, by name."""


def object_of(cls: Any) -> Codec:
    """Returns the codec of a dataclass or a named tuple, an object in JSON.

    A field with its default value is not written. A field for JSON or bytes (`VALUE`) is written
    under its own name if it holds JSON, and under ``bytes`` if it holds bytes.
    """
    PARTS[cls.__name__] = cls
    return Codec(encoder_of(cls), decoder_of(cls), {"$ref": REF + cls.__name__})


def encoder_of(cls: Any, first: str = "") -> Callable[[Any], str]:
    """Returns the function that writes objects of a class as JSON.

    Args:
        cls: A dataclass or a named tuple.
        first: JSON to write before the first field.
    """
    members = [
        (name, *_written(name, field.codec), default) for name, field, default in members_of(cls)
    ]

    def encode(value: Any) -> str:
        parts = [
            start + encode_member(member)
            for name, start, encode_member, default in members
            if (member := getattr(value, name)) is not default
        ]
        if first:
            parts.insert(0, first)
        return "{" + ",".join(parts) + "}"

    return encode


def _written(name: str, codec: Codec) -> tuple[str, Callable[[Any], str]]:
    """Returns what precedes a member, and the function that writes the rest of it."""
    start = f'"{name}":'
    if codec is not VALUE:
        return start, codec.encode
    return (
        "",
        lambda value: (
            f'"bytes":{to_base64(value)}' if isinstance(value, bytes) else start + value.text
        ),
    )


def decoder_of(cls: Any) -> Callable[[Any, str | None], Any]:
    """Returns the function that reads objects of a class; see `Codec.decode`."""
    missing = dataclasses.MISSING
    members = [
        (name, field.codec.decode, default is missing, field.codec is VALUE)
        for name, field, default in members_of(cls)
    ]
    known = {name for name, *_ in members}
    known_sent = known | {"bytes"} if any(is_value for *_, is_value in members) else known

    trusted = [(name, field.codec.decode, default) for name, field, default in members_of(cls)]

    def decode(part: object, where: str | None) -> Any:
        if not isinstance(part, dict):
            raise mismatch("an object", where)
        if where is None and "bytes" not in part:
            # A page may hold a thousand of these.
            try:
                return cls(
                    *[
                        decode_member(part[name], None)
                        if default is missing or name in part
                        else default
                        for name, decode_member, default in trusted
                    ]
                )
            except KeyError as absent:
                raise MismatchError(f"an object with {absent}") from None
        if where is not None and not part.keys() <= known_sent:
            # The first: an object may have a million fields.
            unknown = names.shown(next(name for name in part if name not in known_sent), 60)
            takes = ", ".join(name for name, *_ in members)
            raise MismatchError(f"{where} has the unknown field {unknown}; it takes: {takes}")
        arguments = {}
        for name, decode_member, required, is_value in members:
            if is_value and name in part and "bytes" in part:
                raise MismatchError(f"{where or 'the object'} has both {name} and bytes")
            if name in part:
                inner = None if where is None else f"{where}.{name}"
                arguments[name] = decode_member(part[name], inner)
            elif is_value and "bytes" in part:
                arguments[name] = from_base64(part["bytes"], where and f"{where}.bytes")
            elif required:
                raise MismatchError(
                    f"an object with {name!r}"
                    if where is None
                    else f"{where} lacks the field {name!r}"
                )
        try:
            return cls(**arguments)
        except ConfigurationError as error:
            raise refused(error, where) from None

    return decode


_SCALARS: Mapping[Any, Codec] = {
    str: TEXT,
    int: INT,
    float: NUMBER,
    bool: BOOL,
    Json: JSON,
    Vector: VECTOR,
    types.NoneType: NOTHING,
}


def field_of(annotation: Any) -> Field:
    """Returns the field for an annotation, for example ``Time | None`` or ``tuple[Json, ...]``.

    Raises:
        TypeError: It has no form in JSON; the message lists what does.
    """
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation in _SCALARS:
        return Field(_SCALARS[annotation])
    if origin is typing.Annotated:
        return _ruled(field_of(arguments[0]) if _is_derived(arguments) else None, arguments[1:])
    if origin in (typing.Union, types.UnionType) and types.NoneType in arguments:
        (inner,) = (part for part in arguments if part is not types.NoneType)
        field = field_of(inner)
        return Field(optional(field.codec), field.check, optional=True)
    if origin in (tuple, Sequence) and arguments[1:] in ((), (...,)):
        field = field_of(arguments[0])
        return Field(list_of(field.codec), field.check and _each(field))
    if dataclasses.is_dataclass(annotation) or hasattr(annotation, "_fields"):
        return Field(object_of(annotation))
    raise TypeError(
        f"{annotation!r} has no form in JSON: use str, int, float, bool, Json, Vector, a named "
        "tuple, a dataclass, tuple[…, ...], … | None, or an Annotated with a Rule that has a codec"
    )


def _is_derived(arguments: Sequence[Any]) -> bool:
    return not any(isinstance(rule, Rule) and rule.codec for rule in arguments[1:])


def _ruled(field: Field | None, rules: Sequence[Any]) -> Field:
    for rule in rules:
        if isinstance(rule, Rule):
            codec = rule.codec or (field and field.codec)
            assert codec
            codec = codec._replace(schema={**codec.schema, **rule.schema}) if rule.schema else codec
            field = Field(codec, rule.check or (field and field.check))
    assert field
    return field


def _each(field: Field) -> Check:
    check = field.check
    assert check

    def check_each(values: Sequence[Any], what: str) -> None:
        for value in values:
            if not (field.optional and value is None):
                check(value, what)

    return check_each
