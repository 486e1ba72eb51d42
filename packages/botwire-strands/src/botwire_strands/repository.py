"""The sessions, agents and messages of Strands, as keys and histories."""

from __future__ import annotations

from typing import Any, Unpack

from strands.multiagent.base import MultiAgentBase
from strands.session import SessionRepository
from strands.types.exceptions import SessionException
from strands.types.session import Session, SessionAgent, SessionMessage

from botwire import ConflictError, History, Memory
from botwire.arguments import check_type
from botwire.connection import Connected, ConnectionOptions
from botwire.deleting import delete_in_parts
from botwire.names import join_parts
from botwire.operations import check_count, read_ttl
from botwire.tagged import from_json, to_json
from botwire_strands.acting import current_run
from botwire_strands.convert import (
    from_items,
    has_results,
    is_placeholder,
    is_question,
    only_answers,
    to_items,
)
from botwire_strands.listing import AGENTS, SESSIONS

_AGENT = "default"  # the id that Strands gives an agent
_TEAMS = "strands-multi-agents"


class Repository(Connected, SessionRepository, framework="strands"):
    """A Strands `SessionRepository` on BotWire; `BotWireSessionManager` is one with its session.

    Args:
        namespace: The namespace of the sessions. Defaults to the client's, then to
            ``BOTWIRE_NAMESPACE``, then to ``default``.
        ttl: Seconds after the last write when a session, an agent and its messages expire; None:
            never.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    def __init__(
        self,
        namespace: str | None = None,
        *,
        ttl: float | None = None,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        super().__init__(namespace, **connection)
        self.ttl = read_ttl(ttl)
        self._seen: dict[str, int] = {}  # by agent: the last item that its model was shown
        self._listed = 0  # the last item that `list_messages` read

    def create_session(self, session: Session, **kwargs: Any) -> Session:
        """Stores a new session.

        Raises:
            SessionException: It exists.
        """
        check_type(session, Session, "session")
        if not self._create(join_parts(SESSIONS, session.session_id), session.to_dict()):
            raise SessionException(f"Session {session.session_id} already exists")
        return session

    def read_session(self, session_id: str, **kwargs: Any) -> Session | None:
        """Returns a session, or None if there is none."""
        found = self._memory.get(join_parts(SESSIONS, session_id))
        return None if found is None else Session.from_dict(found)

    def delete_session(self, session_id: str) -> None:
        """Deletes a session with its agents and their messages: thousands of them in several steps.

        Raises:
            SessionException: There is no such session.
        """
        session = join_parts(SESSIONS, session_id)
        if not self._memory.exists(session):
            raise SessionException(f"Session {session_id} does not exist")
        below = join_parts(AGENTS, session_id) + "/"
        names = [info.name for info in self._memory.list_histories(below)]
        teams = self._memory.list_keys(join_parts(_TEAMS, session_id) + "/")
        keys = [*self._memory.list_keys(below), *teams, session]
        delete_in_parts(self._memory, keys, histories=[session_id, *names])

    def create_agent(self, session_id: str, session_agent: SessionAgent, **kwargs: Any) -> None:
        """Stores a new agent of a session, unless another process has just done so."""
        check_type(session_agent, SessionAgent, "session_agent")
        key = join_parts(AGENTS, session_id, session_agent.agent_id)
        self._create(key, to_json(session_agent.to_dict(), "agent"))

    def read_agent(self, session_id: str, agent_id: str, **kwargs: Any) -> SessionAgent | None:
        """Returns an agent, or None if there is none."""
        found = self._memory.get(join_parts(AGENTS, session_id, agent_id))
        return None if found is None else SessionAgent.from_dict(from_json(found))

    def update_agent(self, session_id: str, session_agent: SessionAgent, **kwargs: Any) -> None:
        """Replaces the state of an agent.

        Raises:
            SessionException: There is no such agent.
        """
        check_type(session_agent, SessionAgent, "session_agent")
        before = self.read_agent(session_id, session_agent.agent_id)
        if before is not None:
            session_agent.created_at = before.created_at
        elif self.ttl is None:  # or it expired while its process waited
            raise SessionException(
                f"Agent {session_agent.agent_id} in session {session_id} does not exist"
            )
        key = join_parts(AGENTS, session_id, session_agent.agent_id)
        self._memory.set(key, to_json(session_agent.to_dict(), "agent"), ttl=self.ttl)

    def create_message(
        self, session_id: str, agent_id: str, session_message: SessionMessage, **kwargs: Any
    ) -> None:
        """Appends a message and gives it its number, whatever number it came with.

        Raises:
            ConflictError: It is an answer, and another request has spoken since.
            NotJSONError: JSON cannot hold it; the error says where.
        """
        check_type(session_message, SessionMessage, "session_message")
        history, said = self._history(session_id, agent_id), session_message.to_message()
        items = to_items(session_message)
        last = None if is_question(said) else self._seen.get(history.name)
        while True:
            try:
                seqs = history.extend(items, if_last=last)
            except ConflictError as error:
                assert last is not None  # or nothing was required
                others = history.read(after=last)
                if others and all(only_answers(item) for item in others):
                    last = others[-1].seq  # what another request's tools returned is no speech
                    continue
                if has_results(said):
                    seqs = history.extend(items)
                    if is_placeholder(said):
                        # Ends a call of a run that is over. The prompt follows, which shows the
                        # model what others said since, so what was seen last stays as it is.
                        session_message.message_id = seqs[-1] - 1
                        return
                raise ConflictError(
                    f"another request wrote to the session {session_id!r} in the meantime, so "
                    "this one was refused: run it again"
                ) from error
            self._seen[history.name] = seqs[-1]
            session_message.message_id = seqs[-1] - 1
            return

    def read_message(
        self, session_id: str, agent_id: str, message_id: int, **kwargs: Any
    ) -> SessionMessage | None:
        """Returns a message, or None if there is none with this number."""
        items = self._history(session_id, agent_id).read(after=message_id, limit=1)
        found = from_items(items)
        return found[0] if found and found[0].message_id == message_id else None

    def update_message(
        self, session_id: str, agent_id: str, session_message: SessionMessage, **kwargs: Any
    ) -> None:
        """Replaces a message where it stands, for other frameworks too.

        Raises:
            SessionException: There is no such message.
        """
        check_type(session_message, SessionMessage, "session_message")
        message_id = session_message.message_id
        before = self.read_message(session_id, agent_id, message_id)
        if before is None:
            raise SessionException(f"Message {message_id} does not exist")
        session_message.created_at = before.created_at
        old, items = len(to_items(before)), to_items(session_message)
        history = self._history(session_id, agent_id)
        first = message_id + 2 - old
        with self._memory.transaction() as tx:
            written = tx.history(history.name)
            if len(items) != old:  # the parts are gone, and the whole is in the last
                written.delete_many(range(first, message_id + 1))
                items, first = items[-1:], message_id + 1
            for seq, item in enumerate(items, first):
                written.update(seq, item)

    def list_messages(
        self,
        session_id: str,
        agent_id: str,
        limit: int | None = None,
        offset: int = 0,
        **kwargs: Any,
    ) -> list[SessionMessage]:
        """Returns the messages of an agent, oldest first."""
        check_count(offset, "offset")
        if limit is not None:
            check_count(limit, "limit")
        items = self._history(session_id, agent_id).read()
        self._listed = items[-1].seq if items else 0
        return from_items(items)[offset : None if limit is None else offset + limit]

    def create_multi_agent(
        self, session_id: str, multi_agent: MultiAgentBase, **kwargs: Any
    ) -> None:
        """Stores the state of a graph or swarm."""
        key = join_parts(_TEAMS, session_id, multi_agent.id)
        self._memory.set(key, to_json(multi_agent.serialize_state(), "state"), ttl=self.ttl)

    def read_multi_agent(
        self, session_id: str, multi_agent_id: str, **kwargs: Any
    ) -> dict[str, Any] | None:
        """Returns the state of a graph or swarm, or None if there is none."""
        found: dict[str, Any] | None = from_json(
            self._memory.get(join_parts(_TEAMS, session_id, multi_agent_id))
        )
        return found

    def update_multi_agent(
        self, session_id: str, multi_agent: MultiAgentBase, **kwargs: Any
    ) -> None:
        """Replaces the state of a graph or swarm.

        Raises:
            SessionException: There is no such state.
        """
        if self.read_multi_agent(session_id, multi_agent.id) is None:
            raise SessionException(
                f"MultiAgent state {multi_agent.id} in session {session_id} does not exist"
            )
        self.create_multi_agent(session_id, multi_agent)

    def _create(self, key: str, value: Any) -> bool:
        """Sets a key that does not exist; returns whether it did not."""
        try:
            self._memory.set(key, value, if_version=0, ttl=self.ttl)
        except ConflictError:
            return False
        return True

    def _touch(self, session: Session) -> None:
        """Restarts the time to live of a session."""
        if self.ttl is not None:
            key = join_parts(SESSIONS, session.session_id)
            self._memory.set(key, session.to_dict(), ttl=self.ttl)

    @property
    def _memory(self) -> Memory:
        return self.connection.memory

    def _history(self, session_id: str, agent_id: str) -> History:
        own = join_parts(AGENTS, session_id, agent_id)
        named = None if agent_id == _AGENT else agent_id
        memory = self.connection.during(agent=named, run=current_run.get()).memory
        return memory.history(session_id if agent_id == _AGENT else own, ttl=self.ttl)
