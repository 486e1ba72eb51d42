"""AG2's streams keep the promises of every adapter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar

from ag2 import Agent, tool
from ag2.context import ConversationContext
from ag2.events import (
    BaseEvent,
    DataInput,
    Field,
    ModelRequest,
    ModelResponse,
    TextInput,
    ToolCallEvent,
    ToolResultsEvent,
)
from ag2.testing import TestConfig
from pydantic import BaseModel

from botwire.testing import AdapterTests, Address, Seen, Turn
from botwire_ag2 import BotWireStorage


def seen(events: Iterable[BaseEvent]) -> list[Seen]:
    found = []
    for event in events:
        if isinstance(event, ModelRequest):
            text = "\n".join(part.content for part in event.parts if isinstance(part, TextInput))
            found.append(Seen("user", text))
        elif isinstance(event, ModelResponse):
            calls = [call.id for call in event.tool_calls.calls]
            found.append(Seen("assistant", event.content or "", calls=calls))
        elif isinstance(event, ToolResultsEvent):
            answers = [result.parent_id for result in event.results]
            found.append(Seen("tool", str(event.results), answers=answers))
    return found


class Watched(TestConfig):
    """A scripted model that records what it is shown."""

    __test__ = False

    def __init__(self, shown: list[list[Seen]], *says: Any) -> None:
        super().__init__(*says, raise_tool_errors=False)
        self.shown = shown

    def create(self) -> Any:
        client = super().create()

        async def watch(messages: Sequence[BaseEvent], context: Any, **kwargs: Any) -> Any:
            self.shown.append(seen(messages))
            return await client(messages, context, **kwargs)

        return watch


class Mood(Enum):
    """A user's own enum."""

    GOOD = "good"


@dataclass
class Point:
    """A user's own dataclass."""

    x: int


class Weather(BaseModel):
    """A user's own model."""

    degrees: int


class Noticed(BaseEvent):
    """A user's own event that contains all of these."""

    what: Any = Field(kw_only=False)


class TestStorage(AdapterTests):
    """An `Agent` with a stream of a `BotWireStorage`."""

    not_applicable: ClassVar = {
        "test_every_saved_state_can_be_loaded_again": "AG2 has no states of a stream",
        "test_what_the_framework_refuses_leaves_nothing_behind": "AG2 refuses no text",
        "test_default_names_never_share_a_history": "a stream needs an id",
    }

    def open(self, address: Address, user: str) -> Any:
        return BotWireStorage(address.namespace, url=address.url), user

    async def turn(self, agent: Any, turn: Turn) -> Sequence[Sequence[Seen]]:
        storage, user = agent
        replies: list[Any] = [turn.answer]
        tools = []
        if turn.tool is not None:
            given = turn.tool

            @tool
            async def look() -> str:
                """Looks."""
                return await given()

            tools.append(look)
            replies.insert(0, ToolCallEvent(id=turn.call_id, name="look", arguments="{}"))
        shown: list[list[Seen]] = []
        stream = await storage.stream(user)
        answering = Agent("helper", config=Watched(shown, *replies), tools=tools)
        await answering.ask(turn.said, stream=stream)
        return shown

    def storage(self, address: Address) -> BotWireStorage:
        # AG2 imports whatever a stored text names; here only classes named in the code are created.
        types = (Mood, Point, Weather, Noticed)
        return BotWireStorage(address.namespace, url=address.url, types=types)

    async def store_own(self, address: Address) -> None:
        stream = await self.storage(address).stream("ada")
        for event in self.own():
            await stream.send(event, ConversationContext(stream))

    async def read_own(self, address: Address) -> Any:
        stream = await self.storage(address).stream("ada")
        return list(await stream.history.get_events())

    def own(self) -> Any:
        return [
            Noticed([Mood.GOOD, Point(1), Weather(degrees=12)]),
            ModelRequest([DataInput(Weather(degrees=4))]),
        ]
