"""Conversion of workflow checkpoints to JSON and back, objects included, without pickle.

Agent Framework's storages pickle what JSON lacks and unpickle it on load, which can run any code
that a stored text names. Its list of allowed types makes that harder but, as its documentation
says, is no security boundary. Here an object is stored as the name of its class and the state that
pickle would take (``__getstate__``). Reading creates an empty object of an allowed class
(`botwire.classes`) and fills in its state. It calls no constructor, no ``__reduce__`` and no
function that a stored text names.
"""

from __future__ import annotations

import functools
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path, PosixPath, PurePosixPath, PureWindowsPath, WindowsPath
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin
from uuid import UUID
from zoneinfo import ZoneInfo

from agent_framework import (
    AgentResponse,
    AgentResponseUpdate,
    AgentSession,
    ChatResponse,
    ChatResponseUpdate,
    Content,
    Message,
    WorkflowCheckpoint,
    WorkflowEvent,
)
from pydantic import BaseModel

from botwire import NotJSONError
from botwire.classes import Classes, name_of
from botwire.tagged import from_json, to_json

PACKAGES = ("agent_framework", "agent_framework_orchestrations")
"""Packages whose dataclasses, models and enums are allowed, as in Agent Framework's storages."""

_VALUES = {
    *(AgentResponse, AgentResponseUpdate, AgentSession, ChatResponse, ChatResponseUpdate),
    *(Content, Message, WorkflowEvent),
}
"""Agent Framework's other classes that are values; its agents, tools and clients are not."""

_COLLECTIONS: dict[type, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    OrderedDict: (dict, OrderedDict),
    Counter: (dict, Counter),
    deque: (lambda value: [list(value), value.maxlen], lambda held: deque(*held)),
    bytearray: (bytes, lambda held: bytearray(memoryview(held))),
    complex: (lambda value: [value.real, value.imag], lambda held: complex(*held)),
    range: (lambda value: [value.start, value.stop, value.step], lambda held: range(*held)),
    slice: (lambda value: [value.start, value.stop, value.step], lambda held: slice(*held)),
    timezone: (lambda value: value.__reduce__()[1], lambda held: timezone(*held)),
    ZoneInfo: (str, ZoneInfo),
    Fraction: (str, Fraction),
    PosixPath: (str, Path),
    WindowsPath: (str, Path),
    PurePosixPath: (str, PurePosixPath),
    PureWindowsPath: (str, PureWindowsPath),
}
"""Python's own values that JSON lacks: functions that return their contents and rebuild them."""

_FORMS: dict[str, Any] = {
    "typing.Any": Any,
    "...": ...,
    **{
        name_of(cls): cls
        for cls in (
            *(NoneType, bool, int, float, complex, str, bytes, bytearray, object),
            *(list, dict, tuple, set, frozenset, deque, OrderedDict, defaultdict, Counter),
            *(datetime, date, time, timedelta, Decimal, UUID),
        )
    },
}
"""Built-in types and special forms; the response type of a request is often one of them."""


class Objects:
    """Writes and reads checkpoints.

    Args:
        types: The caller's own classes of objects that executors send, keep and request.

    Raises:
        ConfigurationError: One of `types` is not a class.
    """

    def __init__(self, types: Iterable[type] = ()) -> None:
        self._own = frozenset(types)
        self._classes = Classes(PACKAGES, self._own, kind=lambda _: True, kinds="classes")
        self._readers: dict[str, Callable[[Any], Any]] = {
            **{_tag(cls): read for cls, (_, read) in _COLLECTIONS.items()},
            "$defaultdict": self._read_defaultdict,
            "$enum": self._read_enum,
            "$namedtuple": self._read_namedtuple,
            "$number": lambda held: held,
            "$object": self._read_object,
            "$type": self._read_type,
            "$generic": lambda held: held[0][tuple(held[1])],
            "$literal": lambda held: Literal[tuple(held)],
            "$union": lambda held: Union[tuple(held)],  # noqa: UP007 - of any number of types
        }

    def __reduce__(self) -> tuple[type[Objects], tuple[frozenset[type]]]:
        """Returns what a pickle consists of."""
        return type(self), (self._own,)

    def to_data(self, checkpoint: WorkflowCheckpoint) -> dict[str, Any]:
        """Returns a checkpoint as a JSON object.

        Raises:
            NotJSONError: The checkpoint holds something that cannot be restored; the error says
                what and where.
        """
        data: dict[str, Any] = to_json(checkpoint.to_dict(), "checkpoint", write=self._write)
        return data

    def from_data(self, data: Any) -> WorkflowCheckpoint:
        """Returns the checkpoint that `to_data` was given.

        Raises:
            ValueError: The data holds an object of a class that is not allowed.
            Exception: A class refused a state; it may raise anything.
        """
        return WorkflowCheckpoint.from_dict(from_json(data, readers=self._readers))

    def _write(self, value: Any, path: str) -> tuple[str, Any]:
        cls = type(value)
        if cls in _COLLECTIONS:
            return _tag(cls), _COLLECTIONS[cls][0](value)
        if cls is defaultdict and self._is_factory(value.default_factory):
            return "$defaultdict", [value.default_factory, dict(value)]
        if isinstance(value, type) or value is Any or value is ... or get_origin(value) is not None:
            return self._write_type(value, path)
        if isinstance(value, Enum):
            return "$enum", {"class": self._name(cls, path), "value": value.value}
        if _is_namedtuple(cls):
            return "$namedtuple", {"class": self._name(cls, path), "values": list(value)}
        if _is_numpy_number(value):
            return "$number", value.item()
        if self._is_object(cls):
            return "$object", {"class": self._name(cls, path), "state": _state_of(value)}
        raise NotJSONError(f"{path} is of type {name_of(cls)}, {_advice(cls)}", path)

    def _write_type(self, value: Any, path: str) -> tuple[str, Any]:
        origin, arguments = get_origin(value), list(get_args(value))
        if origin is None:
            known = next((name for name, form in _FORMS.items() if form is value), None)
            return "$type", known or self._name(value, path)
        if origin in (Union, UnionType):
            return "$union", arguments
        if origin is Literal:
            return "$literal", arguments
        return "$generic", [origin, arguments]

    def _name(self, cls: type, path: str) -> str:
        """Returns the name of a class, after checking that reading finds the class by it."""
        try:
            self._classes.find(name_of(cls), lambda found: found is cls)
        except ValueError as error:
            raise NotJSONError(f"{path} is of type {name_of(cls)}, {_advice(cls)}", path) from error
        return name_of(cls)

    def _is_object(self, cls: type) -> bool:
        """Returns whether objects of a class are allowed and can be rebuilt from their state."""
        if not (cls in self._own or cls in _VALUES or is_dataclass(cls) or _is_model(cls)):
            return False
        return _is_its_state(cls)

    def _read_object(self, held: Any) -> Any:
        cls = self._classes.find(held["class"], self._is_object)
        new: Any = object.__new__(cls)
        state = held["state"]
        if hasattr(cls, "__setstate__") and not _is_made_by_dataclass(cls.__setstate__):
            if state is not None:
                new.__setstate__(state)
        else:
            _fill(new, *(state if isinstance(state, tuple) else (state, None)))
        _complete(new)
        return new

    def _read_enum(self, held: Any) -> Any:
        cls = self._classes.find(held["class"], lambda found: issubclass(found, Enum))
        return cls(held["value"])

    def _read_namedtuple(self, held: Any) -> Any:
        cls = self._classes.find(held["class"], _is_namedtuple)
        return tuple.__new__(cls, held["values"])

    def _read_type(self, held: Any) -> Any:
        return _FORMS[held] if held in _FORMS else self._classes.find(held, lambda _: True)

    def _read_defaultdict(self, held: Any) -> Any:
        factory, plain = held
        if not self._is_factory(factory):
            raise ValueError(f"a defaultdict does not make {factory!r}")
        return defaultdict(factory, plain)

    def _is_factory(self, factory: Any) -> bool:
        """Returns whether a function is allowed as a defaultdict's factory, which gets called."""
        known = isinstance(factory, type) and (factory in self._own or factory in _FORMS.values())
        return factory is None or known


def _tag(cls: type) -> str:
    return f"${cls.__name__.lower()}"


def _is_namedtuple(cls: type) -> bool:
    return issubclass(cls, tuple) and hasattr(cls, "_fields")


def _is_numpy_number(value: Any) -> bool:
    """Returns whether a value is a number that numpy computed, which Python's replaces."""
    cls = type(value)
    kind = getattr(getattr(value, "dtype", None), "kind", None)
    return cls.__module__ == "numpy" and cls.__name__ != "ndarray" and kind in tuple("biufc")


def _is_model(cls: type) -> bool:
    return issubclass(cls, BaseModel)


def _is_made_by_dataclass(method: Any) -> bool:
    return getattr(method, "__module__", None) == "dataclasses"


def _state_of(value: Any) -> Any:
    """Returns an object's state; for a frozen dataclass with slots, by the names of its fields.

    Such a dataclass's own state is a list, so a new field before others would shift stored values.
    """
    state = value.__getstate__()
    if not _is_made_by_dataclass(type(value).__getstate__):
        return state
    return None, {field.name: part for field, part in zip(fields(value), state, strict=True)}


def _fill(new: Any, attributes: Mapping[str, Any] | None, slots: Mapping[str, Any] | None) -> None:
    """Gives an object its state, as pickle does."""
    by_name = dict(slots or {})
    if hasattr(new, "__dict__"):
        vars(new).update(attributes or {})
    else:  # the class has gained slots since
        by_name |= attributes or {}
    for name, part in by_name.items():
        object.__setattr__(new, name, part)


@functools.lru_cache(maxsize=1024)
def _is_its_state(cls: type) -> bool:
    """Returns whether state alone rebuilds objects of a class, unlike lists, errors, functions."""
    layout = next(base for base in cls.__mro__ if base.__module__ == "builtins")
    named = {name for base in cls.__mro__ if base is not object for name in vars(base)}
    return layout is object and named.isdisjoint(("__reduce__", "__reduce_ex__"))


def _advice(cls: type) -> str:
    if cls.__module__ != "builtins" and (_is_its_state(cls) or issubclass(cls, (Enum, tuple))):
        return f"which is not known: give the storage types=[{cls.__name__}]"
    return "which is more than its state: keep what it is made from"


def _complete(new: Any) -> None:
    """Gives an object stored by an older version of its class the defaults of new fields.

    Otherwise a missing field would go unnoticed until it is read, in the middle of a run.
    """
    if is_dataclass(new):
        for field in fields(new):
            if not hasattr(new, field.name):
                if field.default_factory is not MISSING:
                    object.__setattr__(new, field.name, field.default_factory())
                elif field.default is not MISSING:
                    object.__setattr__(new, field.name, field.default)
    elif isinstance(new, BaseModel):
        for name, info in type(new).model_fields.items():
            if name not in vars(new) and not info.is_required():
                vars(new)[name] = info.get_default(
                    call_default_factory=True, validated_data=vars(new)
                )
