"""Sessions: an agent's messages and state, stored as they come."""

from __future__ import annotations

from typing import Any, Unpack

from strands.agent.conversation_manager import SlidingWindowConversationManager
from strands.hooks import BeforeInvocationEvent, HookRegistry
from strands.multiagent.base import MultiAgentBase
from strands.session import RepositorySessionManager
from strands.types.agent import LocalAgent
from strands.types.content import Message
from strands.types.exceptions import SessionException
from strands.types.session import Session, SessionAgent, SessionMessage

from botwire import BotWireError, ConfigurationError, ConflictError
from botwire.connection import ConnectionOptions
from botwire.names import check_history
from botwire_strands.acting import running
from botwire_strands.convert import from_items, has_calls, has_results, is_question, paired
from botwire_strands.listing import AGENTS
from botwire_strands.repository import Repository


class BotWireSessionManager(Repository, RepositorySessionManager, shows="session_id"):
    """A Strands session on BotWire: ``Agent(session_manager=BotWireSessionManager("user-42"))``.

    Messages are appended to the agent's history, which numbers them, so two processes never
    overwrite each other's. The history of the agent ``default`` has the session's name, so another
    framework's adapter continues it under that name.

    If two requests to one agent overlap, one is refused with a `ConflictError`. It leaves nothing
    behind, so it can be run again; but what its tools returned is kept, with its prompt.

    Args:
        session_id: The name of the session.
        namespace: The namespace of the sessions. Defaults to the client's, then to
            ``BOTWIRE_NAMESPACE``, then to ``default``.
        ttl: Seconds after its last message when the session expires; None: never. The next message
            starts it afresh. Each agent of a session has messages that expire by themselves.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    def __init__(
        self,
        session_id: str,
        *,
        namespace: str | None = None,
        ttl: float | None = None,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        if check_history(session_id).startswith(f"{AGENTS}/"):
            raise ConfigurationError(f"a session's name cannot begin with {AGENTS}/")
        super().__init__(namespace, ttl=ttl, **connection)
        # By agent: the prompts of its request, by their items' numbers, until they are answered.
        self._asked: dict[str, dict[int, Message]] = {}
        self._begun: list[SessionMessage] = []  # by another framework, before there was an agent
        self._opening = True
        RepositorySessionManager.__init__(self, session_id, session_repository=self)
        self._opening = False

    def register_hooks(self, registry: HookRegistry, **kwargs: Any) -> None:
        """Registers what stores an agent's messages and state; Strands calls it."""

        def begin(event: BeforeInvocationEvent) -> None:
            self._asked.pop(event.agent.agent_id, None)

        registry.add_callback(BeforeInvocationEvent, begin)
        super().register_hooks(registry, **kwargs)

    def initialize(self, agent: LocalAgent, **kwargs: Any) -> None:
        """Gives a new agent object the messages and the state of its session.

        A conversation that another framework began under this name is continued.
        """
        self._listed, self._begun = 0, []
        super().initialize(agent, **kwargs)
        self._align(agent)
        name = self._history(self.session_id, agent.agent_id).name
        self._seen[name] = max(self._seen.get(name, 0), self._listed)
        if self._begun:
            messages = [*(one.to_message() for one in self._begun), *agent.messages]
            agent.messages = self._fix_broken_tool_use(messages)

    def _align(self, agent: LocalAgent) -> None:
        """Makes a restored window begin with a prompt, as model services demand.

        Strands stores how many messages are hidden. That number can be wrong if several agent
        objects continued the session and one of them was broken off in a tool.
        """
        manager = getattr(agent, "conversation_manager", None)
        if not isinstance(manager, SlidingWindowConversationManager):
            return
        if not (manager.removed_message_count and agent.messages) or is_question(agent.messages[0]):
            return
        stored = self.list_messages(self.session_id, agent.agent_id)
        hidden = start = min(manager.removed_message_count, len(stored) - 1)
        while start and not is_question(stored[start].to_message()):
            start -= 1
        if has_calls(agent.messages[0]) and start < hidden - 1:
            return  # Strands may cut a long turn between its calls
        manager.removed_message_count = start
        agent.messages = self._fix_broken_tool_use([one.to_message() for one in stored[start:]])

    def append_message(self, message: Message, agent: LocalAgent, **kwargs: Any) -> None:
        """Stores a message.

        A prompt may come at any time; what others said since is shown to the model first. An answer
        must follow what its model was shown.

        Raises:
            ConflictError: Another request has spoken since. What tools returned is stored all the
                same.
        """
        name = self._history(self.session_id, agent.agent_id).name
        shown = self._seen.get(name, 0)
        with running(agent):
            try:
                super().append_message(message, agent, **kwargs)
            except ConflictError as error:
                self._withdraw(agent, message, error)
                raise
            if is_question(message):
                self._asked.setdefault(agent.agent_id, {})[self._seen[name]] = message
                self._catch_up(agent, message, shown)
            else:
                self._asked.pop(agent.agent_id, None)
            if self.ttl is not None:
                self._touch(self.session)
                self.update_agent(self.session_id, SessionAgent.from_agent(agent))

    def _catch_up(self, agent: LocalAgent, prompt: Message, shown: int) -> None:
        """Puts before a prompt what others have stored since the agent's model was shown anything.

        Args:
            agent: The agent.
            prompt: The last of its messages.
            shown: The last item that its model was shown before.
        """
        history = self._history(self.session_id, agent.agent_id)
        asked = self._seen[history.name]
        if asked > shown + 1:
            items = history.read(shown, limit=asked - shown)
            others = from_items(item for item in items if item.seq < asked)
            missed = [one.to_message() for one in others]
            here = next((i for i, one in enumerate(agent.messages) if one is prompt), None)
            agent.messages[:here] = paired([*agent.messages[:here], *missed])

    def _withdraw(self, agent: LocalAgent, refused: Message, error: ConflictError) -> None:
        """Leaves nothing of a request that is refused, unless its tools have returned anything."""
        asked = self._asked.pop(agent.agent_id, {})
        if has_results(refused):
            return
        gone = [refused, *asked.values()]
        agent.messages[:] = [m for m in agent.messages if not any(m is one for one in gone)]
        try:
            with self._memory.transaction() as tx:
                tx.history(self._history(self.session_id, agent.agent_id).name).delete_many(asked)
        except BotWireError as failed:
            error.add_note(f"its prompt is still in the session: {failed}")

    def _fix_broken_tool_use(self, messages: list[Message]) -> list[Message]:
        # Results that stand elsewhere are moved to their calls first, which would be lost here.
        # Calls at the end stay open: their tools run when a person has answered, or the agent
        # stores an answer before its next prompt.
        open_end = [one for one in messages[-1:] if has_calls(one)]
        whole = paired(messages[: len(messages) - len(open_end)])
        return super()._fix_broken_tool_use([*whole, *open_end])

    def create_session(self, session: Session, **kwargs: Any) -> Session:
        """Stores a new session.

        Raises:
            SessionException: It exists. Two processes may open a new one at the same time.
        """
        try:
            return super().create_session(session, **kwargs)
        except SessionException:
            if not self._opening:
                raise
            return session

    def create_agent(self, session_id: str, session_agent: SessionAgent, **kwargs: Any) -> None:
        """Stores a new agent of a session, unless another process has just done so."""
        super().create_agent(session_id, session_agent, **kwargs)
        self._begun = self.list_messages(session_id, session_agent.agent_id)

    def create_multi_agent(
        self, session_id: str, multi_agent: MultiAgentBase, **kwargs: Any
    ) -> None:
        """Stores the state of a graph or swarm."""
        super().create_multi_agent(session_id, multi_agent, **kwargs)
        self._touch(self.session)
