"""Makes BotWire what CrewAI takes when it is told ``memory=True``, or nothing at all."""

from __future__ import annotations

import gc
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import crewai.memory.storage.factory as crewai_factory
from crewai.flow.persistence import factory as flow_factory
from crewai.flow.persistence.sqlite import SQLiteFlowPersistence
from crewai.knowledge.storage import factory as knowledge_factory
from crewai.knowledge.storage.knowledge_storage import KnowledgeStorage
from crewai.memory.storage.backend import StorageBackend
from crewai.memory.unified_memory import Memory as CrewMemory
from crewai_core.paths import db_storage_path

from botwire import AsyncMemory, ConfigurationError, Memory
from botwire.places import DEFAULT_TIMEOUT, find_place
from botwire_crewai.failures import logger
from botwire_crewai.flow import BotWireFlowPersistence
from botwire_crewai.knowledge import BotWireKnowledgeStorage
from botwire_crewai.project import (
    forget_installed,
    note_installed,
    project_name,
    read_installed,
)
from botwire_crewai.specs import SPEC_PREFIX
from botwire_crewai.storage import BotWireStorage
from botwire_crewai.tenancy import Namespace

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
    namespace: Namespace | None = None,
    *,
    client: Memory | AsyncMemory | None = None,
    url: str | None = None,
    api_key: str | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    takeover: bool = True,
    **options: Any,
) -> BotWireStorage:
    """Makes BotWire the memory of every `Crew`, `Agent` and `Flow` of this process.

    Afterwards ``memory=True`` and a bare ``Memory()`` are on BotWire, and so are
    ``Memory(storage="botwire")`` and ``Memory(storage="botwire://other-namespace")``. States of
    flows with ``@persist`` are kept there too, and so is knowledge. A memory made before on
    CrewAI's default store goes on here; of flows and knowledge made before, which stay where they
    are, a warning tells.

    ``crewai reset-memories``, started in the project's folder, reaches this memory wherever
    `install` is called.

    Args:
        namespace: Whose records, where a spec names none: a name, or a function or `ContextVar`
            that says it at each call, so that one process serves many tenants. Unset: the client's,
            else ``BOTWIRE_NAMESPACE``, else one of this project's own.
        client: A `Memory` or `AsyncMemory` of BotWire to use.
        url: Where memory lives, as for BotWire's `Memory`.
        api_key: For a server, as for BotWire's `Memory`.
        timeout: Seconds that a call to a server may take in all.
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
        "timeout": timeout,
    }  # fmt: skip
    ours = _Factory({**place, **options}, takeover=takeover)
    _uninstall()
    ours.previous = crewai_factory._factory  # noqa: SLF001 - there is a setter and no getter
    crewai_factory.set_memory_storage_factory(ours)
    if takeover:
        flow_factory.set_flow_persistence_factory(
            _FlowFactory(place, previous=flow_factory._factory)  # noqa: SLF001
        )
        knowledge_factory.set_knowledge_storage_factory(
            _KnowledgeFactory(place, previous=knowledge_factory._factory)  # noqa: SLF001
        )
        _take_over_what_exists(ours.default)
        note_installed(_place_to_note(ours.default))
    return ours.default


def uninstall() -> None:
    """Undoes `install`, for what is made from now on; does nothing if it is not in effect."""
    if isinstance(flow_factory._factory, _FlowFactory):  # noqa: SLF001
        forget_installed()
    _uninstall()


def reinstall() -> None:
    """Installs what the last `install` of this project installed, for CrewAI's own commands.

    Raises:
        ConfigurationError: Another process cannot find that memory.
    """
    place = read_installed()
    if place:
        install(place["namespace"], url=place.get("url"))
    elif place is None:
        raise ConfigurationError(
            "this project's memory is one of many tenants, or of one process: nothing was reset. "
            "Use: python -m botwire_crewai reset NAMESPACE"
        )


def _place_to_note(storage: BotWireStorage) -> dict[str, Any] | None:
    if not storage.has_one_namespace:
        return None
    reference = storage.connection.reference()
    url = reference.get("url") or find_place().url
    if not find_place(url).shareable:
        return None
    return {**reference, "url": url}


def _take_over_what_exists(storage: BotWireStorage) -> None:
    stays: list[str] = []
    default_flows = str(Path(db_storage_path()) / "flow_states.db")
    for one in gc.get_objects():
        kind = type(one)
        if issubclass(kind, CrewMemory):
            if one.storage in _DEFAULT_SPECS and not isinstance(
                one._storage,  # noqa: SLF001 - CrewAI has no way to move a memory
                BotWireStorage,
            ):
                one._storage = storage  # noqa: SLF001
        elif kind is SQLiteFlowPersistence and one.db_path == default_flows:
            stays.append("states of flows whose @persist came first")
        elif kind is KnowledgeStorage:
            stays.append("knowledge that was made first")
    for what in dict.fromkeys(stays):
        logger.warning(
            "%s stay where CrewAI keeps them: call botwire_crewai.install() before the modules "
            "that define crews and flows are imported",
            what,
        )


def _uninstall() -> None:
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
        # Crews of every project ask for the same names; each makes its knowledge from its sources.
        collection = f"{project_name()}/{collection_name or ''}"
        named: dict[str, Any] = {"embedder": embedder, "collection_name": collection}
        return BotWireKnowledgeStorage(**self.place, **named)
