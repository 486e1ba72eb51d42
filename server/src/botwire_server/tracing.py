"""Traces for OpenTelemetry, where it is installed and set up; otherwise nothing.

Only its API is used, which the extra ``opentelemetry`` brings. Where spans go is for an SDK to say,
as ``opentelemetry-instrument botwire serve`` sets it up. The instrumentations of ASGI that there
are record addresses, which hold namespaces and keys; these spans hold the route's template.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from botwire import wire
from botwire.operations import Batch

try:
    from opentelemetry import propagate, trace
    from opentelemetry.trace import SpanKind, StatusCode
except ImportError:
    trace = None  # type: ignore[assignment]

_TRACER = "botwire_server"


class RequestSpan:
    """The span of a request, or nothing.

    Args:
        span: OpenTelemetry's own; None while nobody would see it.
    """

    def __init__(self, span: Any = None) -> None:
        self._span = span

    def end(self, method: str, route: str, status: int) -> None:
        """Says what is known only at the end."""
        if self._span is None:
            return
        self._span.update_name(f"{method} {route}")
        self._span.set_attribute("http.route", route)
        self._span.set_attribute("http.response.status_code", status)
        if status >= 500 or status == 0:
            self._span.set_status(StatusCode.ERROR)


_NO_SPAN = contextlib.nullcontext(RequestSpan())


class Tracing:
    """Traces an application, if an SDK is set up when the application is made."""

    def __init__(self) -> None:
        # Asking takes as long as all the rest that is done for a request here, so it is done once.
        self._is_on = trace is not None and not isinstance(
            trace.get_tracer_provider(), trace.ProxyTracerProvider
        )

    def request(
        self, method: str, scheme: str, headers: Mapping[bytes, bytes], request_id: str
    ) -> contextlib.AbstractContextManager[RequestSpan]:
        """Makes a span of a request, below that of whoever sent it (`traceparent`).

        Names of attributes are those of https://opentelemetry.io/docs/specs/semconv/http/.
        """
        return _trace_request(method, scheme, headers, request_id) if self._is_on else _NO_SPAN

    def batch(self, batch: Batch) -> contextlib.AbstractContextManager[object]:
        """Makes a span of what the store does."""
        return _trace_batch(batch) if self._is_on else _NO_SPAN


@contextlib.contextmanager
def _trace_request(
    method: str, scheme: str, headers: Mapping[bytes, bytes], request_id: str
) -> Iterator[RequestSpan]:
    carrier = {
        name.decode("latin-1"): headers[name].decode("latin-1")
        for name in (b"traceparent", b"tracestate")
        if name in headers
    }
    with trace.get_tracer(_TRACER).start_as_current_span(
        method,
        context=propagate.extract(carrier),
        kind=SpanKind.SERVER,
        attributes={
            "http.request.method": method,
            "url.scheme": scheme,
            "botwire.request_id": request_id,
        },
    ) as span:
        yield RequestSpan(span)


@contextlib.contextmanager
def _trace_batch(batch: Batch) -> Iterator[None]:
    names = [wire.operation_name(operation) for operation in batch.operations[:20]]
    with trace.get_tracer(_TRACER).start_as_current_span(
        "botwire.apply",
        attributes={
            "botwire.operations": names,
            "botwire.operation_count": len(batch.operations),
            "botwire.writes": batch.writes,
        },
    ):
        yield
