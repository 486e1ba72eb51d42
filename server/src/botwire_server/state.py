"""What all parts of an application share: ``scope["app"].state``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from botwire.engines.lanes import FairPool
from botwire.engines.protocol import AsyncEngine
from botwire_server.auth import Authenticator
from botwire_server.channel.channels import Channels
from botwire_server.limits import RateTable
from botwire_server.metrics import Metrics
from botwire_server.mounting import Mounts
from botwire_server.settings import Settings
from botwire_server.tracing import Tracing
from botwire_server.turns import WriteTurns
from botwire_server.watching import Watchers


@dataclass(slots=True)
class SharedState:
    """What all parts of an application share.

    Attributes:
        engine: The store.
        settings: The server's settings.
        rates: Counts requests.
        metrics: The metrics.
        authenticator: Identifies callers.
        channels: The open channels.
        watchers: Those who watch namespaces.
        mounts: The applications of other packages.
        tracing: Traces requests.
        write_turns: Lets one long write at a time run.
        decoders: Threads that decode and encode what is large.
        is_stopping: Whether the server has been told to stop.
        is_writable: Whether the last write reached the store.
        docs: The page of the documentation, once it was asked for.
        legacy_stats: What the statistics of the 0.2 API said last.
    """

    engine: AsyncEngine
    settings: Settings
    rates: RateTable
    metrics: Metrics
    authenticator: Authenticator
    channels: Channels
    watchers: Watchers
    mounts: Mounts
    tracing: Tracing = field(default_factory=Tracing)
    write_turns: WriteTurns = field(default_factory=WriteTurns)
    decoders: FairPool = field(default_factory=lambda: FairPool(2, "botwire-decode"))
    is_stopping: bool = False
    is_writable: bool = True
    docs: str | None = None
    legacy_stats: Any = None
