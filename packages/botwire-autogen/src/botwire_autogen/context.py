"""AutoGen's model context: the conversation that a model is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self, Unpack, get_args

from autogen_core import Component, ComponentModel
from autogen_core.model_context import ChatCompletionContext
from autogen_core.models import (
    AssistantMessage,
    ChatCompletionClient,
    FunctionExecutionResultMessage,
    LLMMessage,
    UserMessage,
)
from pydantic import BaseModel, TypeAdapter, ValidationError

from botwire import ConfigurationError, Item
from botwire.arguments import check_mapping, check_type
from botwire.client.encoding import encode_each
from botwire.connection import Connected, ConnectionOptions
from botwire.names import check_history
from botwire.off_loop import off_loop
from botwire.operations import check_count
from botwire_autogen.acting import acting
from botwire_autogen.conversation import Conversation, Reference
from botwire_autogen.llm_messages import (
    from_items,
    paired,
    paired_head,
    to_item,
)

DEFAULT_NAME = "context"
"""The history of a context without a name."""

STATE = "botwire_context"
"""The field of a saved state that says where the messages are."""

_KINDS: tuple[type[LLMMessage], ...] = get_args(get_args(LLMMessage)[0])
_MESSAGE = "a message of autogen_core"
_MESSAGES: TypeAdapter[list[LLMMessage]] = TypeAdapter(list[LLMMessage])


class BotWireChatCompletionContextConfig(BaseModel):
    """The configuration of a `BotWireChatCompletionContext` in a component, without secrets.

    A model client decides what its own component holds.
    """

    namespace: str
    url: str | None = None
    name: str | None = None
    buffer_size: int | None = None
    head_size: int | None = None
    token_limit: int | None = None
    model_client: ComponentModel | None = None
    initial_messages: list[LLMMessage] | None = None


class BotWireChatCompletionContext(
    Connected,
    ChatCompletionContext,
    Component[BotWireChatCompletionContextConfig],
    framework="autogen",
    acting=acting,
    shows="name",
):
    """An AutoGen model context whose messages are a history of BotWire.

    Pass it as ``AssistantAgent(model_context=…)``. Each message is stored when it is added, and
    none is deleted. A model is shown all messages (the default), the last `buffer_size`, the first
    `head_size` and the last `buffer_size`, or the last that fit into `token_limit`. Only messages
    that are shown are read (for tokens, pages of 200). No view shows a tool call without its answer
    or an answer without its call: a call whose process ended is closed by a message that says so.

    If two requests run at once, one is refused: a model's answer is stored only if nothing else was
    written since the model was shown the conversation. Otherwise `add_message` raises
    `ConflictError`.

    A context loaded from a component's dump has the conversation of the same name, in any process.
    To run a copy that starts afresh, give it another name.

    A saved state is a reference to the messages and to the last one of them. `clear` and
    `load_state` archive messages instead of deleting them.

    Args:
        namespace: The namespace of the conversation.
        name: The history that holds the messages, one per agent and conversation. Defaults to
            ``context``, which only one agent may use.
        buffer_size: Number of last messages to show.
        head_size: Number of first messages to show before them; a message says how many are
            skipped. Needs `buffer_size`.
        token_limit: Maximum number of tokens of the messages shown.
        model_client: Counts the tokens of each message.
        initial_messages: The first messages of a new history.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    component_config_schema = BotWireChatCompletionContextConfig
    component_provider_override = "botwire_autogen.BotWireChatCompletionContext"

    def __init__(
        self,
        namespace: str,
        *,
        name: str | None = None,
        buffer_size: int | None = None,
        head_size: int | None = None,
        token_limit: int | None = None,
        model_client: ChatCompletionClient | None = None,
        initial_messages: Sequence[LLMMessage] | None = None,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        first = encode_each(
            initial_messages or (), _KINDS, "initial_messages", "messages", wanted=_MESSAGE
        )
        ChatCompletionContext.__init__(self, list(first) or None)
        sizes = {"buffer_size": buffer_size, "head_size": head_size, "token_limit": token_limit}
        for argument, size in sizes.items():
            if size is not None:
                check_count(size, argument, least=1)
        if head_size is not None and buffer_size is None:
            raise ConfigurationError("head_size needs buffer_size, the size of the tail")
        if token_limit is not None and buffer_size is not None:
            raise ConfigurationError("pass buffer_size or token_limit, not both")
        if (token_limit is None) != (model_client is None):
            raise ConfigurationError("token_limit needs model_client, which counts the tokens")
        super().__init__(namespace, **connection)
        self._name = name
        self._conversation = Conversation(
            self.connection, check_history(DEFAULT_NAME if name is None else name)
        )
        self._buffer_size = buffer_size
        self._head_size = head_size
        self._token_limit = token_limit
        self._model_client = model_client
        self._begun = not first
        self._agent: str | None = None  # the agent known to own this conversation

    @property
    def name(self) -> str:
        """The history that holds the messages."""
        return self._conversation.name

    @property
    def initial_messages(self) -> Sequence[LLMMessage]:
        """The messages that a new history begins with."""
        return self._initial_messages or []

    async def add_message(self, message: LLMMessage) -> None:
        """Appends a message.

        Raises:
            ConflictError: Since the answering model was shown the conversation, another process
                wrote to it or loaded another state of it.
            ConfigurationError: Another agent writes to the same context without a name, or it is
                not a message.
        """
        check_type(message, _KINDS, "message", _MESSAGE)
        await self._begin()
        item = await off_loop(to_item, message)
        if isinstance(message, FunctionExecutionResultMessage):
            seq = await self._conversation.add(item, repr(self), answers=True, keep=True)
            self._conversation.answerer.saw(seq)
        elif isinstance(message, AssistantMessage):
            await self._add_answer(message, item)
        else:  # a new turn begins
            self._conversation.answerer.saw(await self._conversation.add(item, repr(self)))

    async def _add_answer(self, message: AssistantMessage, item: Any) -> None:
        said = isinstance(message.content, str)
        if said:  # a handoff brings the calls of other agents, but not their words
            await self._check_agent(message.source)
        agent = message.source
        seq = await self._conversation.add(item, repr(self), agent=agent, answers=True)
        self._conversation.answerer.saw(None if said else seq)

    async def _check_agent(self, agent: str) -> None:
        """Raises `ConfigurationError` if several agents use the default name."""
        if self._name is not None or self._agent == agent:
            return
        owner = await self._conversation.claim(agent)
        if owner != agent:
            raise ConfigurationError(
                f"the agents {owner!r} and {agent!r} both write to the context without a name of "
                f"the namespace {self.connection.namespace!r}: give each a name=, or both "
                f"name={self.name!r} to share one conversation"
            )
        self._agent = agent

    async def get_messages(self) -> list[LLMMessage]:
        """Returns the messages that a model is shown, oldest first."""
        await self._begin()
        last = await self._conversation.last_seq()
        if self._token_limit is not None:
            items, messages = await self._within(self._token_limit)
            messages = paired(messages)
        elif self._buffer_size is None:
            items = await self._conversation.history.read()
            messages = paired(await off_loop(from_items, items))
        elif self._head_size is None:
            items = await self._conversation.history.read_last(self._buffer_size)
            messages = paired(await off_loop(from_items, items))
        else:
            items, messages = await self._head_and_tail(self._head_size, self._buffer_size)
        self._conversation.answerer.shown(items, last)
        return messages

    async def _head_and_tail(
        self, head_size: int, tail_size: int
    ) -> tuple[list[Item], list[LLMMessage]]:
        skipped = await self._conversation.history.count() - head_size - tail_size
        if skipped <= 0:
            items = await self._conversation.history.read()
            return items, paired(await off_loop(from_items, items))
        head = paired_head(
            await off_loop(from_items, await self._conversation.history.read(limit=head_size))
        )
        items = await self._conversation.history.read_last(tail_size)
        tail = paired(await off_loop(from_items, items))
        gap = UserMessage(content=f"Skipped {skipped} messages.", source="System")
        return items, [*head, gap, *tail]

    async def _within(self, limit: int) -> tuple[list[Item], list[LLMMessage]]:
        """Returns the newest messages within the token limit, and the last item."""
        assert self._model_client is not None  # the constructor requires it
        newest: list[Item] = []
        found: list[LLMMessage] = []
        async for item in self._conversation.history.newest_first():
            newest = newest or [item]
            for message in await off_loop(from_items, [item]):
                limit -= self._model_client.count_tokens([message])
                if limit < 0:
                    return newest, found[::-1]
                found.append(message)
        return newest, found[::-1]

    async def clear(self) -> None:
        """Shows no message from now on, until a state is loaded; nothing else changes.

        The messages are archived. ``memory.history(name).clear()`` of BotWire deletes them.
        """
        self._begun = True  # as in AutoGen's own contexts, initial messages do not come back
        await self._conversation.clear()

    async def save_state(self) -> Mapping[str, Any]:
        """Returns a JSON reference to the current messages, without the messages themselves."""
        await self._begin()
        return {STATE: (await self._conversation.save()).to_value()}

    async def load_state(self, state: Mapping[str, Any]) -> None:
        """Shows what the context showed when a state was saved.

        What came later is archived, so a newer state can be loaded afterwards. A state of another
        context of the namespace is copied, and a state of AutoGen's own contexts is taken too.
        An object that saved or loaded a state before gets a `ConflictError` when it next writes.

        Raises:
            ConfigurationError: It is no state, the state is of another namespace, or its messages
                were deleted.
            ConflictError: Another process wrote in the meantime.
        """
        if STATE in check_mapping(state, "state"):
            await self._conversation.load(Reference.read(state[STATE]))
        else:
            items = await off_loop(_items_of, state)
            await self._conversation.show(items)
        self._begun = True

    async def _begin(self) -> None:
        """Stores the initial messages of a history that never had any."""
        if not self._begun:
            items = [await off_loop(to_item, m) for m in self._initial_messages or ()]
            await self._conversation.begin(items)
            self._begun = True

    def _to_config(self) -> BotWireChatCompletionContextConfig:
        reference = self.connection.reference()
        return BotWireChatCompletionContextConfig(
            namespace=reference["namespace"],
            url=reference.get("url"),
            name=self._name,
            buffer_size=self._buffer_size,
            head_size=self._head_size,
            token_limit=self._token_limit,
            model_client=self._model_client.dump_component() if self._model_client else None,
            initial_messages=self._initial_messages,
        )

    @classmethod
    def _from_config(cls, config: BotWireChatCompletionContextConfig) -> Self:
        counter = config.model_client
        return cls(
            config.namespace,
            url=config.url,
            name=config.name,
            buffer_size=config.buffer_size,
            head_size=config.head_size,
            token_limit=config.token_limit,
            model_client=ChatCompletionClient.load_component(counter) if counter else None,
            initial_messages=config.initial_messages,
        )


def _items_of(state: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the messages in a state of AutoGen's own contexts, as items."""
    if "messages" not in state:
        raise ConfigurationError(
            f"state must be what save_state of a context returned: it has neither {STATE!r} nor "
            "'messages'"
        )
    try:
        messages = _MESSAGES.validate_python(state["messages"])
    except ValidationError as error:
        raise ConfigurationError(f"state['messages'] is no list of messages: {error}") from error
    return [to_item(message) for message in messages]
