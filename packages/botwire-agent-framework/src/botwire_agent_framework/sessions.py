"""Agent Framework's session store: the state that an agent keeps between runs.

The package imports this module late, because ``SessionStore`` is experimental and Agent Framework
warns about it once when it is used.
"""

from __future__ import annotations

from typing import Any, Literal, Unpack, get_args

from agent_framework import AgentSession, SessionStore

from botwire import ConflictError, NotJSONError
from botwire.classes import name_of
from botwire.connection import Connected, ConnectionOptions
from botwire.messages import Native, UnreadableItemError, read_native
from botwire.names import check_key, check_prefix
from botwire.off_loop import off_loop
from botwire.operations import check_choice, read_ttl
from botwire.tagged import from_json, to_json
from botwire_agent_framework.convert import FRAMEWORK

FORMAT = 1
"""``AgentSession.to_dict()``; types that JSON lacks are tagged (`botwire.tagged`)."""

OnConflict = Literal["reject", "overwrite"]

_READ_AT = "_botwire_read_at"


class BotWireSessionStore(Connected, SessionStore, framework="agent-framework", shows="_prefix"):
    """Agent Framework's ``SessionStore`` on BotWire, for its hosting and for your own.

    Any process can resume a session. If two requests of one session overlap, the second `set` is
    refused with a `ConflictError` instead of overwriting the first. Custom classes in a session's
    state are restored if they were registered with ``register_state_type``.

    Args:
        namespace: The namespace of the sessions. Defaults to the client's, then to
            ``BOTWIRE_NAMESPACE``, then to ``default``.
        ttl: Seconds after its last `set` when a session expires; None: never.
        prefix: The prefix of the keys.
        on_conflict: ``overwrite`` lets the last `set` win, as Agent Framework's own stores do.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    def __init__(
        self,
        namespace: str | None = None,
        *,
        ttl: float | None = None,
        prefix: str = "sessions",
        on_conflict: OnConflict = "reject",
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        check_choice(on_conflict, get_args(OnConflict), "on_conflict")
        super().__init__(namespace, **connection)
        self._ttl = read_ttl(ttl)
        self._prefix = check_prefix(prefix)
        self._on_conflict = on_conflict

    async def get(self, session_id: str) -> AgentSession | None:
        """Returns a session, None if there is none.

        Raises:
            UnreadableItemError: A newer version wrote the session, or its state cannot be read.
        """
        key = self._key(session_id)
        entry = await self.connection.async_memory.entry(key)
        if entry is None:
            return None
        try:
            data = read_native(entry.value, framework=FRAMEWORK, formats=(FORMAT,))
            session = await off_loop(_session, data)
        except (TypeError, KeyError, ValueError) as error:
            raise UnreadableItemError(f"session {session_id!r:.200}: {error}") from error
        setattr(session, _READ_AT, (key, entry.version))
        return session

    async def set(self, session_id: str, session: AgentSession) -> None:
        """Stores a session, replacing the version it was loaded from; a new one replaces any.

        Raises:
            ConflictError: The session was stored or deleted by others since it was read.
            NotJSONError: Its state holds something that cannot be restored; the error says where.
        """
        key = self._key(session_id)
        if type(session) is not AgentSession:
            raise NotJSONError(
                f"session is of type {name_of(type(session))}, which would come back as a plain "
                "AgentSession"
            )
        data = await off_loop(_data, session)
        # Agent Framework's hosting works on copies, which carry this attribute along.
        read_at: tuple[str, int] = getattr(session, _READ_AT, (key, -1))
        known = read_at[0] == key and read_at[1] >= 0 and self._on_conflict == "reject"
        try:
            version = await self.connection.async_memory.set(
                key,
                Native(FRAMEWORK, FORMAT, data).to_value(),
                ttl=self._ttl,
                if_version=read_at[1] if known else None,
            )
        except ConflictError as error:
            raise ConflictError(
                f"session {session_id!r:.200} was changed since it was read: read it again, or let "
                f"the last one win with on_conflict='overwrite' ({error})"
            ) from error
        setattr(session, _READ_AT, (key, version))

    async def delete(self, session_id: str) -> None:
        """Deletes a session, if there is one."""
        await self.connection.async_memory.delete(self._key(session_id))

    async def list_sessions(self) -> list[str]:
        """Returns the ids of all stored sessions."""
        prefix = f"{self._prefix}/"
        keys = await self.connection.async_memory.list_keys(prefix)
        return [key.removeprefix(prefix) for key in keys]

    def _key(self, session_id: str) -> str:
        SessionStore.validate_session_id(session_id)
        return check_key(f"{self._prefix}/{session_id}")


def _data(session: AgentSession) -> Any:
    return to_json(session.to_dict(), "session")


def _session(data: Any) -> AgentSession:
    return AgentSession.from_dict(from_json(data))
