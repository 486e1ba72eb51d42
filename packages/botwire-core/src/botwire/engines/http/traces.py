"""Tells the server to which OpenTelemetry span a request belongs, if any.

Nothing is imported: a program that has a span has imported OpenTelemetry.
"""

from __future__ import annotations

import sys
from typing import Any


def trace_headers() -> dict[str, str]:
    """Returns the headers of W3C Trace Context for the current span; none without a span."""
    trace: Any = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return {}
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    flags = int(context.trace_flags)
    headers = {"traceparent": f"00-{context.trace_id:032x}-{context.span_id:016x}-{flags:02x}"}
    if state := context.trace_state.to_header():
        headers["tracestate"] = state
    return headers
