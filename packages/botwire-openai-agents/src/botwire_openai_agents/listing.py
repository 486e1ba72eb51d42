"""The sessions of a namespace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Unpack

from botwire import HistoryInfo
from botwire.connection import Connection, ConnectionOptions, takes_connection


@takes_connection
async def list_sessions(
    namespace: str | None = None,
    *,
    prefix: str = "",
    order: Literal["name", "updated"] = "updated",
    descending: bool = True,
    after: HistoryInfo | None = None,
    limit: int | None = None,
    where: Mapping[str, Any] | None = None,
    **connection: Unpack[ConnectionOptions],
) -> list[HistoryInfo]:
    """Returns the sessions of a namespace, by default the last used ones first.

    An info's ``name`` is the session's id. Sessions of other frameworks can be continued, so they
    are listed too. Sessions with `namespace_of` are in several namespaces: list each.

    Args:
        namespace: The namespace of the sessions. Defaults to the client's, then to
            ``BOTWIRE_NAMESPACE``, then to ``default``.
        prefix: Only sessions whose ids begin with it.
        order: By id (``name``) or by the time of the last change (``updated``).
        descending: Whether the last one comes first.
        after: Start after this session, the last one of the page before.
        limit: How many at most; None: all.
        where: Only sessions whose metadata match this filter; see `botwire.filters`.
        **connection: Where memory lives; see `ConnectionOptions`.
    """
    memory = Connection(namespace, framework="openai-agents", **connection).async_memory
    return await memory.list_histories(
        prefix, order=order, descending=descending, after=after, limit=limit, where=where
    )
