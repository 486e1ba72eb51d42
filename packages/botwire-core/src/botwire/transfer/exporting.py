"""Exports memory as lines of JSON; see `transfer.lines`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO

from botwire.engines.protocol import Engine
from botwire.transfer import lines
from botwire.transfer.policies import read_policies
from botwire.transfer.progress import Progress, Tally
from botwire.transfer.reading import list_namespaces, read_texts


def export(
    engine: Engine,
    file: IO[bytes],
    *,
    namespaces: Iterable[str] = (),
    progress: Progress | None = None,
) -> Tally:
    """Writes the contents of a store to a file, each namespace as of one moment.

    An export of all namespaces includes the store's retention policies and holds.

    Args:
        engine: The store.
        file: The file, in binary mode.
        namespaces: Patterns that select namespaces; see `list_namespaces`.
        progress: Called periodically.

    Returns:
        Counts of what was written.

    Raises:
        NotFoundError: A named namespace does not exist.
        ConflictError: A namespace is written to faster than it can be read.
    """
    tally = Tally()
    patterns = list(namespaces)
    file.write(lines.header().encode("ascii") + b"\n")
    for namespace in list_namespaces(engine, patterns):
        for kind, text in read_texts(engine, namespace, tally=tally, progress=progress):
            file.write(text)
            tally.count(kind, progress)
    for policy in () if patterns else read_policies(engine):
        file.write(lines.policy_text(policy))
        tally.count("policy")
    file.write(lines.end(tally).encode("ascii") + b"\n")
    if progress is not None:
        progress(tally)
    return tally
