"""Makes BotWire what CrewAI takes when it is told ``memory=True``, or nothing at all."""

from __future__ import annotations

import threading
from typing import Any

import crewai.memory.storage.factory as crewai_factory
from crewai.flow.persistence import factory as flow_factory
from crewai.memory.storage.backend import StorageBackend

from botwire_crewai.flow import BotWireFlowPersistence
from botwire_crewai.storage import SPEC_PREFIX, BotWireStorage

_DEFAULT_SPECS = ("lancedb",)  # what CrewAI asks for when nobody says anything else


class _Factory:
    """Answers CrewAI's specs, and asks who was there before for those that are not ours."""

    def __init__(self, defaults: dict[str, Any], *, takeover: bool, previous: Any) -> None:
        self.previous = previous
        self._defaults = defaults
        self._takeover = takeover
        self._lock = threading.Lock()
        self._storages: dict[str, BotWireStorage] = {}

    def __call__(self, spec: str) -> StorageBackend | None:
        is_ours = spec == "botwire" or spec.startswith(SPEC_PREFIX)
        if not is_ours and not (self._takeover and spec in _DEFAULT_SPECS):
            found: StorageBackend | None = self.previous(spec) if self.previous else None
            return found
        # CrewAI asks once for every memory it makes.
        with self._lock:
            if spec not in self._storages:
                full = spec if spec.startswith(SPEC_PREFIX) else SPEC_PREFIX
                self._storages[spec] = BotWireStorage.from_spec(full, **self._defaults)
            return self._storages[spec]


def install(
    namespace: str = "crewai",
    *,
    url: str | None = None,
    api_key: str | None = None,
    takeover: bool = True,
    **options: Any,
) -> None:
    """Makes BotWire the memory of every `Crew`, `Agent` and `Flow` of this process.

    Afterwards ``memory=True`` and a bare ``Memory()`` are on BotWire, and so are
    ``Memory(storage="botwire")`` and ``Memory(storage="botwire://other-namespace")``. States of
    flows with ``@persist`` are kept there too. What was made before stays where it is.

    Args:
        namespace: Whose records, where a spec names none.
        url: Where memory lives, as for BotWire's `Memory`.
        api_key: For a server, as for BotWire's `Memory`.
        takeover: Whether to answer for CrewAI's own default as well, and for states of flows.
        **options: Further arguments of `BotWireStorage`.

    Raises:
        ConfigurationError: An argument is not valid.
    """
    uninstall()
    defaults: dict[str, Any] = {"namespace": namespace, "url": url, "api_key": api_key, **options}
    BotWireStorage(**defaults)  # wrong arguments are found here, and not in the first crew
    previous = crewai_factory._factory  # noqa: SLF001 - there is a setter and no getter
    crewai_factory.set_memory_storage_factory(
        _Factory(defaults, takeover=takeover, previous=previous)
    )
    if takeover:
        flow_factory.set_flow_persistence_factory(
            _FlowFactory(namespace, url, api_key, previous=flow_factory._factory)  # noqa: SLF001
        )


def uninstall() -> None:
    """Undoes `install`; does nothing if it is not in effect."""
    ours = crewai_factory._factory  # noqa: SLF001
    if isinstance(ours, _Factory):
        crewai_factory.set_memory_storage_factory(ours.previous)
    flows = flow_factory._factory  # noqa: SLF001
    if isinstance(flows, _FlowFactory):
        flow_factory.set_flow_persistence_factory(flows.previous)


class _FlowFactory:
    """Makes what keeps the states of flows."""

    def __init__(
        self, namespace: str, url: str | None, api_key: str | None, *, previous: Any
    ) -> None:
        self.previous = previous
        self._arguments: dict[str, Any] = {"namespace": namespace, "url": url, "api_key": api_key}

    def __call__(self) -> BotWireFlowPersistence:
        return BotWireFlowPersistence(**self._arguments)
