"""Who wrote something: what the client says about itself, and the API key it used."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, replace
from typing import Annotated
from uuid import UUID

from botwire import names
from botwire.errors import ConfigurationError
from botwire.exact import decode_stored
from botwire.operations.annotations import Checked, Rule

_Part = Annotated[
    str,
    Rule(
        names.check_author,
        {"minLength": 1, "maxLength": names.MAX_AUTHOR_BYTES},
    ),
]


@dataclass(frozen=True, slots=True)
class Author(Checked):
    """The author of a write.

    ``Memory(…, author=Author(agent="support", run="42"))`` writes as this author. A string is short
    for an author with only an agent.

    Attributes:
        agent: The agent's name.
        framework: The agent's framework, such as ``langgraph``; adapters set it.
        run: The run, session or job in which the agent wrote.
        key: The id of the API key. The server sets it; no client can.
    """

    agent: _Part | None = None
    framework: _Part | None = None
    run: _Part | None = None
    key: _Part | None = None

    def __bool__(self) -> bool:
        return self != NOBODY

    def __str__(self) -> str:
        named = [("", self.agent), ("", self.framework), ("run ", self.run), ("key ", self.key)]
        return ", ".join(what + part for what, part in named if part is not None)

    def goes_by(self, name: str) -> bool:
        """Returns whether the agent, framework, run or API key has this name."""
        return name in (self.agent, self.framework, self.run, self.key)

    def with_key(self, key: str) -> Author:
        """Returns this author with the API key that the server identified."""
        return replace(self, key=key)

    def within(self, framework: str | None) -> Author:
        """Returns this author with a framework, unless it already names one."""
        return self if self.framework is not None else replace(self, framework=framework)

    def during(self, *, agent: object = None, run: object = None) -> Author:
        """Returns this author with an agent and a run, unless it already names them.

        The names come from a framework: one that is too long or invalid is left out.

        Args:
            agent: The agent's name.
            run: The id of the run: a string or a `UUID`.
        """
        now = (self.agent or _fitting(agent), self.run or _fitting(run))
        if now == (self.agent, self.run):
            return self
        return replace(self, agent=now[0], run=now[1])


def _fitting(name: object) -> str | None:
    if isinstance(name, UUID):
        name = str(name)
    if not name or not isinstance(name, str):
        return None
    try:
        return names.check_author(name, "agent")
    except ConfigurationError:
        return None


NOBODY = Author()
"""An author without any names; stored as no author at all."""


def read_author(given: Author | str | None) -> Author | None:
    """Returns the author that a caller gives, or None if it has no names.

    Raises:
        ConfigurationError: It is not an author, or it names an API key.
    """
    if given is None:
        return None
    if isinstance(given, str):
        return Author(given)
    if not isinstance(given, Author):
        raise ConfigurationError(
            f"author must be a string or an Author, not {type(given).__name__}: "
            f"{names.shown(given)}"
        )
    if given.key is not None:
        raise ConfigurationError(
            f"author.key is {given.key!r:.80}, but only the server sets it, from the API key of "
            "the request: give agent, framework and run only"
        )
    return given or None


# --- as stored ------------------------------------------------------------------------------


@functools.lru_cache(maxsize=1024)
def to_stored(author: Author | None) -> str | None:
    """Returns an author as engines store it: a JSON list of its parts, or None if there is none."""
    if not author:
        return None
    parts = [author.framework, author.agent, author.run, author.key]
    while parts[-1] is None:
        parts.pop()
    return json.dumps(parts, separators=(",", ":"))


@functools.lru_cache(maxsize=1024)
def from_stored(text: str) -> Author:
    """Returns the author that `to_stored` wrote."""
    framework, agent, run, key = (decode_stored(text) + [None] * 3)[:4]
    return Author(agent, framework, run, key)
