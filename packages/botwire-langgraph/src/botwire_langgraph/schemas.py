"""Finds the classes that a graph names, which stored data may be revived as.

LangGraph's strict mode allows the classes in the graph's schemas. This module adds their
subclasses, the classes in the annotations of its nodes and tasks, and the response format of an
agent: no schema names the class of `structured_response`, only the variables of the node that makes
it do.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
import threading
from collections.abc import Collection, Iterator
from enum import Enum
from types import CodeType, FunctionType, MethodType
from typing import Any, Protocol, get_args, get_origin, get_type_hints
from weakref import WeakKeyDictionary

from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

Names = Collection[tuple[str, ...]]
"""Classes, each as module and name."""

_SAFE = "langchain_core.messages."  # LangGraph always allows these
_LIBRARIES = {*sys.stdlib_module_names, "langchain", "langchain_core", "langgraph", "pydantic"}
_known: WeakKeyDictionary[Any, Names] = WeakKeyDictionary()
_allowing = threading.Lock()


class HasSerializer(Protocol):
    """A saver or a cache.

    Attributes:
        serde: Its serializer.
    """

    serde: SerializerProtocol


def graph_types(graph: Any) -> Names:
    """Returns the classes that the schemas, channels, nodes and tasks of a graph name.

    The loop of a run has the channels and nodes of its graph, and will do as well.
    """
    found = _known.get(graph)
    if found is None:
        found = _known[graph] = _collect(graph)
    return found


def allow(owner: HasSerializer, graph: Any) -> None:
    """Lets the serializer of a saver or a cache revive the classes that a graph names.

    A serializer that is not LangGraph's stays as it is.

    Args:
        owner: The saver or the cache.
        graph: The graph; None names no classes.
    """
    if graph is None:
        return
    names = graph_types(graph)
    with _allowing:  # another OS thread may be adding the names of another graph
        serde = owner.serde
        if isinstance(serde, JsonPlusSerializer):
            owner.serde = serde.with_msgpack_allowlist(names)
        elif isinstance(serde, EncryptedSerializer) and isinstance(serde.serde, JsonPlusSerializer):
            inner = serde.serde.with_msgpack_allowlist(names)
            if inner is not serde.serde:
                owner.serde = EncryptedSerializer(serde.cipher, inner)


def _collect(graph: Any) -> Names:
    types = _Types()
    builder = getattr(graph, "builder", None)
    for name in ("state_schema", "input_schema", "output_schema"):
        types.add(getattr(builder, name, None))
    for node in getattr(builder, "nodes", {}).values():
        types.add(getattr(node, "input_schema", None))
    for branches in getattr(builder, "branches", {}).values():
        for branch in branches.values():
            types.add(getattr(branch, "input_schema", None))
    for channel in graph.channels.values():
        for name in ("ValueType", "UpdateType"):
            types.add(getattr(channel, name, None))
    for node in graph.nodes.values():
        types.add_code(getattr(node, "bound", None))
    # The parent of a subgraph also stores the values of its interrupts.
    subgraphs = graph.get_subgraphs() if hasattr(graph, "get_subgraphs") else ()
    inner = [graph_types(sub) for _, sub in subgraphs if hasattr(sub, "channels")]
    return types.names.union(*inner)


class _Types:
    """Collects data classes from annotations and code.

    Attributes:
        names: The classes found.
    """

    def __init__(self) -> None:
        self.names: set[tuple[str, ...]] = set()
        self._seen: dict[int, Any] = {}  # keeps the objects alive, so that no id is reused

    def add(self, hint: Any) -> None:
        """Adds the classes that an annotation names, and those that their fields name."""
        if self._is_known(hint):
            return
        found = hint
        if not isinstance(hint, type) or get_args(hint):
            for part in get_args(hint):
                self.add(part)
            # The targets of an alias, a NewType and a TypeVar.
            for name in ("__value__", "__supertype__", "__bound__"):
                self.add(getattr(hint, name, None))
            found = get_origin(hint)
        if not isinstance(found, type) or found.__module__.startswith(_SAFE):
            return
        for subclass in _subclasses(found):
            self.add(subclass)
        if _holds_data(found):
            self.names.add((found.__module__, found.__name__))
        elif not hasattr(found, "__required_keys__"):  # a TypedDict of any library
            return
        for field in _hints(found):
            self.add(field)

    def add_code(self, code: Any) -> None:
        """Adds the classes in function annotations, response formats and tasks that code uses."""
        if self._is_known(code):
            return
        if not isinstance(code, FunctionType):
            for part in _parts(code):
                self.add_code(part)
            return
        if not str(code.__module__).startswith(("langchain.", "langgraph.")):
            for hint in _hints(code):
                self.add(hint)
        for cell in code.__closure__ or ():
            try:
                self._add_variable(cell.cell_contents)
            except ValueError:  # the closure variable is not set yet
                continue
        for name in _names(code.__code__):
            found: Any = code.__globals__.get(name)
            if _is_task(found):
                self.add_code(found.func)

    def _add_variable(self, value: Any) -> None:
        if type(value).__module__ == "langchain.agents.structured_output":
            self.add(getattr(value, "schema", None))
        elif isinstance(value, (type, tuple)) or get_origin(value):
            for part in value if isinstance(value, tuple) else (value,):
                self.add(part)
        elif _is_task(value) or isinstance(value, FunctionType):
            self.add_code(value)

    def _is_known(self, one: Any) -> bool:
        if one is None or id(one) in self._seen:
            return True
        self._seen[id(one)] = one
        return False


def _subclasses(cls: type) -> list[type]:
    """Returns the subclasses of a class, because an annotation may name the base of many.

    Subclasses of a library's class, such as `BaseModel`, are the whole program's.
    """
    library = cls.__module__.partition(".")[0]
    return [] if library in _LIBRARIES else type.__subclasses__(cls)


def _holds_data(cls: type) -> bool:
    if dataclasses.is_dataclass(cls) or issubclass(cls, (Enum, *_pydantic())):
        return True
    return issubclass(cls, tuple) and hasattr(cls, "_fields")


def _pydantic() -> Iterator[type]:
    """Yields the base classes of pydantic that the program has imported."""
    for module in ("pydantic", "pydantic.v1"):
        if module in sys.modules:
            for name in ("BaseModel", "SecretStr", "SecretBytes"):
                yield getattr(sys.modules[module], name)


def _hints(owner: Any) -> Collection[Any]:
    """Returns the annotations of a class or a function, except unresolvable ones."""
    local = dict(vars(owner)) if isinstance(owner, type) else None
    try:
        return get_type_hints(owner, localns=local, include_extras=True).values()
    except Exception:  # noqa: BLE001 - it is code of the user's that is evaluated
        if hasattr(owner, "model_fields"):
            return [field.annotation for field in owner.model_fields.values()]
    found: list[Any] = []
    for cls in inspect.getmro(owner) if isinstance(owner, type) else (owner,):
        for name, hint in inspect.get_annotations(cls).items():
            alone = type("_", (), {"__annotations__": {name: hint}, "__module__": cls.__module__})
            try:
                found += get_type_hints(alone, localns=local, include_extras=True).values()
            except Exception:  # noqa: BLE001, S112 - likewise; the others still count
                continue
    return found


def _parts(code: Any) -> list[Any]:
    """Returns the parts that a callable consists of."""
    if isinstance(code, MethodType):
        return [code.__func__]
    if isinstance(code, functools.partial) or _is_task(code):
        return [code.func]
    if type(code).__module__.startswith(("langchain_core.runnables", "langgraph._internal")):
        named = [getattr(code, name, None) for name in ("func", "afunc", "bound")]
        return [*named, *getattr(code, "steps", ())]
    # An instance of a user's class.
    return [vars(type(code)).get("__call__")]


def _names(code: CodeType) -> Iterator[str]:
    """Yields the names that code uses, including those in nested functions and comprehensions."""
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _names(inner)


def _is_task(value: Any) -> bool:
    return type(value).__module__ == "langgraph.func" and hasattr(value, "func")
