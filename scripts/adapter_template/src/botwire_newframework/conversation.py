"""A conversation stored on BotWire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from botwire import AsyncHistory
from botwire.answers import Answerer
from botwire.connection import Connected, ConnectionOptions
from botwire.names import check_history
from botwire.off_loop import off_loop
from botwire_newframework.convert import ChatMessage, from_items, is_question, paired, to_items


# REPLACE: derive from the framework's own interface, and use the names of its methods.
class BotWireConversation(Connected, framework="newframework", shows="name"):
    """The messages of one conversation.

    Args:
        name: The conversation. Adapters of other frameworks find it by the same name.
        namespace: The namespace. Defaults to the client's, then to ``BOTWIRE_NAMESPACE``, then to
            ``default``.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    def __init__(
        self,
        name: str,
        *,
        namespace: str | None = None,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        self.name = check_history(name)
        super().__init__(namespace, **connection)
        self._answerer = Answerer((self.connection.namespace, self.name))

    @property
    def _history(self) -> AsyncHistory:
        return self.connection.async_memory.history(self.name)

    async def messages(self) -> list[ChatMessage]:
        """Returns the messages to show a model: each tool call is followed by its answer.

        A call whose process ended is followed by an answer that says so. The stored messages do not
        change.
        """
        history = self._history
        last = await self._answerer.last_seq(history)
        items = await history.read()
        self._answerer.shown(items, last)
        return paired(await off_loop(from_items, items))

    async def add(self, messages: Sequence[ChatMessage]) -> None:
        """Appends messages, all or none.

        Raises:
            ConflictError: The messages are an answer, and another request has written since its
                model was shown the conversation. Tool results are stored anyway.
            NotJSONError: A message could not be read back; the error says which and where.
        """
        if not messages:
            return
        items = await off_loop(to_items, messages)
        history = self._history
        # A question may come at any time. An answer must follow what its model was shown.
        answerer = self._answerer
        asked = Answerer(answerer.conversation) if is_question(messages[0]) else answerer
        seqs = await asked.answer(
            history,
            lambda last: history.extend(items, if_last=last),
            where=f"the conversation {self.name!r}",
            keep=messages[0]["role"] == "tool",
        )
        self._answerer.wrote(seqs)

    async def clear(self) -> None:
        """Deletes the messages."""
        await self._history.clear()
