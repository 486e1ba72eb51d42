"""Copies memory from one place to another, and finds the differences between two places."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

from botwire import names
from botwire import operations as ops
from botwire.clock import now
from botwire.engines.protocol import Engine
from botwire.errors import ConflictError
from botwire.operations import OVERWRITE, REFUSE, HistoryItem, KeyEntry
from botwire.retention import Policy
from botwire.transfer.erasing import erase
from botwire.transfer.lines import Line, NamespaceState, encode
from botwire.transfer.pages import apply
from botwire.transfer.policies import read_policies, write_policies
from botwire.transfer.progress import Progress, Tally
from botwire.transfer.reading import list_namespaces, read_namespace
from botwire.transfer.restoring import Restorer

T = TypeVar("T")


def copy(
    source: Engine,
    target: Engine,
    *,
    namespaces: Iterable[str] = (),
    conflict: str = REFUSE,
    progress: Progress | None = None,
) -> Tally:
    """Copies namespaces from one store, which may be in use, to another.

    Each namespace is copied as of one moment. Copying again transfers only what was changed or
    deleted since. Other namespaces of the target stay as they are. A copy of all namespaces
    includes the retention policies and holds.

    Args:
        source: The store to read.
        target: The store to write to.
        namespaces: Patterns that select namespaces; see `list_namespaces`.
        conflict: What to do if others wrote to the target: ``refuse``, ``keep`` their data, or
            ``overwrite`` it. ``overwrite`` replaces the whole of a namespace that is not a copy,
            and erases its past.
        progress: Called periodically.

    Returns:
        Counts of what was read, written and left unchanged.

    Raises:
        ConflictError: See `conflict`. What was copied before the conflict stays.
        NotFoundError: A named namespace does not exist.
    """
    tally = Tally()
    patterns = list(namespaces)
    for namespace in list_namespaces(source, patterns):
        restorer = Restorer(target, tally, conflict=conflict, mirror=True)
        for line in read_namespace(source, namespace, tally=tally, progress=progress):
            if isinstance(line.entry, NamespaceState):
                _expect_copy(target, namespace, line.entry, conflict)
            tally.count(line.kind, progress)
            restorer.add(line)
        restorer.close()
    if not patterns:
        policies = read_policies(source)
        tally.policy += len(policies)
        write_policies(target, policies, tally, conflict=conflict)
    if progress is not None:
        progress(tally)
    return tally


def _expect_copy(target: Engine, namespace: str, state: NamespaceState, conflict: str) -> None:
    """Erases the target's namespace if it is not a copy and may be overwritten."""
    there: ops.NamespaceStat = apply(target, namespace, ops.StatNamespace())
    # A copy has the creation time of its source, to the microsecond. The revision does not tell
    # whether a namespace is empty: where one was forgotten, a new one does not begin at 0.
    if there.created_at in (None, state.created_at) or not there.bytes:
        return
    if conflict != OVERWRITE:
        raise ConflictError(
            f"namespace {namespace!r:.80} already exists in the target and is not a copy of this "
            "one: leave it out, or choose to overwrite it"
        )
    kept = apply(target, namespace, ops.StatPast()).keep
    erase(target, namespace)
    if kept is not None:
        apply(target, namespace, ops.KeepPast(kept))


ONLY_FIRST, ONLY_SECOND, DIFFERENT = "only in the first", "only in the second", "different"
"""What a `Difference` may say."""


class Difference(NamedTuple):
    """A difference between two stores.

    Attributes:
        namespace: The namespace.
        kind: ``namespace``, ``key``, ``history``, ``item``, ``collection``, ``record``, ``policy``
            or ``hold``. The last two belong to a pattern of namespaces.
        name: Its name or id; for an item, its sequence number.
        parent: The history of an item, or the collection of a record.
        what: ``only in the first``, ``only in the second`` or ``different``.
    """

    namespace: str
    kind: str
    name: str
    parent: str
    what: str

    def __str__(self) -> str:
        inside = f" of {self.parent!r}" if self.parent else ""
        return f"{self.namespace!r}: {self.kind} {self.name!r}{inside} is {self.what}"


def compare(
    first: Engine,
    second: Engine,
    *,
    namespaces: Iterable[str] = (),
    progress: Progress | None = None,
) -> Iterator[Difference]:
    """Yields every difference between two stores, except the revisions of namespaces.

    Values, versions, sequence numbers, ids, times and embeddings are compared, and without
    `namespaces` the retention policies and holds.

    Args:
        first: One store.
        second: The other store.
        namespaces: Patterns that select namespaces; see `list_namespaces`.
        progress: Called periodically.
    """
    wanted = list(namespaces)
    tally = Tally()
    listed = list_namespaces(first, wanted, missing_ok=True)
    others = list_namespaces(second, wanted, missing_ok=True)
    for here, there in _join(listed, others, names.to_bytes):
        name = here or there or ""
        mine = read_namespace(first, name, tally=tally, progress=progress) if here else iter(())
        theirs = read_namespace(second, name, tally=tally, progress=progress) if there else iter(())
        for one, other in _join(mine, theirs, lambda line: line.order):
            line = one or other
            assert line is not None  # `_join` never yields two Nones
            tally.count(line.kind, progress)
            if one is None or other is None:
                if not _is_over(line):
                    yield _difference(line, ONLY_FIRST if other is None else ONLY_SECOND)
            elif _differ(one, other):
                yield _difference(one, DIFFERENT)
    if not wanted:
        yield from compare_policies(first, second)


def compare_policies(first: Engine, second: Engine) -> Iterator[Difference]:
    """Yields every difference between the retention policies and holds of two stores."""

    def listed(engine: Engine) -> Iterator[Policy]:
        return iter(sorted(read_policies(engine), key=_order_of_policy))

    for one, other in _join(listed(first), listed(second), _order_of_policy):
        policy = one or other
        assert policy is not None  # `_join` never yields two Nones
        if one == other:
            continue
        what = ONLY_FIRST if other is None else ONLY_SECOND if one is None else DIFFERENT
        kind = "hold" if policy.hold else "policy"
        yield Difference(policy.namespaces, kind, policy.name, "", what)


def _order_of_policy(policy: Policy) -> tuple[bytes, bytes]:
    return names.to_bytes(policy.namespaces), names.to_bytes(policy.name)


def _join(
    first: Iterator[T], second: Iterator[T], order: Callable[[T], Any]
) -> Iterator[tuple[T | None, T | None]]:
    """Merges two sorted streams into pairs; one side is None where the other has no equal."""
    one, other = next(first, None), next(second, None)
    while one is not None or other is not None:
        if other is None or (one is not None and order(one) < order(other)):
            yield one, None
            one = next(first, None)
        elif one is None or order(other) < order(one):
            yield None, other
            other = next(second, None)
        else:
            yield one, other
            one, other = next(first, None), next(second, None)


def _differ(one: Line, other: Line) -> bool:
    if isinstance(one.entry, NamespaceState) and isinstance(other.entry, NamespaceState):
        return one.entry.created_at != other.entry.created_at
    return encode(one) != encode(other)


def _is_over(line: Line) -> bool:
    expires_at = line.entry.expires_at if isinstance(line.entry, KeyEntry) else None
    return expires_at is not None and expires_at <= now()


def _difference(line: Line, what: str) -> Difference:
    entry = line.entry
    if isinstance(entry, NamespaceState):
        name = line.namespace
    elif isinstance(entry, HistoryItem):
        name = str(entry.seq)
    else:
        name = entry[0]  # a key, a name or an id
    return Difference(line.namespace, line.kind, name, line.parent, what)
