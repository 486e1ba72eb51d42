"""The sessions of a namespace."""

from __future__ import annotations

from typing import Unpack

from strands.types.session import Session, SessionType

from botwire.connection import Connection, ConnectionOptions, takes_connection
from botwire.names import check_prefix, join_parts
from botwire.operations import check_count

AGENTS, SESSIONS = "strands-agents", "strands-sessions"
"""What the names of agents and of sessions begin with."""


@takes_connection
def list_sessions(
    namespace: str | None = None,
    *,
    prefix: str = "",
    limit: int | None = None,
    **connection: Unpack[ConnectionOptions],
) -> list[Session]:
    """Returns the sessions of a namespace, the last used ones first.

    Conversations of other frameworks can be continued, so they are listed too. A session's
    ``updated_at`` is the time of its last message.

    Args:
        namespace: The namespace of the sessions. Defaults to the client's, then to
            ``BOTWIRE_NAMESPACE``, then to ``default``.
        prefix: Only sessions whose ids begin with it.
        limit: How many at most; None: all.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """
    check_prefix(prefix)
    if limit is not None:
        check_count(limit, "limit")
    memory = Connection(namespace, framework="strands", **connection).memory
    found = {
        entry.key.removeprefix(f"{SESSIONS}/"): Session.from_dict(entry.value)
        for entry in memory.iter_entries(f"{SESSIONS}/")
    }
    for info in memory.list_histories(order="updated"):
        if not info.count or info.updated_at is None:
            continue
        used = info.updated_at.isoformat()
        kind, _, rest = info.name.partition("/")
        if kind == AGENTS:
            session = found.get(rest.partition("/")[0])
        else:
            began = (info.created_at or info.updated_at).isoformat()
            new = Session(info.name, SessionType.AGENT, created_at=began)
            session = found.setdefault(join_parts(info.name), new)
        if session is not None:
            session.updated_at = used
    listed = [one for one in found.values() if one.session_id.startswith(prefix)]
    listed.sort(key=lambda one: (one.updated_at, one.session_id), reverse=True)
    return listed[:limit]
