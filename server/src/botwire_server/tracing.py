"""Traces for OpenTelemetry, if it is installed and set up.

This module uses only the API, which the extra ``opentelemetry`` installs. An SDK decides where
spans go; for example, ``opentelemetry-instrument botwire serve`` sets one up. Existing ASGI
instrumentations record paths, which contain namespaces and keys. These spans contain the template
of the route instead.
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
    """The span of a request.

    Args:
        span: OpenTelemetry's span; None if tracing is off.
    """

    def __init__(self, span: Any = None) -> None:
        self._span = span

    def end(self, method: str, route: str, status: int) -> None:
        """Records the outcome and ends the span."""
        if self._span is None:
            return
        self._span.update_name(f"{method} {route}")
        self._span.set_attribute("http.route", route)
        self._span.set_attribute("http.response.status_code", status)
        if status >= 500 or status == 0:
            self._span.set_status(StatusCode.ERROR)


_NO_SPAN = contextlib.nullcontext(RequestSpan())


class Tracing:
    """Traces an application, if an SDK is set up when the application is created."""

    def __init__(self) -> None:
        # Checked once, because the check takes as long as all other tracing work for a request.
        self._is_on = trace is not None and not isinstance(
            trace.get_tracer_provider(), trace.ProxyTracerProvider
        )

    def request(
        self, method: str, scheme: str, headers: Mapping[bytes, bytes], request_id: str
    ) -> contextlib.AbstractContextManager[RequestSpan]:
        """Starts the span of a request, as a child of its sender's (`traceparent`).

        The names of attributes are those of https://opentelemetry.io/docs/specs/semconv/http/.
        """
        return _trace_request(method, scheme, headers, request_id) if self._is_on else _NO_SPAN

    def batch(self, batch: Batch) -> contextlib.AbstractContextManager[object]:
        """Starts the span of the store's work on a batch."""
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
