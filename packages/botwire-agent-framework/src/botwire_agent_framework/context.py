"""Agent Framework's context provider: memories of earlier conversations."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal, Unpack, get_args
from urllib.parse import quote

from agent_framework import (
    AgentSession,
    ContextProvider,
    Message,
    SessionContext,
    SupportsAgentRun,
)

from botwire import AsyncRecords, ConfigurationError, Record
from botwire.arguments import check_seconds, check_type
from botwire.connection import Connected, ConnectionOptions
from botwire.embedders import Embedder, check_embedder, embed
from botwire.filters import compile_filter
from botwire.names import check_collection
from botwire.operations import check_choice, check_page
from botwire.splitting import awrite_records

logger = logging.getLogger("botwire.agent_framework")

Remember = Literal["inputs", "all", "nothing"]

User = str | Callable[[AgentSession], str]

PROMPT = "Consider what you remember from earlier conversations:"


class BotWireContextProvider(
    Connected, ContextProvider, framework="agent-framework", shows="source_id"
):
    """Agent Framework's context provider on BotWire, which recalls what was said before.

    Each session has its own memories, so no user is told what another one said. To share memories
    among a user's sessions, name the user: ``user=lambda session: session.state["user"]``, or a
    string if the namespace has only one user.

    Before a run, the agent gets the memories that match its input, by words and, with an
    `embedder`, by meaning. If they are fewer than `k`, the newest others follow. After a run, its
    input is stored. Recalled memories are not part of the stored conversation.

    Args:
        namespace: The namespace of the memories. Defaults to the client's, then to
            ``BOTWIRE_NAMESPACE``, then to ``default``.
        source_id: The provider's name within an agent.
        name: The collection of records that holds the memories.
        user: A function that returns the user's id for a session, or a string that is the user of
            all sessions. None: each session has memories of its own.
        k: Maximum number of memories that an agent gets, up to 1,000.
        remember: What to store after a run: ``inputs`` for the user's input, ``all`` for the
            answers too, or ``nothing`` for only what `add` is given.
        filter: A filter on the metadata, with the operators of `botwire.filters`. Memories of a run
            have ``role``, ``session_id`` and ``author_name``.
        embedder: Returns a vector for each text, awaited or not. Needs the extra ``vector``.
        prompt: The text before the memories.
        recall_timeout: Seconds that a run waits for its memories.
        strict: Whether a run fails, instead of logging a warning, if its memories cannot be read.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    def __init__(
        self,
        namespace: str | None = None,
        *,
        source_id: str = "botwire_memory",
        name: str = "memories",
        user: User | None = None,
        k: int = 10,
        remember: Remember = "inputs",
        filter: Mapping[str, Any] | None = None,  # noqa: A002 - the field's own name
        embedder: Embedder | None = None,
        prompt: str = PROMPT,
        recall_timeout: float = 2.0,
        strict: bool = False,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        ContextProvider.__init__(self, source_id)
        check_page(k, "k")  # as many as a search returns at once
        check_choice(remember, get_args(Remember), "remember")
        check_seconds(recall_timeout, "recall_timeout")
        check_embedder(embedder)
        check_type(prompt, str, "prompt")
        if filter is not None:
            compile_filter(filter)
        super().__init__(namespace, **connection)
        self._name = check_collection(name)
        self._user = user
        if user is not None and not callable(user):
            _scope_of(user)
        self._k = k
        self._remember = remember
        self._filter = filter
        self._embedder = embedder
        self._prompt = prompt
        self._recall_timeout = recall_timeout
        self._strict = strict

    @property
    def _records(self) -> AsyncRecords:
        return self.connection.async_memory.records(self._name)

    async def add(
        self, text: str, metadata: Mapping[str, Any] | None = None, *, user: str | None = None
    ) -> None:
        """Stores a memory.

        Args:
            text: The text to remember.
            metadata: A JSON object, for `filter`.
            user: The id of the user who owns the memory, or of the session if the provider has no
                users. Not needed if the provider has a single user.

        Raises:
            ConfigurationError: The owner of the memory is unknown.
            NotJSONError: JSON cannot hold the metadata; the error says where.
        """
        scope = self._scope_of_user(user)
        await self._put([Record(text, metadata=dict(metadata or {}), scope=scope)])

    async def before_run(
        self,
        *,
        agent: SupportsAgentRun,
        session: AgentSession,
        context: SessionContext,
        state: dict[str, Any],
    ) -> None:
        """Adds the memories that are not already in the conversation to a run."""
        question = " ".join(one.text for one in context.input_messages if one.role == "user")
        scope = self._scope_of_session(session)
        try:
            async with asyncio.timeout(self._recall_timeout):
                found = await self._recall(question, scope)
        except Exception as error:
            if self._strict:
                raise
            # Catches every error, even an embedder's: a run matters more than its memories.
            logger.warning("a run continues without what %r holds: %r", self, error)
            return
        said = {one.text for one in context.get_messages(include_input=True)}
        told = [record for record in found if record.text not in said]
        if told:
            lines = [self._prompt, *(f"- {record.text}" for record in told)]
            sessions = [str(one.metadata.get("session_id") or "") for one in told]
            context.extend_messages(
                self,
                [Message("user", ["\n".join(lines)])],
                origin_session_ids=[one for one in sessions if one and one != context.session_id],
            )

    async def after_run(
        self,
        *,
        agent: SupportsAgentRun,
        session: AgentSession,
        context: SessionContext,
        state: dict[str, Any],
    ) -> None:
        """Stores a run's input, and its answers if `remember` is ``all``."""
        if self._remember == "nothing":
            return
        scope = self._scope_of_session(session)
        messages = [one for one in context.input_messages if one.role == "user"]
        if self._remember == "all" and context.response is not None:
            messages += [one for one in context.response.messages if one.role == "assistant"]
        await self._put(
            [
                Record(
                    one.text,
                    scope=scope,
                    metadata={
                        "role": one.role,
                        "session_id": context.session_id,
                        "author_name": one.author_name,
                    },
                )
                for one in messages
                if one.text.strip()
            ]
        )

    async def clear(self, *, user: str | None = None) -> None:
        """Deletes the memories of a user, or all memories if no user is given."""
        if user is None:
            await self._records.clear()
        else:
            await self._records.delete(scope=_scope_of(user))

    def _scope_of_session(self, session: AgentSession) -> str:
        user = self._user(session) if callable(self._user) else self._user
        return _scope_of(session.session_id if user is None else user)

    def _scope_of_user(self, user: str | None) -> str:
        if user is None:
            user = None if callable(self._user) else self._user
        if user is None:
            raise ConfigurationError("whose memory is this? Call add(…, user=…)")
        return _scope_of(user)

    async def _recall(self, question: str, scope: str) -> list[Record]:
        vector = None
        if self._embedder is not None and question.strip():
            vector = await embed(self._embedder, question)
        return await self._records.recall(
            question, vector=vector, filter=self._filter, scope=scope, limit=self._k
        )

    async def _put(self, records: list[Record]) -> None:
        if self._embedder is not None:
            for i, record in enumerate(records):
                vector = await embed(self._embedder, record.text)
                records[i] = replace(record, embedding=vector)
        await awrite_records(records, self._records.put)


def _scope_of(user: object) -> str:
    """Returns the scope of a user's memories; the id may contain any character, even slashes."""
    if not isinstance(user, str) or not user:
        raise ConfigurationError(f"a user id must be a non-empty string, not {user!r:.80}")
    return "/users/" + quote(user, safe="", errors="surrogatepass")
