"""Strands: turns of one session, through its FileSessionManager and ours."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterable, Iterable
from typing import Any

from strands import Agent
from strands.models import Model
from strands.session import FileSessionManager
from strands.types.exceptions import EventLoopException
from strands.types.streaming import StreamEvent

from benchmarks.races.frame import Contender, Place
from botwire import ConflictError
from botwire_strands import BotWireSessionManager


class _Scripted(Model):
    """A model that always answers the same, at once."""

    def update_config(self, **model_config: Any) -> None: ...

    def get_config(self) -> Any:
        return {}

    def structured_output(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    async def stream(self, *args: Any, **kwargs: Any) -> AsyncIterable[StreamEvent]:
        yield {"messageStart": {"role": "assistant"}}
        yield {"contentBlockDelta": {"delta": {"text": "noted"}}}
        yield {"contentBlockStop": {}}
        yield {"messageStop": {"stopReason": "end_turn"}}


class _Manager(Contender):
    """Runs turns of an agent; each request makes its agent anew, as a web server does."""

    framework = "Strands"
    what = "a turn of an agent"

    def __init__(self, place: Place) -> None:
        self.place = place

    @abstractmethod
    def open(self) -> Any:
        """Returns the session manager of one request."""

    def agent(self) -> Agent:
        """Returns an agent that continues the session."""
        return Agent(model=_Scripted(), session_manager=self.open(), callback_handler=None)

    def prepare(self) -> None:
        self.agent()

    def write(self, token: str) -> None:
        self.agent()(token)

    def tokens(self) -> Iterable[str]:
        # An agent's own list is cut to its latest 40 messages.
        messages = [one.message for one in self.open().list_messages("chat", "default")]
        return [
            block["text"]
            for message in messages
            if message["role"] == "user"
            for block in message["content"]
            if "text" in block
        ]


class OurManager(_Manager):
    """Ours, on a file."""

    title = "BotWireSessionManager"
    distribution = "botwire-strands"
    ours = True
    refusals = (ConflictError,)

    def write(self, token: str) -> None:
        try:
            super().write(token)
        except EventLoopException as error:
            if isinstance(error.__cause__, ConflictError):
                raise error.__cause__ from error  # Strands wraps it
            raise

    def open(self) -> Any:
        url = f"sqlite:///{self.place.folder / 'ours.db'}"
        return BotWireSessionManager("chat", namespace="race", url=url)


class StockManager(_Manager):
    """Strands' own."""

    title = "FileSessionManager"
    distribution = "strands-agents"

    def open(self) -> Any:
        return FileSessionManager("chat", storage_dir=str(self.place.folder))


CONTENDERS = (OurManager, StockManager)
