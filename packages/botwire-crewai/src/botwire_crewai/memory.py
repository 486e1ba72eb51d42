"""CrewAI's memory, ready to pass."""

from __future__ import annotations

from typing import Any

import crewai.memory

from botwire import AsyncMemory, Memory
from botwire_crewai.storage import SPEC_PREFIX, BotWireStorage


class BotWireMemory(crewai.memory.Memory):  # type: ignore[misc]  # lazily loaded there
    """CrewAI's `Memory` on BotWire: ``Crew(memory=BotWireMemory("my-crew"))``.

    Its field `storage` is a spec, a string without any secret, so that CrewAI can write the
    memory into a checkpoint and find the same records again.

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
        if isinstance(storage, BotWireStorage):
            self.storage = storage.spec
