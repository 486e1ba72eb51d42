"""Makes BotWire what CrewAI takes when it is told ``memory=True``, or nothing at all."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import crewai.memory.storage.factory as crewai_factory
from crewai.flow.persistence import factory as flow_factory
from crewai.knowledge.storage import factory as knowledge_factory
from crewai.memory.storage.backend import StorageBackend

from botwire import AsyncMemory, Memory
from botwire_crewai.flow import BotWireFlowPersistence
from botwire_crewai.knowledge import BotWireKnowledgeStorage
from botwire_crewai.storage import SPEC_PREFIX, BotWireStorage

_DEFAULT_SPECS = ("lancedb",)  # what CrewAI asks for when nobody says anything else


class _Factory:
    """Answers CrewAI's specs, and asks who was there before for those that are not ours."""

    def __init__(self, defaults: dict[str, Any], *, takeover: bool) -> None:
        self.previous: Any = None
        self.default = BotWireStorage(**defaults)  # wrong arguments are found before a first crew
        self._defaults = defaults
        self._lock = threading.Lock()
        specs = ("botwire", SPEC_PREFIX, *(_DEFAULT_SPECS if takeover else ()))
        self._storages = dict.fromkeys(specs, self.default)

    def __call__(self, spec: str) -> StorageBackend | None:
        # CrewAI asks once for every memory it makes.
        with self._lock:
            if spec.startswith(SPEC_PREFIX) and spec not in self._storages:
                self._storages[spec] = BotWireStorage.from_spec(spec, **self._defaults)
            if spec in self._storages:
                return self._storages[spec]
        found: StorageBackend | None = self.previous(spec) if self.previous else None
        return found


def install(
    namespace: str | None = None,
    *,
    client: Memory | AsyncMemory | None = None,
    url: str | None = None,
    api_key: str | None = None,
    takeover: bool = True,
    **options: Any,
) -> BotWireStorage:
    """Makes BotWire the memory of every `Crew`, `Agent` and `Flow` of this process.

    Afterwards ``memory=True`` and a bare ``Memory()`` are on BotWire, and so are
    ``Memory(storage="botwire")`` and ``Memory(storage="botwire://other-namespace")``. States of
    flows with ``@persist`` are kept there too, and so is knowledge. What was made before stays
    where it is.

    Args:
        namespace: Whose records, where a spec names none. Unset: the client's, else
            ``BOTWIRE_NAMESPACE``, else ``default``.
        client: A `Memory` or `AsyncMemory` of BotWire to use.
        url: Where memory lives, as for BotWire's `Memory`.
        api_key: For a server, as for BotWire's `Memory`.
        takeover: Whether to answer for CrewAI's own default as well, for states of flows and for
            knowledge.
        **options: Further arguments of `BotWireStorage`.

    Returns:
        What ``memory=True`` now leads to; its `health` says whether it works.

    Raises:
        ConfigurationError: An argument is not valid.
    """
    place: dict[str, Any] = {
        "namespace": namespace, "client": client, "url": url, "api_key": api_key,
    }  # fmt: skip
    ours = _Factory({**place, **options}, takeover=takeover)
    uninstall()
    ours.previous = crewai_factory._factory  # noqa: SLF001 - there is a setter and no getter
    crewai_factory.set_memory_storage_factory(ours)
    if takeover:
        flow_factory.set_flow_persistence_factory(
            _FlowFactory(place, previous=flow_factory._factory)  # noqa: SLF001
        )
        knowledge_factory.set_knowledge_storage_factory(
            _KnowledgeFactory(place, previous=knowledge_factory._factory)  # noqa: SLF001
        )
    return ours.default


def uninstall() -> None:
    """Undoes `install`; does nothing if it is not in effect."""
    ours = crewai_factory._factory  # noqa: SLF001
    if isinstance(ours, _Factory):
        crewai_factory.set_memory_storage_factory(ours.previous)
    flows = flow_factory._factory  # noqa: SLF001
    if isinstance(flows, _FlowFactory):
        flow_factory.set_flow_persistence_factory(flows.previous)
    knowledge = knowledge_factory._factory  # noqa: SLF001
    if isinstance(knowledge, _KnowledgeFactory):
        knowledge_factory.set_knowledge_storage_factory(knowledge.previous)


@dataclass(frozen=True)
class _FlowFactory:
    """Makes what keeps the states of flows."""

    place: dict[str, Any]
    previous: Any

    def __call__(self) -> BotWireFlowPersistence:
        return BotWireFlowPersistence(**self.place)


@dataclass(frozen=True)
class _KnowledgeFactory:
    """Makes what keeps knowledge."""

    place: dict[str, Any]
    previous: Any

    def __call__(self, embedder: Any, collection_name: str | None) -> BotWireKnowledgeStorage:
        named: dict[str, Any] = {"embedder": embedder, "collection_name": collection_name}
        return BotWireKnowledgeStorage(**self.place, **named)
