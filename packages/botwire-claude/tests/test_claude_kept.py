"""Sessions of the real Claude Code on a scripted API keep the promises of every adapter."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar
from uuid import NAMESPACE_URL, uuid5

from claude_agent_sdk import (
    ClaudeAgentOptions,
    SessionKey,
    create_sdk_mcp_server,
    project_key_for_directory,
    query,
    tool,
)

from botwire.testing import AdapterTests, Address, Seen, Turn
from botwire_claude import BotWireSessionStore

sys.path.append(str(Path(__file__).parents[3] / "examples"))

from scripted.claude import scripted_claude, texts_of

_TOOL = "mcp__tools__look"


def seen(messages: Iterable[dict[str, Any]]) -> list[Seen]:
    found = []
    for message in messages:
        content = message["content"]
        blocks = [] if isinstance(content, str) else content
        calls = [block["id"] for block in blocks if block["type"] == "tool_use"]
        answers = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        role = "tool" if answers else message["role"]
        found.append(Seen(role, "\n".join(texts_of(content)), calls, answers))
    return found


class TestSessions(AdapterTests):
    """`query` with a `BotWireSessionStore` as the only state."""

    not_applicable: ClassVar = {
        "test_a_run_after_a_deleted_message_is_not_refused": "the store refuses nobody",
        "test_two_requests_at_once_lose_and_mix_nothing": (
            "Claude Code keeps a session as a tree: each request is a branch, whole"
        ),
        "test_two_processes_at_once_lose_and_mix_nothing": "the same",
        "test_a_run_that_is_alone_is_never_refused": "the store refuses nobody",
        "test_a_users_words_never_reach_another_users_model": (
            "ids of sessions are UUIDs; that keys never collide is tested with the store"
        ),
        "test_default_names_never_share_a_history": "an id is required",
        "test_every_saved_state_can_be_loaded_again": "a session has no saved states",
        "test_what_the_framework_refuses_leaves_nothing_behind": "Claude Code refuses nothing",
        "test_objects_of_a_users_own_classes_come_back_after_a_restart": "entries are JSON",
    }

    def open(self, address: Address, user: str) -> Any:
        store = BotWireSessionStore(address.namespace, url=address.url)
        return store, str(uuid5(NAMESPACE_URL, user))

    async def turn(self, agent: Any, turn: Turn) -> Sequence[Sequence[Seen]]:
        store, session = agent
        folder = Path(tempfile.gettempdir())
        project = project_key_for_directory(folder)
        key: SessionKey = {"project_key": project, "session_id": session}
        shown: list[list[Seen]] = []
        call_id = turn.call_id.replace(" ", "_").replace("?", "")

        async def stored() -> None:
            """Waits for the SDK, which stores the call in a task of its own as the tool begins.

            What was said is stored before, and first in an entry that is not part of the
            conversation, so only the id of the call tells. There is no event to wait for.
            """
            async with asyncio.timeout(30):
                while repr(call_id) not in str(await store.load(key)):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)

        @tool("look", "Looks.", {})
        async def look(arguments: dict[str, Any]) -> dict[str, Any]:
            assert turn.tool is not None
            await stored()
            return {"content": [{"type": "text", "text": await turn.tool()}]}

        def model(request: dict[str, Any]) -> list[dict[str, Any]]:
            shown.append(seen(request["messages"]))
            if turn.tool is None or len(shown) > 1:
                return [{"type": "text", "text": turn.answer}]
            return [{"type": "tool_use", "id": call_id, "name": _TOOL, "input": {}}]

        known = await store.load(key)
        with scripted_claude(model) as environment:
            options = ClaudeAgentOptions(
                session_store=store,
                session_store_flush="eager",
                resume=session if known else None,
                session_id=None if known else session,
                mcp_servers={"tools": create_sdk_mcp_server("tools", tools=[look])},
                allowed_tools=[_TOOL],
                tools=[],
                setting_sources=[],
                cwd=folder,
                env=environment,
            )
            async for _ in query(prompt=turn.said, options=options):
                pass
        return shown
