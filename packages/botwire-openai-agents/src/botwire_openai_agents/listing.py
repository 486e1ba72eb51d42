"""The sessions of a namespace."""

from __future__ import annotations

from botwire import AsyncMemory, HistoryInfo, Memory
from botwire.connection import Connection


async def list_sessions(
    namespace: str | None = None,
    *,
    client: Memory | AsyncMemory | None = None,
    url: str | None = None,
    api_key: str | None = None,
    prefix: str = "",
) -> list[HistoryInfo]:
    """Returns the sessions of a namespace that hold items, by name.

    An info's ``name`` is the session's id, and ``updated_at`` the time of its last change. Sessions
    of other frameworks are listed too: they can be continued here.

    Args:
        namespace: Defaults to the client's, then to ``BOTWIRE_NAMESPACE``, then to ``default``.
        client: A `Memory` or `AsyncMemory` to use instead of `url` and `api_key`.
        url: Where memory lives, as for `Memory`.
        api_key: The server's API key, as for `Memory`.
        prefix: Only sessions whose ids begin with it.
    """
    connection = Connection(namespace, client=client, url=url, api_key=api_key)
    return await connection.async_memory.list_histories(prefix)
