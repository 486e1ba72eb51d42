"""The conversation that a model is shown, kept as it grows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Self

from autogen_core import Component, ComponentModel
from autogen_core.model_context import ChatCompletionContext
from autogen_core.models import ChatCompletionClient, LLMMessage, UserMessage
from pydantic import BaseModel, TypeAdapter

import botwire
from botwire import AsyncHistory, AsyncMemory, ConfigurationError, ConflictError
from botwire.connection import Connection
from botwire.names import check_history
from botwire_autogen.llm_messages import from_values, paired, paired_head, to_item

STATE = "botwire_context"
"""The field of a saved state that says where the messages are."""

_MESSAGES: TypeAdapter[list[LLMMessage]] = TypeAdapter(list[LLMMessage])


class BotWireChatCompletionContextConfig(BaseModel):
    """How a `BotWireChatCompletionContext` is described in a component; it holds no secret.

    What a model client puts into its own component is its own doing.
    """

    namespace: str
    url: str | None = None
    name: str = "context"
    buffer_size: int | None = None
    head_size: int | None = None
    token_limit: int | None = None
    model_client: ComponentModel | None = None
    initial_messages: list[LLMMessage] | None = None


class BotWireChatCompletionContext(
    ChatCompletionContext, Component[BotWireChatCompletionContextConfig]
):
    """An AutoGen model context whose messages are a history of BotWire.

    Pass it as ``AssistantAgent(model_context=…)``. Each message is stored when it is added. All
    of them stay; what a model is shown is all (the default), the last `buffer_size`, the first
    `head_size` and the last `buffer_size`, or the last that fit into `token_limit`. Only what is
    shown is read (for tokens, pages of 200). No view shows a tool's call without its answer, or an
    answer without its call: a call whose process ended is closed, by a message that says so.

    A saved state is a reference: where the messages are, and up to which. Once a state was saved
    or loaded, another writer is noticed: `add_message` raises `ConflictError`.

    Args:
        namespace: Whose conversation.
        client: A `Memory` or `AsyncMemory` of BotWire to use.
        url: Where memory lives, as for BotWire's `Memory`.
        api_key: For a server; never part of a component's dump.
        name: The history that holds the messages, one for each agent and conversation.
        buffer_size: Show the last so many messages.
        head_size: With `buffer_size`: show the first so many too, and say how many are skipped.
        token_limit: Show the last messages that together have at most so many tokens.
        model_client: Counts tokens, message by message.
        initial_messages: What a new history begins with.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    component_config_schema = BotWireChatCompletionContextConfig
    component_provider_override = "botwire_autogen.BotWireChatCompletionContext"

    def __init__(
        self,
        namespace: str,
        *,
        client: botwire.Memory | AsyncMemory | None = None,
        url: str | None = None,
        api_key: str | None = None,
        name: str = "context",
        buffer_size: int | None = None,
        head_size: int | None = None,
        token_limit: int | None = None,
        model_client: ChatCompletionClient | None = None,
        initial_messages: Sequence[LLMMessage] | None = None,
    ) -> None:
        super().__init__(list(initial_messages) if initial_messages else None)
        sizes = {"buffer_size": buffer_size, "head_size": head_size, "token_limit": token_limit}
        for argument, size in sizes.items():
            if size is not None and size < 1:
                raise ConfigurationError(f"{argument} is at least 1, not {size}")
        if head_size is not None and buffer_size is None:
            raise ConfigurationError("head_size needs buffer_size, the size of the tail")
        if token_limit is not None and buffer_size is not None:
            raise ConfigurationError("a view has a buffer_size or a token_limit, not both")
        if (token_limit is None) != (model_client is None):
            raise ConfigurationError("token_limit and model_client, which counts, go together")
        self.connection = Connection(namespace, client=client, url=url, api_key=api_key)
        self._name = check_history(name)
        self._buffer_size = buffer_size
        self._head_size = head_size
        self._token_limit = token_limit
        self._model_client = model_client
        self._begun = not initial_messages
        self._last: int | None = None  # where a saved or loaded state ends; None: nobody asked

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.connection.namespace!r}, name={self._name!r})"

    @property
    def name(self) -> str:
        """The history that holds the messages."""
        return self._name

    @property
    def _history(self) -> AsyncHistory:
        return self.connection.async_memory.history(self._name)

    async def add_message(self, message: LLMMessage) -> None:
        """Stores a message at the end.

        Raises:
            ConflictError: Someone else wrote since a state was saved or loaded here.
        """
        await self._begin()
        seqs = await self._history.extend([to_item(message)], if_last=self._last)
        if self._last is not None:
            self._last = seqs[-1]

    async def get_messages(self) -> list[LLMMessage]:
        """Returns the messages that a model is shown, oldest first."""
        await self._begin()
        if self._token_limit is not None:
            return paired([m async for m in self._within(self._token_limit)][::-1])
        if self._buffer_size is None:
            return paired(from_values(item.value for item in await self._history.read()))
        if self._head_size is None:
            return paired(from_values(await self._history.tail(self._buffer_size)))
        return await self._head_and_tail(self._head_size, self._buffer_size)

    async def _head_and_tail(self, head_size: int, tail_size: int) -> list[LLMMessage]:
        skipped = await self._history.count() - head_size - tail_size
        if skipped <= 0:
            return paired(from_values(item.value for item in await self._history.read()))
        items = await self._history.read(limit=head_size)
        head = paired_head(from_values(item.value for item in items))
        tail = paired(from_values(await self._history.tail(tail_size)))
        return [*head, UserMessage(content=f"Skipped {skipped} messages.", source="System"), *tail]

    async def _within(self, limit: int) -> AsyncIterator[LLMMessage]:
        """Yields the newest messages that have at most so many tokens, the last first."""
        assert self._model_client is not None  # the constructor asks for it
        async for item in self._history.newest_first():
            for message in from_values([item.value]):
                limit -= self._model_client.count_tokens([message])
                if limit < 0:
                    return
                yield message

    async def clear(self) -> None:
        """Deletes the messages, and nothing else of the namespace."""
        self._begun = True  # as AutoGen's own contexts: initial messages do not come back
        await self._history.clear()
        if self._last is not None:
            self._last = (await self._history.info()).last_seq

    async def save_state(self) -> Mapping[str, Any]:
        """Returns a reference to the messages there are now; it is JSON, and holds none."""
        await self._begin()
        info = await self._history.info()
        self._last = info.last_seq
        return {STATE: {**self._place(), "last": info.last_seq, "count": info.count}}

    async def load_state(self, state: Mapping[str, Any]) -> None:
        """Makes the context what it was when a state was saved: what came later is deleted.

        A state of AutoGen's own contexts is taken too: its messages then are in the place of all.
        Whoever wrote to this context until now gets a `ConflictError` from its next message.

        Raises:
            ConfigurationError: The state is of another context, or messages of it are gone.
            ConflictError: Someone else wrote in the meantime.
        """
        self._begun = True
        if STATE not in state:
            info = await self._history.info()
            messages = _MESSAGES.validate_python(state["messages"])
            await self._history.replace(map(to_item, messages), if_last=info.last_seq)
            self._last = (await self._history.info()).last_seq
            return
        reference = state[STATE]
        mine = self._place()
        if any(reference[part] != mine[part] for part in mine):
            theirs = {part: reference[part] for part in mine}
            raise ConfigurationError(f"the state is of the context {theirs}, and this is {mine}")
        info = await self._history.info()
        later = [item.seq for item in await self._history.read(after=reference["last"])]
        if info.count - len(later) != reference["count"]:
            raise ConfigurationError(
                f"the state is of {reference['count']} messages and {self!r} holds "
                f"{info.count - len(later)} of them: the others were deleted since"
            )
        marker = info.last_seq + 1
        async with self.connection.async_memory.transaction() as tx:
            # An item that comes and goes: sequence numbers are not reused, so whoever still
            # believes to be the writer finds that the last one is another.
            tx.history(self._name).extend([None], if_last=info.last_seq)
            for seq in [*later, marker]:
                tx.history(self._name).delete(seq)
        self._last = marker

    async def _begin(self) -> None:
        """Stores the initial messages of a history that never had any."""
        if self._begun:
            return
        with suppress(ConflictError):  # it has begun, here or in another process
            await self._history.extend(map(to_item, self._initial_messages or ()), if_last=0)
        self._begun = True

    def _place(self) -> dict[str, str]:
        return {"namespace": self.connection.namespace, "name": self._name}

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
