"""Moves memory exactly from one place to another, and compares two places.

A transfer preserves everything: values, versions, sequence numbers, ids, times, archived items,
expiry and embeddings. The functions take engines (`botwire.engines.opening.open_engine`), so they
work between any two places. Memory use does not grow with the amount of data. The commands
``botwire export``, ``import``, ``copy``, ``check`` and ``forget`` call them.
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
