"""CrewAI's memory, ready to pass."""

from __future__ import annotations

from typing import Any

import crewai.memory
from pydantic import field_serializer

from botwire import AsyncMemory, Memory
from botwire_crewai.storage import SPEC_PREFIX, BotWireStorage


class BotWireMemory(crewai.memory.Memory):  # type: ignore[misc]  # lazily loaded there
    """CrewAI's `Memory` on BotWire: ``Crew(memory=BotWireMemory("my-crew"))``.

    A dump to JSON holds a spec in the place of the storage, a string without any secret, and
    `model_validate` finds the same records again.

    Args:
        namespace: Whose records.
        client: A `Memory` or `AsyncMemory` of BotWire to use.
        url: Where memory lives, as for BotWire's `Memory`.
        api_key: For a server, as for BotWire's `Memory`.
        **fields: Those of CrewAI's `Memory`, for example `llm` and `embedder`.
    """

    def __init__(
        self,
        namespace: str = "crewai",
        *,
        client: Memory | AsyncMemory | None = None,
        url: str | None = None,
        api_key: str | None = None,
        **fields: Any,
    ) -> None:
        storage = fields.pop("storage", None)
        if isinstance(storage, str) and storage.startswith(SPEC_PREFIX):
            storage = BotWireStorage.from_spec(storage, api_key=api_key)
        elif storage is None:
            storage = BotWireStorage(namespace, client=client, url=url, api_key=api_key)
        super().__init__(storage=storage, **fields)

    # Only in JSON: `Agent.copy` makes a memory of the other dump, and must find the storage there.
    @field_serializer("storage", when_used="json")
    def _dump_storage(self, storage: Any) -> Any:
        return storage.spec if isinstance(storage, BotWireStorage) else storage
