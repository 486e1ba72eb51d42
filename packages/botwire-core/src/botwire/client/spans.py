"""OpenTelemetry spans of memory operations, if the program has set up OpenTelemetry.

Names follow the GenAI conventions (``gen_ai.memory.client`` in semantic-conventions-genai). Nothing
is imported: a program that has set up OpenTelemetry has imported it. In other programs a span costs
one lookup. Texts and queries are recorded only if the variable `CONTENT_VARIABLE` says so.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any
from urllib.parse import urlsplit

from botwire import operations as ops
from botwire.models import Match, Record

CONTENT_VARIABLE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
"""The environment variable that turns on content: ``true``, as in other GenAI instrumentations."""

_ASKED = frozenset({"true", "span_only", "span_and_event"})
_MOST_NAMES = 20
_PORTS = {"http": 80, "https": 443, "postgres": 5432, "postgresql": 5432}

_is_inside: ContextVar[bool] = ContextVar("botwire_memory_span", default=False)


class MemorySpan:
    """The span of a memory operation. Its methods do nothing if there is no span.

    Args:
        span: OpenTelemetry's span; None if nothing records spans.
    """

    __slots__ = ("_span",)

    def __init__(self, span: Any = None) -> None:
        self._span = span

    def counts(self, count: int) -> None:
        """Records the number of records concerned."""
        if self._span is not None:
            self._span.set_attribute("gen_ai.memory.record.count", count)

    def names(self, ids: Sequence[str] | None) -> None:
        """Records the id, if the operation concerns one record."""
        if self._span is not None and ids is not None and len(ids) == 1:
            self._span.set_attribute("gen_ai.memory.record.id", _valid(ids[0]))

    def asks(self, query: str | None) -> None:
        """Records what is searched for, if content is turned on."""
        if self._span is not None and query and _is_content_asked():
            self._span.set_attribute("gen_ai.memory.query.text", _valid(query))

    def stores(self, records: Sequence[ops.NewRecord]) -> None:
        """Records what is stored."""
        if self._span is None:
            return
        self.counts(len(records))
        self.names([record.id for record in records])
        if _is_content_asked():
            self._hold(_described(one.id, one.text, one.metadata.value) for one in records)

    def finds(self, records: Sequence[Record], scores: Sequence[float] = ()) -> None:
        """Records what was found."""
        if self._span is None:
            return
        self.counts(len(records))
        if _is_content_asked():
            scored = itertools.zip_longest(records, scores)
            self._hold(_described(one.id, one.text, one.metadata, score) for one, score in scored)

    def matches(self, found: Sequence[Match]) -> None:
        """Records what a search found."""
        if self._span is not None:
            self.finds([match.record for match in found], [match.score for match in found])

    def _hold(self, described: Iterable[dict[str, Any]]) -> None:
        self._span.set_attribute("gen_ai.memory.records", json.dumps(list(described)))


def _described(id: str, text: str, metadata: Any, score: float | None = None) -> dict[str, Any]:
    """Returns a record as the conventions describe one."""
    optional = {"metadata": metadata or None, "score": score}
    known = {name: value for name, value in optional.items() if value is not None}
    return {"id": id, "content": text, **known}


def _valid(text: str) -> str:
    """Returns a text that every exporter can encode."""
    return text.encode("utf-8", "replace").decode()


def _is_content_asked() -> bool:
    return os.environ.get(CONTENT_VARIABLE, "").lower() in _ASKED


_NO_SPAN = contextlib.nullcontext(MemorySpan())


_OPERATIONS: dict[type, str] = {
    ops.ExtendHistory: "create_memory",
    ops.ForkHistory: "create_memory",
    ops.UpdateItem: "update_memory",
    ops.SetHistoryMetadata: "update_memory",
    ops.ExpireHistory: "update_memory",
    ops.ArchiveHistory: "update_memory",
}
"""The conventions' name for an operation, if it does not follow from the class."""
_SHAPES = {"botwire.operations.keys": "key", "botwire.operations.histories": "history"}


def batch_span(
    operations: Sequence[ops.AnyOperation], engine: object, namespace: str
) -> AbstractContextManager[MemorySpan]:
    """Starts the span of a batch on keys and histories, unless it is part of another.

    Other batches have no span of their own. Names of keys and histories count as content.
    """
    if _tracer_provider() is None:
        return _NO_SPAN
    known = [one for one in operations if type(one).__module__ in _SHAPES]
    if not known:
        return _NO_SPAN
    # What a batch writes describes it better than what it checks or reads.
    writes = [one for one in known if one.writes] or known
    calls = {_name_of(one) for one in writes}
    attributes: dict[str, Any] = {
        "botwire.shapes": sorted({_SHAPES[type(one).__module__] for one in known}),
        "botwire.operations": [type(one).__name__ for one in operations[:_MOST_NAMES]],
    }
    if _is_content_asked():
        named = [name for one in known for name in _named(one)]
        attributes["botwire.names"] = [_valid(name) for name in named[:_MOST_NAMES]]
    call = calls.pop() if len(calls) == 1 else "upsert_memory"
    return _span(call, engine, namespace, attributes)


def _named(operation: ops.AnyOperation) -> Sequence[str]:
    """Returns the keys or the history that an operation concerns."""
    name = getattr(operation, "key", None) or getattr(operation, "name", None)
    return getattr(operation, "keys", ()) if name is None else (name,)


def _name_of(operation: ops.AnyOperation) -> str:
    if type(operation) in _OPERATIONS:
        return _OPERATIONS[type(operation)]
    if not operation.writes:
        return "search_memory"
    return "delete_memory" if operation.removes else "upsert_memory"


def memory_span(
    operation: str, engine: object, namespace: str, collection: str
) -> AbstractContextManager[MemorySpan]:
    """Starts the span of an operation, unless one is part of another.

    Args:
        operation: ``search_memory``, ``create_memory``, ``update_memory``, ``upsert_memory`` or
            ``delete_memory``.
        engine: The engine that applies it.
        namespace: The namespace.
        collection: The collection.
    """
    return _span(operation, engine, namespace, {"botwire.collection": _valid(collection)})


def _tracer_provider() -> Any:
    """Returns the provider of spans; None without one, or inside another span."""
    trace: Any = sys.modules.get("opentelemetry.trace")
    if trace is None or _is_inside.get():
        return None
    provider = trace.get_tracer_provider()
    return None if isinstance(provider, trace.ProxyTracerProvider) else provider


def _span(
    operation: str, engine: object, namespace: str, of_shape: dict[str, Any]
) -> AbstractContextManager[MemorySpan]:
    provider = _tracer_provider()
    if provider is None:
        return _NO_SPAN
    trace: Any = sys.modules["opentelemetry.trace"]
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": operation,
        "gen_ai.memory.store.id": _valid(namespace),
        **of_shape,
    }
    url = getattr(engine, "url", None)
    kind = trace.SpanKind.INTERNAL
    if isinstance(url, str):
        kind = trace.SpanKind.CLIENT
        parts = urlsplit(url)
        if parts.hostname:
            attributes["server.address"] = parts.hostname
            attributes["server.port"] = parts.port or _PORTS.get(parts.scheme, 80)
    return _started(trace, provider, operation, kind, attributes)


@contextlib.contextmanager
def _started(
    trace: Any, provider: Any, operation: str, kind: Any, attributes: dict[str, Any]
) -> Iterator[MemorySpan]:
    token = _is_inside.set(True)
    try:
        with provider.get_tracer("botwire").start_as_current_span(
            operation,
            kind=kind,
            attributes=attributes,
            # An error's message may quote stored content.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield MemorySpan(span)
            except BaseException as error:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(trace.StatusCode.ERROR)
                raise
    finally:
        _is_inside.reset(token)
