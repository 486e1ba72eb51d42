"""The types that a graph's schema names, which what is stored may be revived as.

LangGraph computes them for its own strict mode, and tells a checkpointer only if that is on.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from typing import Any, cast
from weakref import WeakKeyDictionary

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

Names = Collection[tuple[str, ...]]
"""Of classes: module and name."""

_known: WeakKeyDictionary[Any, Names] = WeakKeyDictionary()


def graph_types(graph: Any) -> Names:
    """Returns the classes that the schemas and channels of a graph name."""
    found = _known.get(graph)
    if found is None:
        found = _known[graph] = _collect(graph)
    return found


def allow(saver: BaseCheckpointSaver[Any], names: Names) -> BaseCheckpointSaver[Any]:
    """Returns a saver that revives these classes too, if its serializer is strict."""
    serde = saver.serde
    inner = serde.serde if isinstance(serde, EncryptedSerializer) else serde
    return saver.with_allowlist(names) if isinstance(inner, JsonPlusSerializer) else saver


def _collect(graph: Any) -> Names:
    # Where a graph calls, LangGraph is there; this package does not need it otherwise.
    build = getattr(sys.modules.get("langgraph._internal._serde"), "build_serde_allowlist", None)
    if build is None:
        return ()
    builder = getattr(graph, "builder", None)
    schemas: list[Any] = [getattr(builder, f"{name}_schema", None) for name in _SCHEMAS]
    schemas += [node.input_schema for node in getattr(builder, "nodes", {}).values()]
    for branches in getattr(builder, "branches", {}).values():
        schemas += [getattr(branch, "input_schema", None) for branch in branches.values()]
    schemas.append(getattr(graph, "context_schema", None))
    return cast("Names", build(schemas=schemas, channels=graph.channels))


_SCHEMAS = ("state", "input", "output")
