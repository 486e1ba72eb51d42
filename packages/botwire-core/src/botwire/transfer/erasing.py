"""Erases a namespace in parts, without blocking writers of other namespaces for long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from botwire import operations as ops
from botwire.client import Memory
from botwire.engines.protocol import Engine
from botwire.names import SYSTEM_NAMESPACE
from botwire.transfer.pages import apply


def erase(engine: Engine, namespace: str) -> dict[str, int]:
    """Erases every row of a namespace and returns the number of rows of each kind.

    Raises:
        PermissionDeniedError: A hold protects data in the namespace; nothing was erased.
    """
    for hold in apply(engine, namespace, ops.FindHolds()):
        raise hold.refusal()
    erased = _empty(engine, namespace)
    forget = ops.ForgetNamespace(namespace, ops.PART)
    while True:
        counts: Sequence[ops.RowCount] = apply(engine, SYSTEM_NAMESPACE, forget)
        erased.update(dict(counts))
        if forget.is_over(counts):
            return dict(erased)


def _empty(engine: Engine, namespace: str) -> Counter[str]:
    """Deletes in parts any kind of row too numerous for one part; returns counts by kind."""
    has: ops.NamespaceStat = apply(engine, namespace, ops.StatNamespace())
    memory = Memory(namespace, engine=engine)
    if memory.past().keep is not None:
        memory.keep_past(None)  # or the rows deleted below would become part of the past
    emptied = Counter[str]()
    if has.keys > ops.PART:
        emptied["keys"] = memory.clear()
    if has.items > ops.PART:
        for history in memory.list_histories():
            emptied["items"] += memory.history(history.name).clear()
    if has.records > ops.RECORDS_PART:
        for collection in memory.list_collections():
            emptied["records"] += memory.records(collection).clear()
    return emptied
