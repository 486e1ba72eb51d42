"""Finds checkpoints, without their values: the one that a config selects, or pages of them.

Functions called ``ask_for…`` return an operation, for a batch that also does something else;
`header_in` and `fences_in` read its result. The others are generators, as in `running`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.serde.base import SerializerProtocol

from botwire import ConfigurationError
from botwire import operations as ops
from botwire.arguments import check_mapping
from botwire_langgraph import layout
from botwire_langgraph.records import Header, Thread, configurable_of, thread_id_of
from botwire_langgraph.running import BatchProgram
from botwire_langgraph.thread_cache import Fences

PAGE = 100
"""How many checkpoints are read at a time, with their values."""


class Limit:
    """Counts how many checkpoints a listing may still return; false once there are none left.

    Args:
        limit: The most checkpoints to return; None means all.

    Raises:
        ConfigurationError: The limit is not valid.
    """

    def __init__(self, limit: int | None) -> None:
        if limit is not None and not isinstance(limit, int):
            raise ConfigurationError(f"limit must be an int or None, not {limit!r:.80}")
        self._left = limit

    def page(self, filtered: object) -> int:
        """Returns how many checkpoints to read next."""
        return PAGE if filtered or self._left is None else min(self._left, PAGE)

    def __bool__(self) -> bool:
        return self._left is None or self._left > 0

    def take(self, headers: Sequence[Header]) -> Sequence[Header]:
        """Returns the first headers, as many as may be returned, and counts them."""
        if self._left is None:
            return headers
        taken = headers[: self._left]
        self._left -= len(taken)
        return taken


def find(serde: SerializerProtocol, config: RunnableConfig) -> BatchProgram[Header | None]:
    """Reads the checkpoint that a config selects, without values, in one batch."""
    (found,) = yield (ask_for(Thread.of(config)),)
    return header_in(found, serde)


def ask_for(thread: Thread) -> ops.AnyOperation:
    """Returns the operation that reads the checkpoint that a config selects."""
    if thread.checkpoint_id is not None:
        key = layout.checkpoint(thread.id, thread.namespace, thread.checkpoint_id)
        return ops.GetKeys((key,))
    return ask_for_latest(thread)


def ask_for_latest(thread: Thread) -> ops.ScanKeys:
    """Returns the operation that reads a thread's latest checkpoint."""
    prefix = layout.checkpoints(thread.id, thread.namespace)
    return ops.ScanKeys(prefix, limit=1, descending=True)


def header_in(found: Any, serde: SerializerProtocol) -> Header | None:
    """Returns the checkpoint that was read; None if there is none."""
    entries = found.entries if isinstance(found, ops.EntryPage) else found
    entry = entries[0] if entries else None
    return None if entry is None else Header.from_value(entry.value, serde)


def ask_for_fences(thread: Thread) -> ops.GetKeys:
    """Returns the operation that reads the keys that tell of changes to a thread."""
    head = layout.head(thread.id, thread.namespace)
    return ops.GetKeys((head, layout.deleted(thread.id), layout.pruned(thread.id)))


def fences_in(entries: Sequence[ops.KeyEntry | None]) -> Fences:
    """Returns the versions of these keys, as they were read."""
    return Fences(*(0 if entry is None else entry.version for entry in entries))


def list_page(
    serde: SerializerProtocol,
    config: RunnableConfig | None,
    filter: dict[str, Any] | None,  # noqa: A002 - named by LangGraph
    before: RunnableConfig | None,
    last: str | None,
    limit: int = PAGE,
) -> BatchProgram[tuple[list[Header], str | None]]:
    """Returns a page of checkpoints without values, newest first, and where the next one begins."""
    selected = configurable_of(config) if config else {}
    thread = thread_id_of(selected.get("thread_id")) if config else None
    namespace, wanted = selected.get("checkpoint_ns"), selected.get("checkpoint_id")
    bound = configurable_of(before, "before").get("checkpoint_id") if before else None
    fields = check_mapping(filter or {}, "filter")
    if last is None and bound and thread is not None and namespace is not None:
        last = layout.checkpoint(thread, namespace, bound)
    prefix = layout.checkpoints(thread, namespace)
    (page,) = yield (ops.ScanKeys(prefix, before=last, limit=limit, descending=True),)
    headers = [Header.from_value(entry.value, serde) for entry in page.entries]
    found = [
        header
        for header in headers
        if (not wanted or header.id == wanted)
        and (not bound or header.id < bound)
        and all(_field(header.metadata, name) == value for name, value in fields.items())
    ]
    return found, page.entries[-1].key if page.more else None


def _field(metadata: Mapping[str, Any], name: str) -> Any:
    """Returns a field of metadata; dots in a name not found itself lead into nested objects."""
    if name in metadata:
        return metadata[name]
    for position, character in enumerate(name):
        if character == "." and isinstance(inner := metadata.get(name[:position]), Mapping):
            found = _field(inner, name[position + 1 :])
            if found is not None:
                return found
    return None
