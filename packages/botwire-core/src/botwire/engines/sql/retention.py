"""The operations on retention in SQL; see `operations.retention`."""

from __future__ import annotations

from typing import Any, NamedTuple

from botwire import operations as ops
from botwire import wire
from botwire.engines.sql import holds
from botwire.engines.sql.handlers import apply, handles
from botwire.engines.sql.steps import Context, Steps
from botwire.errors import ConflictError
from botwire.exact import Json
from botwire.names import from_bytes, matches, to_bytes
from botwire.operations.authors import from_stored


@handles(ops.SetPolicy)
def _set_policy(context: Context, op: ops.SetPolicy) -> Steps[None]:
    policy = op.policy
    other = holds.key_of(policy.name, policy.namespaces, hold=not policy.hold)
    (found,) = yield from apply(context, ops.GetKeys((other,)))
    if found is not None:
        is_a, would_be = ("policy", "hold") if policy.hold else ("hold", "policy")
        raise ConflictError(
            f"{policy.name!r:.80} on {policy.namespaces!r:.80} is a {is_a}: remove it first, or "
            f"give the {would_be} another name"
        )
    key = holds.key_of(policy.name, policy.namespaces, hold=policy.hold)
    text = wire.codec_of(ops.RetentionPolicy).encode(policy)
    yield from apply(context, ops.PutKey(key, Json.from_text(text)))
    event = "retention.hold" if policy.hold else "retention.set"
    _tell(context, event, policy=Json.from_text(text).value)


@handles(ops.DropPolicy)
def _drop_policy(context: Context, op: ops.DropPolicy) -> Steps[bool]:
    dropped = False
    for hold, event in ((False, "retention.remove"), (True, "retention.release")):
        key = holds.key_of(op.name, op.namespaces, hold=hold)
        if (yield from apply(context, ops.DeleteKey(key))):
            _tell(context, event, policy={"name": op.name, "namespaces": op.namespaces})
            dropped = True
    return dropped


@handles(ops.ListPolicies)
def _list_policies(
    context: Context, op: ops.ListPolicies
) -> Steps[tuple[ops.RetentionPolicy, ...]]:
    found = yield from holds.read_policies(hold=False)
    found += yield from holds.read_policies(hold=True)
    within = [policy for policy in found if matches(op.within, policy.namespaces)]
    return tuple(
        sorted(within, key=lambda one: (one.hold, to_bytes(one.namespaces), to_bytes(one.name)))
    )


def _tell(context: Context, event: str, **fields: Any) -> None:
    """Adds an entry to the audit log, which the batch writes when it ends."""
    who = None if context.author is None else from_stored(context.author).key
    context.audit.append(Json.of({"event": event, "who": who, **fields}))


class Cutoffs(NamedTuple):
    """What to delete: everything created before a time, or the first items or bytes."""

    before: int
    items: int
    bytes: int


def tell_trimmed(
    context: Context, policy: str, shape: str, name: str, count: int, size: int
) -> None:
    """Adds what a policy deleted to the audit log."""
    _tell(
        context,
        "retention.apply",
        policy=policy,
        namespace=from_bytes(context.namespace),
        shape=shape,
        name=name,
        count=count,
        bytes=size,
    )
