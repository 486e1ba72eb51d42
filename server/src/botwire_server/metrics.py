"""Metrics for Prometheus; they contain no namespace and no key.

Each of several workers writes its numbers to its own files, and the worker that answers a request
adds them up (https://prometheus.github.io/client_python/multiprocess/). So the answer covers all
workers, and the counts of a worker that died are not lost.
"""

from __future__ import annotations

import os
import time
from collections import Counter as Counts
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Sample:
    """The numbers of all workers since the server started.

    Attributes:
        began: When it started, in seconds since 1970.
        requests: Requests answered, by the first digit of their status.
        seconds: Seconds that they took together, without streams.
        timed: Requests among these whose seconds count.
        commits: Writing transactions.
        problems: Batches that were refused or failed, by type of problem.
    """

    began: float
    requests: Mapping[str, int]
    seconds: float
    timed: int
    commits: int
    problems: Mapping[str, int]


class Metrics:
    """The metrics of one application."""

    def __init__(self) -> None:
        self._began = time.time()
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
        self._through_channels = Counter(
            "botwire_channel_requests",
            "Requests answered that came through a channel.",
            registry=self._registry,
        )
        self.channels = Gauge(
            "botwire_channels",
            "Open channels.",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self.watchers = Gauge(
            "botwire_watchers",
            "Open streams of changes, over HTTP and through channels.",
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
        self,
        method: str,
        route: str,
        status: int,
        seconds: float,
        *,
        streamed: bool,
        through_channel: bool = False,
    ) -> None:
        """Counts a request that was answered."""
        self._in_progress.dec()
        if through_channel:
            self._through_channels.inc()
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

    def read(self) -> Sample:
        """Returns the numbers for people; see `expose` for those of Prometheus."""
        requests, problems = Counts[str](), Counts[str]()
        found: dict[str, float] = defaultdict(float)
        for family in self._collected.collect():
            for sample in family.samples:
                if sample.name == "botwire_requests_total":
                    requests[sample.labels["status"][:1]] += int(sample.value)
                elif sample.name == "botwire_problems_total":
                    problems[sample.labels["type"]] += int(sample.value)
                else:
                    found[sample.name] += sample.value
        return Sample(
            self._began,
            requests,
            found["botwire_request_seconds_sum"],
            int(found["botwire_request_seconds_count"]),
            int(found["botwire_commit_seconds_count"]),
            problems,
        )

    @property
    def _collected(self) -> CollectorRegistry:
        """The numbers of all workers."""
        if not self._is_shared:
            return self._registry
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return registry

    def expose(self, store_bytes: int) -> bytes:
        """Returns all metrics in Prometheus' text format.

        Args:
            store_bytes: The current size of the store on disk.
        """
        # Not a gauge of the library, which would sum it over all workers.
        return (
            generate_latest(self._collected)
            + (
                "# HELP botwire_store_bytes Size of the store on disk, including indexes.\n"
                "# TYPE botwire_store_bytes gauge\n"
                f"botwire_store_bytes {store_bytes}\n"
            ).encode()
        )
