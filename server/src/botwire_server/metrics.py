"""Metrics for Prometheus; they contain no namespace and no key.

Each of several workers writes its numbers to its own files, and the worker that answers a request
adds them up (https://prometheus.github.io/client_python/multiprocess/). So the answer covers all
workers, and the counts of a worker that died are not lost.
"""

from __future__ import annotations

import os
from typing import Any

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
    multiprocess,
)

from botwire.engines.protocol import AsyncEngine

MEDIA_TYPE = CONTENT_TYPE_LATEST

_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The metrics of one application."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "botwire_requests",
            "Requests answered.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "botwire_request_seconds",
            "Time from a request to the end of its answer, without streams.",
            ("method", "route"),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._in_progress = Gauge(
            "botwire_requests_in_progress",
            "Requests being answered.",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self._problems = Counter(
            "botwire_problems",
            "Batches that were refused or failed, by type of problem.",
            ("type",),
            registry=self._registry,
        )
        self._commits = Histogram(
            "botwire_commit_seconds",
            "Writing transactions, from the first statement to the end of the commit.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._batches = Histogram(
            "botwire_commit_batches",
            "Batches that shared a commit.",
            buckets=_BATCHES,
            registry=self._registry,
        )
        # Looking up a metric by its labels takes longer than counting.
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        if not self._is_shared:
            ProcessCollector(registry=self._registry)

    @property
    def _is_shared(self) -> bool:
        return "PROMETHEUS_MULTIPROC_DIR" in os.environ

    def follow(self, engine: AsyncEngine) -> None:
        """Counts the commits of an engine, if it reports them."""
        reporting: Any = getattr(engine, "engine", engine)  # the blocking engine inside
        if hasattr(reporting, "on_commit"):
            reporting.on_commit = self.count_commit

    def count_commit(self, batches: int, seconds: float) -> None:
        """Counts a commit."""
        self._commits.observe(seconds)
        self._batches.observe(batches)

    def count_problem(self, slug: str) -> None:
        """Counts a batch that was refused or failed."""
        self._problems.labels(slug).inc()

    def begin_request(self) -> None:
        """Counts a request that is being answered."""
        self._in_progress.inc()

    def end_request(
        self, method: str, route: str, status: int, seconds: float, *, streamed: bool
    ) -> None:
        """Counts a request that was answered."""
        self._in_progress.dec()
        method = method if method in _METHODS else "other"  # clients can invent methods
        child = self._children.get((method, route, status))
        if child is None:
            child = (
                self._requests.labels(method, route, str(status)),
                self._seconds.labels(method, route),
            )
            self._children[method, route, status] = child
        counter, histogram = child
        counter.inc()
        if not streamed:
            histogram.observe(seconds)

    def expose(self, store_bytes: int) -> bytes:
        """Returns all metrics in Prometheus' text format.

        Args:
            store_bytes: The current size of the store on disk.
        """
        if self._is_shared:
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        else:
            registry = self._registry
        # Not a gauge of the library, which would sum it over all workers.
        return (
            generate_latest(registry)
            + (
                "# HELP botwire_store_bytes Size of the store on disk, including indexes.\n"
                "# TYPE botwire_store_bytes gauge\n"
                f"botwire_store_bytes {store_bytes}\n"
            ).encode()
        )
