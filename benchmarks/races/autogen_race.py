"""AutoGen: messages of one model context, saved as AutoGen's documentation shows and ours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable

from autogen_core.model_context import UnboundedChatCompletionContext
from autogen_core.models import UserMessage

from benchmarks.races.frame import Contender, Place
from botwire_autogen import BotWireChatCompletionContext


class _Context(Contender):
    """Adds messages to a context; each request opens it anew."""

    framework = "AutoGen"
    what = "a message of a context"

    def __init__(self, place: Place) -> None:
        self.place = place

    def write(self, token: str) -> None:
        asyncio.run(self._write(UserMessage(content=token, source="user")))

    def tokens(self) -> Iterable[str]:
        return asyncio.run(self._tokens())

    async def _write(self, message: UserMessage) -> None:
        raise NotImplementedError

    async def _tokens(self) -> list[str]:
        raise NotImplementedError


class OurContext(_Context):
    """Ours, on a file."""

    title = "BotWireChatCompletionContext"
    distribution = "botwire-autogen"
    ours = True

    def _open(self) -> BotWireChatCompletionContext:
        return BotWireChatCompletionContext("race", url=f"sqlite:///{self.place.folder}/ours.db")

    async def _write(self, message: UserMessage) -> None:
        await self._open().add_message(message)

    async def _tokens(self) -> list[str]:
        return [str(message.content) for message in await self._open().get_messages()]


class StockContext(_Context):
    """AutoGen's own: loads the state from a file, and saves it there."""

    title = "save_state to a JSON file"
    distribution = "autogen-core"

    async def _open(self) -> UnboundedChatCompletionContext:
        context = UnboundedChatCompletionContext()
        path = self.place.folder / "state.json"
        if path.exists():
            await context.load_state(json.loads(path.read_text()))
        return context

    async def _write(self, message: UserMessage) -> None:
        context = await self._open()
        await context.add_message(message)
        state = json.dumps(await context.save_state())
        (self.place.folder / "state.json").write_text(state)

    async def _tokens(self) -> list[str]:
        return [str(message.content) for message in await (await self._open()).get_messages()]


CONTENDERS = (OurContext, StockContext)
