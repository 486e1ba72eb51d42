"""Where a thread's checkpoints, channel values and pending writes are kept: the names of keys.

Each part of a name is percent-encoded, so that a slash only ever separates, and one thread's
names are never the beginning of another's. A part that is too long is replaced by its hash.

    checkpoints/{thread}/{checkpoint_ns}/{checkpoint_id}
    blobs/{thread}/{checkpoint_ns}/{channel}/{version}
    parts/{thread}/{checkpoint_ns}/{channel}/{number}
    writes/{thread}/{checkpoint_ns}/{checkpoint_id}/{task_id}/{index}
    heads/{thread}/{checkpoint_ns}
    deleted/{thread}
    pruned/{thread}
    busy/{thread}

Of heads, deleted and pruned the version counts: it tells a run that the thread changed since it
began. The last is the lease of a run that has the thread.
"""

from __future__ import annotations

from botwire import operations as ops
from botwire.names import MAX_PART, encode_part, join_parts

CHECKPOINTS, BLOBS, PARTS, WRITES, HEADS = "checkpoints", "blobs", "parts", "writes", "heads"
KINDS = (CHECKPOINTS, BLOBS, PARTS, WRITES, HEADS)
"""What there is of a thread."""

_OFFSET = 8  # indexes of special writes are negative; shifted, all sort as text


def checkpoint(thread: str, namespace: str, checkpoint_id: str) -> str:
    """Returns the key of a checkpoint."""
    return join_parts(CHECKPOINTS, thread, namespace, checkpoint_id)


def checkpoints(thread: str | None, namespace: str | None) -> str:
    """Returns what the keys of checkpoints begin with, of all threads or namespaces if None."""
    if thread is None:
        return f"{CHECKPOINTS}/"
    return join_parts(CHECKPOINTS, thread, *([] if namespace is None else [namespace])) + "/"


def blob(thread: str, namespace: str, channel: str, version: str | float) -> str:
    """Returns the key of a channel's value at a version."""
    return join_parts(BLOBS, thread, namespace, channel, str(version))


def part(thread: str, namespace: str, channel: str, number: int) -> str:
    """Returns the key of a part of a channel's lists."""
    return numbered(parts(thread, namespace, channel), number)


def parts(thread: str, namespace: str, channel: str) -> str:
    """Returns what the keys of the parts of a channel's lists begin with."""
    return join_parts(PARTS, thread, namespace, channel) + "/"


def numbered(prefix: str, number: int) -> str:
    """Returns the key of a part by what the keys of all begin with."""
    return f"{prefix}{number:012}"


def part_number(key: str) -> int:
    """Returns the number of a part."""
    return int(key.rsplit("/", 1)[1])


def write(thread: str, namespace: str, checkpoint_id: str, task_id: str, index: int) -> str:
    """Returns the key of a pending write."""
    return join_parts(WRITES, thread, namespace, checkpoint_id, task_id) + f"/{index + _OFFSET:08}"


def writes(thread: str, namespace: str, checkpoint_id: str) -> str:
    """Returns what the keys of a checkpoint's pending writes begin with."""
    return join_parts(WRITES, thread, namespace, checkpoint_id) + "/"


def of_thread(kind: str, thread: str) -> str:
    """Returns what the keys of a kind begin with that belong to a thread."""
    return join_parts(kind, thread) + "/"


def head(thread: str, namespace: str) -> str:
    """Returns the key that every put of a checkpoint namespace writes."""
    return join_parts(HEADS, thread, namespace)


def deleted(thread: str) -> str:
    """Returns the key that says that a thread was deleted."""
    return join_parts("deleted", thread)


def pruned(thread: str) -> str:
    """Returns the key that says that checkpoints of a thread were deleted."""
    return join_parts("pruned", thread)


def busy(thread: str) -> str:
    """Returns the key of the lease of the run that has a thread."""
    return join_parts("busy", thread)


def thread_prefixes(prefix: str) -> list[str]:
    """Returns what the heads of threads whose ids begin with `prefix` begin with."""
    if not prefix:
        return [f"{HEADS}/"]
    encoded = encode_part(prefix)
    plain = [f"{HEADS}/{encoded}"] if len(encoded) <= MAX_PART else []
    return [*plain, f"{HEADS}/~"]


def clear(thread: str) -> tuple[ops.AnyOperation, ...]:
    """Returns the operations that leave nothing of a thread."""
    kinds = (ops.ClearKeys(of_thread(kind, thread)) for kind in KINDS)
    return (*kinds, ops.DeleteKey(busy(thread)))


def moved(key: str, target: str) -> str:
    """Returns the key that corresponds to this one in another thread."""
    kind, _, rest = key.split("/", 2)
    return f"{join_parts(kind, target)}/{rest}"
