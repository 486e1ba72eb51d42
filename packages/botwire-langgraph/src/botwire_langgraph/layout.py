"""Names the keys that hold a thread's checkpoints, channel values and pending writes.

Each part of a name is percent-encoded, so a slash is always a separator, and one thread's names
are never prefixes of another's. The hash of a part replaces a part that is too long.

    checkpoints/{thread}/{checkpoint_ns}/{checkpoint_id}
    blobs/{thread}/{checkpoint_ns}/{channel}/{version}
    parts/{thread}/{checkpoint_ns}/{channel}/{number}
    writes/{thread}/{checkpoint_ns}/{checkpoint_id}/{task_id}/{index}
    heads/{thread}/{checkpoint_ns}
    deleted/{thread}
    pruned/{thread}
    busy/{thread}

The versions of the keys under heads, deleted and pruned tell a run that the thread changed since
it began. The last key is the lease of the run that holds the thread.
"""

from __future__ import annotations

from botwire import operations as ops
from botwire.list_parts import part_key
from botwire.names import MAX_PART, encode_part, join_parts

CHECKPOINTS, BLOBS, PARTS, WRITES, HEADS = "checkpoints", "blobs", "parts", "writes", "heads"
KINDS = (CHECKPOINTS, BLOBS, PARTS, WRITES, HEADS)
"""The kinds of keys that make up a thread."""

_OFFSET = 8  # special writes have negative indexes; this offset makes all of them sort as text


def checkpoint(thread: str, namespace: str, checkpoint_id: str) -> str:
    """Returns the key of a checkpoint."""
    return join_parts(CHECKPOINTS, thread, namespace, checkpoint_id)


def checkpoints(thread: str | None, namespace: str | None) -> str:
    """Returns the prefix of checkpoint keys; None selects all threads or namespaces."""
    if thread is None:
        return f"{CHECKPOINTS}/"
    return join_parts(CHECKPOINTS, thread, *([] if namespace is None else [namespace])) + "/"


def blob(thread: str, namespace: str, channel: str, version: str | float) -> str:
    """Returns the key of a channel's value at a version."""
    return join_parts(BLOBS, thread, namespace, channel, str(version))


def part(thread: str, namespace: str, channel: str, number: int) -> str:
    """Returns the key of a part of a channel's lists."""
    return part_key(parts(thread, namespace, channel), number)


def parts(thread: str, namespace: str, channel: str) -> str:
    """Returns the prefix of the keys of the parts of a channel's lists."""
    return join_parts(PARTS, thread, namespace, channel) + "/"


def write(thread: str, namespace: str, checkpoint_id: str, task_id: str, index: int) -> str:
    """Returns the key of a pending write."""
    return join_parts(WRITES, thread, namespace, checkpoint_id, task_id) + f"/{index + _OFFSET:08}"


def writes(thread: str, namespace: str, checkpoint_id: str) -> str:
    """Returns the prefix of the keys of a checkpoint's pending writes."""
    return join_parts(WRITES, thread, namespace, checkpoint_id) + "/"


def of_thread(kind: str, thread: str) -> str:
    """Returns the prefix of a thread's keys of one kind."""
    return join_parts(kind, thread) + "/"


def head(thread: str, namespace: str) -> str:
    """Returns the key that every put of a checkpoint namespace writes."""
    return join_parts(HEADS, thread, namespace)


def deleted(thread: str) -> str:
    """Returns the key that records that a thread was deleted."""
    return join_parts("deleted", thread)


def pruned(thread: str) -> str:
    """Returns the key that records that some checkpoints of a thread were deleted."""
    return join_parts("pruned", thread)


def busy(thread: str) -> str:
    """Returns the key of the lease of the run that holds a thread."""
    return join_parts("busy", thread)


def thread_prefixes(prefix: str) -> list[str]:
    """Returns the key prefixes of the heads of threads whose ids start with `prefix`."""
    if not prefix:
        return [f"{HEADS}/"]
    encoded = encode_part(prefix)
    plain = [f"{HEADS}/{encoded}"] if len(encoded) <= MAX_PART else []
    return [*plain, f"{HEADS}/~"]


def clear(thread: str) -> tuple[ops.AnyOperation, ...]:
    """Returns the operations that delete all data of a thread."""
    kinds = (ops.ClearKeys(of_thread(kind, thread)) for kind in KINDS)
    return (*kinds, ops.DeleteKey(busy(thread)))


def moved(key: str, target: str) -> str:
    """Returns the key that corresponds to this one in another thread."""
    kind, _, rest = key.split("/", 2)
    return f"{join_parts(kind, target)}/{rest}"
