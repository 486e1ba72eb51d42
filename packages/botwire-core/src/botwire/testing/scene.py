"""What the tests of an adapter tell its agents, and what they are told back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

ODD_USERS = ("ada", "Ada", "a/da", "a%2Fda", "/ada", "ada ", "..", "ädä", "ada#1?x=1")
"""Ids of users that a careless adapter takes for one another."""


@dataclass(frozen=True)
class Place:
    """Where an adapter keeps what it is given.

    Attributes:
        url: As for `botwire.Memory`.
        namespace: Of this test alone.
    """

    url: str
    namespace: str


@dataclass(frozen=True)
class Turn:
    """What an agent is told, and what its scripted model does.

    Attributes:
        said: What the user says.
        answer: What the model says at the end.
        tool: If there is one, the model calls a tool first, which awaits this and returns its text.
        call_id: The id of that call.
    """

    said: str
    answer: str = "fine"
    tool: Callable[[], Awaitable[str]] | None = None
    call_id: str = "call-1"


@dataclass(frozen=True)
class Seen:
    """A message as a model was shown it.

    Attributes:
        role: ``system``, ``user``, ``assistant`` or ``tool``.
        text: What it says.
        calls: The ids of the calls it makes.
        answers: The ids of the calls it answers.
    """

    role: str
    text: str
    calls: Sequence[str] = field(default=())
    answers: Sequence[str] = field(default=())
