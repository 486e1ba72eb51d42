"""A process that speaks for one framework: it writes conversations and reads those of others.

``python -m tests.across.speakers.FRAMEWORK``, in that framework's environment, reads calls, each a
line of JSON: ``[METHOD, ARGUMENT…]``. It prints what each returned, as JSON on a line.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
import traceback
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from botwire import Item
from tests.items import stored_items

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)
PIXEL_URL = "data:image/png;base64," + base64.b64encode(PIXEL).decode()
SESSION = "session/1"


@dataclass(frozen=True)
class Said:
    """A message in neutral form: role, text, tool calls, or the call it answers."""

    role: str
    text: str
    calls: tuple[tuple[str, str, str], ...] = ()  # id, name, arguments as JSON
    answers: str | None = None

    @classmethod
    def of(cls, told: dict[str, Any]) -> Said:
        """Returns a message from its JSON."""
        return cls(**{**told, "calls": tuple(tuple(call) for call in told["calls"])})


def text(arguments: Any) -> str:
    """Returns the arguments of a call, always written the same way."""
    return json.dumps(arguments, sort_keys=True)


class Speaker(ABC):
    """Converts between neutral messages and those of one framework."""

    @abstractmethod
    def message(self, said: Said) -> Any:
        """Returns the framework's message."""

    @abstractmethod
    def said(self, message: Any) -> Said:
        """Returns a message in neutral form."""

    @abstractmethod
    def to_items(self, messages: Sequence[Any]) -> list[Any]:
        """Returns the values that the adapter stores."""

    @abstractmethod
    def from_items(self, items: Sequence[Item]) -> list[Any]:
        """Returns the messages that the adapter reads from stored values."""

    def picture(self) -> Any:
        """Returns a message with the text "look" and an image."""
        raise NotImplementedError

    def is_picture(self, message: Any) -> bool:
        """Returns whether a message equals `picture`."""
        return bool(message == self.picture())

    def session(self, namespace: str, url: str) -> Any:
        """Returns the framework's own object for a conversation."""
        raise NotImplementedError

    async def add(self, session: Any, message: Any) -> None:
        """Adds a message to a conversation, by the framework's own means."""
        raise NotImplementedError

    async def all(self, session: Any) -> Sequence[Any]:
        """Returns a conversation, by the framework's own means."""
        raise NotImplementedError

    # --- what others may call

    def write(self, told: list[Any]) -> list[Any]:
        """Returns the stored values of messages."""
        return self.to_items([self.message(Said.of(one)) for one in told])

    def read(self, values: list[Any]) -> list[Any]:
        """Returns the messages in stored values."""
        return [asdict(self.said(message)) for message in self.from_items(stored_items(values))]

    def write_picture(self) -> list[Any]:
        """Returns the stored values of `picture`."""
        return self.to_items([self.picture()])

    def read_pictures(self, values: list[Any]) -> list[str]:
        """Returns "the picture" for each message that is it, or the message's text."""
        return [
            "the picture" if self.is_picture(message) else self.said(message).text
            for message in self.from_items(stored_items(values))
        ]

    async def tell(self, namespace: str, url: str, told: Any) -> None:
        """Adds messages to the conversation of a namespace."""
        await self.add(_session(self, namespace, url), self.message(Said.of(told)))

    async def hear(self, namespace: str, url: str) -> list[Any]:
        """Returns the conversation of a namespace."""
        found = await self.all(_session(self, namespace, url))
        return [asdict(self.said(message)) for message in found]

    async def serve(self) -> None:
        """Answers calls until the input ends."""
        # Frameworks print too, so answers have a stream of their own.
        answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        while line := await asyncio.to_thread(sys.stdin.readline):
            method, *arguments = json.loads(line)
            try:
                answer = getattr(self, method)(*arguments)
                told = {"answer": await answer if asyncio.iscoroutine(answer) else answer}
            except Exception:  # noqa: BLE001 - it fails the test that called
                told = {"error": traceback.format_exc()}
            answers.write(json.dumps(told) + "\n")
            answers.flush()


@cache
def _session(speaker: Speaker, namespace: str, url: str) -> Any:
    return speaker.session(namespace, url)
