"""Haystack: a `ChatMessageStore` on BotWire, for `ChatMessageRetriever` and `ChatMessageWriter`.

Other frameworks' adapters continue a conversation under its `chat_history_id`, and this store
continues theirs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from haystack import Pipeline
from haystack.dataclasses import ChatMessage, ChatRole
from haystack_experimental.components.retrievers import ChatMessageRetriever
from haystack_experimental.components.writers import ChatMessageWriter

from botwire import Item, Memory
from botwire.messages import Message, Native, ToolCall, read_items
from scripted.haystack import ScriptedGenerator


class BotWireChatMessageStore:
    """Chat messages that outlive their process and are shared by any number of them.

    Args:
        namespace: Whose conversations. `delete_all_messages` deletes all of them.
        last_k: How many rounds a retriever gets that does not say how many it wants.
    """

    def __init__(self, namespace: str = "default", last_k: int | None = 10) -> None:
        self.namespace = namespace
        self.last_k = last_k
        self._memory = Memory(namespace)

    def to_dict(self) -> dict[str, Any]:
        """Returns what a pipeline's YAML holds; where memory lives stays in ``BOTWIRE_URL``."""
        parameters = {"namespace": self.namespace, "last_k": self.last_k}
        return {"type": f"{__name__}.{type(self).__name__}", "init_parameters": parameters}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> BotWireChatMessageStore:
        """Returns the store that `to_dict` described."""
        return cls(**data["init_parameters"])

    def count_messages(self, chat_history_id: str) -> int:
        """Returns the number of messages of a conversation."""
        return self._memory.history(chat_history_id).count()

    def write_messages(self, chat_history_id: str, messages: list[ChatMessage]) -> int:
        """Appends messages in one step, system messages excepted; returns how many are new.

        A message whose ``meta["chat_message_id"]`` is stored already is skipped.
        """
        if any(not isinstance(message, ChatMessage) for message in messages):
            raise ValueError("Please provide a list of ChatMessages.")
        said = [message for message in messages if not message.is_from(ChatRole.SYSTEM)]
        history = self._memory.history(chat_history_id)
        last = history.info().last_seq
        ids = [message.meta.get("chat_message_id") for message in said]
        seqs = history.extend([_to_item(message) for message in said], ids=ids)
        return sum(seq > last for seq in seqs)

    def retrieve_messages(
        self, chat_history_id: str, last_k: int | None = None
    ) -> list[ChatMessage]:
        """Returns the last `last_k` rounds, each from a user's message to the next one."""
        rounds = self.last_k if last_k is None else last_k
        if rounds is not None and rounds < 0:
            raise ValueError("last_k must be 0 or greater")
        items: list[Item] = []
        if rounds != 0:
            for item in reversed(self._memory.history(chat_history_id)):
                items.append(item)
                rounds = rounds and rounds - (item.value.get("role") == "user")
                if rounds == 0:
                    break
        return _from_items(reversed(items))

    def delete_messages(self, chat_history_id: str) -> None:
        """Deletes a conversation."""
        self._memory.history(chat_history_id).clear()

    def delete_all_messages(self) -> None:
        """Deletes all conversations."""
        for info in self._memory.list_histories():
            self.delete_messages(info.name)


def _to_item(message: ChatMessage) -> dict[str, Any]:
    calls = [
        ToolCall.of(call.id or call.tool_name, call.tool_name, call.arguments)
        for call in message.tool_calls
    ]
    result = message.tool_call_result
    return Message(
        message.role.value,
        message.text or ("" if result is None else str(result.result)),
        tool_calls=calls,
        tool_call_id=None if result is None else result.origin.id or result.origin.tool_name,
        native=Native("haystack", 1, message.to_dict()),
    ).to_item()


def _from_items(items: Iterable[Item]) -> list[ChatMessage]:
    made = {"user": ChatMessage.from_user, "assistant": ChatMessage.from_assistant}
    found = read_items(
        items,
        framework="haystack",
        formats=(1,),
        from_native=lambda data: ChatMessage.from_dict(data.value),
        from_portable=lambda one: made[one.role](one.text) if one.role in made else None,
    )
    return [message for _, message in found if message is not None]


def main() -> None:
    """Answers each line of standard input, and remembers it."""
    store = BotWireChatMessageStore("haystack-pipeline")
    pipeline = Pipeline()
    pipeline.add_component("retriever", ChatMessageRetriever(store))
    pipeline.add_component("llm", ScriptedGenerator())  # your own generator goes here
    pipeline.connect("retriever.messages", "llm.messages")
    writer = ChatMessageWriter(store)
    for line in sys.stdin:
        asked = ChatMessage.from_user(line.strip())
        found = {"chat_history_id": "user-42", "current_messages": [asked]}
        (answer,) = pipeline.run({"retriever": found})["llm"]["replies"]
        writer.run(chat_history_id="user-42", messages=[asked, answer])
        print(answer.text, flush=True)


if __name__ == "__main__":
    main()
