"""Reads and writes the retention policies and holds of a store."""

from __future__ import annotations

from collections.abc import Iterable

from botwire import operations as ops
from botwire.engines.protocol import Engine
from botwire.errors import ConflictError
from botwire.names import SYSTEM_NAMESPACE
from botwire.retention import Policy, Retention
from botwire.transfer.pages import apply
from botwire.transfer.progress import Tally


def read_policies(engine: Engine) -> list[Policy]:
    """Returns the policies of a store, then its holds."""
    return list(apply(engine, SYSTEM_NAMESPACE, ops.ListPolicies()))


def write_policies(
    engine: Engine, policies: Iterable[Policy], tally: Tally, *, conflict: str
) -> None:
    """Sets policies and holds; call it after the data they cover is written.

    Args:
        engine: The store to write to.
        policies: The policies.
        tally: Counts the policies written and kept.
        conflict: What to do about different policies of the same name; see `operations.CONFLICTS`.

    Raises:
        ConflictError: The store has another policy of the same name on the same namespaces.
    """
    given = list(policies)
    if not given:
        return
    there = {(one.namespaces, one.name): one for one in read_policies(engine)}
    retention = Retention(engine=engine)
    for policy in given:
        old = there.get((policy.namespaces, policy.name))
        if old == policy:
            continue
        if old is not None and conflict != ops.OVERWRITE:
            if conflict == ops.REFUSE:
                raise ConflictError(
                    f"there is another policy {policy.name!r:.80} on the namespaces "
                    f"{policy.namespaces!r:.80}: pass conflict= (--on-conflict) to keep it or to "
                    "overwrite it"
                )
            tally.kept += 1
            continue
        if old is not None and old.hold != policy.hold:
            retention.remove(old.name, old.namespaces)
        retention.set(policy)
        tally.written += 1
