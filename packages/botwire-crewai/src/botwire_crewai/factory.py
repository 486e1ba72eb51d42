"""Makes BotWire the default of CrewAI: for ``memory=True``, ``@persist()`` and knowledge."""

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

_DEFAULT_SPECS = ("lancedb",)  # what CrewAI asks for by default


class _Factory:
    """Returns storages for CrewAI's specs, and passes other specs to the previous factory."""

    def __init__(self, defaults: dict[str, Any], *, takeover: bool) -> None:
        self.previous: Any = None
        self.default = BotWireStorage(**defaults)  # raises for wrong arguments now
        self._defaults = defaults
        self._lock = threading.Lock()
        specs = ("botwire", SPEC_PREFIX, *(_DEFAULT_SPECS if takeover else ()))
        self._storages = dict.fromkeys(specs, self.default)

    def __call__(self, spec: str) -> StorageBackend | None:
        # CrewAI asks once per memory, so a storage is shared.
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
    """Makes BotWire the memory of every `Crew`, `Agent` and `Flow` in this process.

    Afterwards ``memory=True`` and a bare ``Memory()`` use BotWire, and so do
    ``Memory(storage="botwire")`` and ``Memory(storage="botwire://other-namespace")``. Knowledge and
    the states of flows with ``@persist`` are stored there too. A memory that already uses CrewAI's
    default store is moved to BotWire. Existing flows and knowledge stay where they are, and a
    warning says so.

    ``crewai reset-memories``, run in the project's folder, resets this memory, whichever module
    calls `install`.

    Args:
        namespace: A name, or a function or `ContextVar` that gives the name at each call, so that
            one process can serve many tenants; used where a spec names none. Defaults to the
            client's, then to ``BOTWIRE_NAMESPACE``, then to this project's own.
        client: BotWire's `Memory` or `AsyncMemory`, to use instead of `url` and `api_key`.
        url: Where memory lives, as for BotWire's `Memory`.
        api_key: The server's API key, as for BotWire's `Memory`.
        timeout: Seconds that a call to a server may take, retries included.
        takeover: Whether to replace CrewAI's defaults, for knowledge and the states of flows too.
        **options: Further arguments of `BotWireStorage`.

    Returns:
        The storage that ``memory=True`` now uses; its `health` checks whether it works.

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
    """Undoes `install` for everything made from now on; a no-op if it is not in effect."""
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
            "nothing was reset, since this project's memory has many tenants or belongs to one "
            "process. Use: python -m botwire_crewai reset NAMESPACE"
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
            stays.append("states of flows whose @persist() ran first")
        elif kind is KnowledgeStorage:
            stays.append("knowledge that was made first")
    for what in dict.fromkeys(stays):
        logger.warning(
            "%s stay in CrewAI's own files: call botwire_crewai.install() before importing the "
            "modules that define crews and flows",
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
    """Makes CrewAI's default persistence of flows."""

    place: dict[str, Any]
    previous: Any

    def __call__(self) -> BotWireFlowPersistence:
        return BotWireFlowPersistence(**self.place)


@dataclass(frozen=True)
class _KnowledgeFactory:
    """Makes CrewAI's default storage of knowledge."""

    place: dict[str, Any]
    previous: Any

    def __call__(self, embedder: Any, collection_name: str | None) -> BotWireKnowledgeStorage:
        # Crews of every project use the same names, and each builds knowledge from its own sources.
        collection = f"{project_name()}/{collection_name or ''}"
        named: dict[str, Any] = {"embedder": embedder, "collection_name": collection}
        return BotWireKnowledgeStorage(**self.place, **named)
