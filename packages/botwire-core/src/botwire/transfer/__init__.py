"""Moves memory from one place to another exactly, and says whether two places hold the same.

Everything goes along: values, versions, sequence numbers, ids, times, what is archived, what
expires, embeddings. The functions take engines (`botwire.engines.opening.open_engine`), so any
two places will do, and memory use does not grow with what is moved. ``botwire export``, ``import``,
``copy``, ``check`` and ``forget`` are made of them.
"""

from botwire.transfer.admin import Receipt, backup, check, compact, forget, restore, stat
from botwire.transfer.copying import Difference, compare, copy
from botwire.transfer.exporting import export
from botwire.transfer.importing import load
from botwire.transfer.progress import Tally
from botwire.transfer.reading import list_namespaces, read_namespace

__all__ = [
    "Difference",
    "Receipt",
    "Tally",
    "backup",
    "check",
    "compact",
    "compare",
    "copy",
    "export",
    "forget",
    "list_namespaces",
    "load",
    "read_namespace",
    "restore",
    "stat",
]
