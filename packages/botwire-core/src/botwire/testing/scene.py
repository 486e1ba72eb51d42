"""What adapter tests tell an agent, and what they get back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

ODD_USERS = ("ada", "Ada", "a/da", "a%2Fda", "/ada", "ada ", "..", "ädä", "ada#1?x=1")
"""User ids that a careless adapter would confuse."""


@dataclass(frozen=True)
class Address:
    """Where the memory of a test lives.

    Attributes:
        url: The URL, as for `botwire.Memory`.
        namespace: A namespace that only this test uses.
    """

    url: str
    namespace: str


@dataclass(frozen=True)
class Turn:
    """One turn: what the user says, and what the scripted model does.

    Attributes:
        said: What the user says.
        answer: The model's final answer.
        tool: If given, the model first calls a tool that awaits this and returns its text.
        call_id: The id of the tool call.
    """

    said: str
    answer: str = "fine"
    tool: Callable[[], Awaitable[str]] | None = None
    call_id: str = "call-1"


@dataclass(frozen=True)
class Seen:
    """A message as the model saw it.

    Attributes:
        role: ``system``, ``user``, ``assistant`` or ``tool``.
        text: The text of the message.
        calls: The ids of the tool calls it makes.
        answers: The ids of the tool calls it answers.
    """

    role: str
    text: str
    calls: Sequence[str] = field(default=())
    answers: Sequence[str] = field(default=())
