"""ADK's sessions keep the promises of every adapter."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Any, ClassVar

import pytest
from google.adk.agents import LlmAgent
from google.adk.errors._stale_session_error import StaleSessionError
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.models import BaseLlm, LlmResponse
from google.adk.runners import Runner
from google.genai import types

from botwire.names import join_parts
from botwire.testing import AdapterTests, Address, Seen, Turn
from botwire_google_adk import BotWireSessionService
from tests.zygote import Zygote


def seen(contents: Iterable[types.Content]) -> list[Seen]:
    found = []
    for content in contents:
        parts = content.parts or []
        answers = [one.function_response for one in parts if one.function_response]
        texts = [one.text for one in parts if one.text]
        texts += [str((answer.response or {}).get("result", "")) for answer in answers]
        calls = [one.function_call.id or "" for one in parts if one.function_call]
        role = "tool" if answers else "assistant" if content.role == "model" else "user"
        ids = [answer.id or "" for answer in answers]
        found.append(Seen(role, "\n".join(texts), calls, ids))
    return found


class Scripted(BaseLlm):
    """A model that records what it is shown, and first calls the tool if there is one."""

    model: str = "scripted"
    shown: list[Any] = []  # noqa: RUF012 - a field, whose default pydantic copies
    turn: Any = None

    async def generate_content_async(
        self, llm_request: Any, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        self.shown.append(seen(llm_request.contents))
        part = types.Part(text=self.turn.answer)
        if self.turn.tool is not None and len(self.shown) == 1:
            call = types.FunctionCall(id=self.turn.call_id, name="look", args={})
            part = types.Part(function_call=call)
        yield LlmResponse(content=types.Content(role="model", parts=[part]))


class TestSessions(AdapterTests):
    """A `Runner` with a `BotWireSessionService`."""

    not_applicable: ClassVar = {
        "test_every_saved_state_can_be_loaded_again": "a session has no saved states",
        "test_default_names_never_share_a_history": "a session's id is required",
        "test_what_the_framework_refuses_leaves_nothing_behind": "ADK stores what it is given",
        "test_objects_of_a_users_own_classes_come_back_after_a_restart": (
            "ADK's events and state are JSON and bytes"
        ),
    }
    refused: ClassVar = StaleSessionError

    @pytest.fixture(autouse=True)
    def _with_zygote(self, zygote: Zygote) -> None:
        self.zygote = zygote

    def start_child(self, told: str) -> Any:
        code = "import runpy; runpy.run_module('botwire.testing.child', run_name='__main__')"
        return self.zygote.start(code, told)

    def history_of(self, user: str) -> str:
        return join_parts("app", user, "1")

    def is_refused(self, error: BaseException) -> bool:
        # The first two requests of a session may both create it.
        return isinstance(error, AlreadyExistsError) or super().is_refused(error)

    def open(self, address: Address, user: str) -> Any:
        model = Scripted()

        async def look() -> str:
            """Looks."""
            found: str = await model.turn.tool()
            return found

        return Runner(
            app_name="app",
            agent=LlmAgent(name="agent", model=model, tools=[look]),
            session_service=BotWireSessionService(address.namespace, url=address.url),
            auto_create_session=True,
        ), user

    async def turn(self, agent: Any, turn: Turn) -> Sequence[Sequence[Seen]]:
        runner, user = agent
        model = runner.agent.model
        model.turn, model.shown = turn, []
        said = types.UserContent(turn.said)
        async for _ in runner.run_async(user_id=user, session_id="1", new_message=said):
            pass
        shown: list[list[Seen]] = model.shown
        return shown
