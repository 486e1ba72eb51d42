"""Sessions, memories and artifacts keep ADK's contracts, and what its own stores lose."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from google.adk.agents import LlmAgent
from google.adk.cli.service_registry import get_service_registry, load_services_module
from google.adk.cli.utils.service_factory import (
    create_artifact_service_from_options,
    create_memory_service_from_options,
    create_session_service_from_options,
)
from google.adk.errors._stale_session_error import StaleSessionError
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.input_validation_error import InputValidationError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events import Event, EventActions
from google.adk.memory.memory_entry import MemoryEntry
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.adk.runners import Runner
from google.adk.sessions import InMemorySessionService, Session
from google.adk.sessions.base_session_service import GetSessionConfig
from google.genai import types

from botwire import AsyncMemory, ConfigurationError, Memory, NotJSONError
from botwire.messages import Message, ToolCall
from botwire_google_adk import (
    BotWireArtifactService,
    BotWireMemoryService,
    BotWireSessionService,
    register_services,
)
from tests.zygote import Zygote

ADA = {"app_name": "app", "user_id": "ada"}
ONE = {**ADA, "session_id": "1"}


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 60))


def said(text: str, author: str = "user", **more: Any) -> Event:
    role = "user" if author == "user" else "model"
    content = types.Content(role=role, parts=[types.Part(text=text)])
    return Event(author=author, invocation_id="run-1", content=content, **more)


def changes(**state: Any) -> Event:
    delta = {name.replace("__", ":"): value for name, value in state.items()}
    return Event(author="agent", actions=EventActions(state_delta=delta))


def texts(session: Session | None) -> list[str]:
    assert session is not None
    contents = [event.content for event in session.events if event.content]
    return [part.text for content in contents for part in content.parts or () if part.text]


# --- sessions ---------------------------------------------------------------------------------

_COUNTER = """
import asyncio, sys
from google.adk.errors._stale_session_error import StaleSessionError
from google.adk.events import Event, EventActions
from botwire_google_adk import BotWireSessionService

name, session_id, namespace, url = sys.argv[1:5]
service = BotWireSessionService(namespace, url=url, check_shared_state=True)
where = dict(app_name="app", user_id="ada", session_id=session_id)

async def count():
    for number in range(15):
        while True:
            session = await service.get_session(**where)
            delta = {"user:count": session.state["user:count"] + 1, f"{name}-{number}": True}
            event = Event(author="agent", actions=EventActions(state_delta=delta))
            try:
                await service.append_event(session, event)
                break
            except StaleSessionError:
                pass

asyncio.run(count())
"""


@pytest.mark.parametrize("sessions", [("1", "1"), ("1", "2")])
def test_two_processes_lose_no_event_and_no_state(
    zygote: Zygote, place: Any, sessions: tuple[str, str]
) -> None:
    async def create() -> None:
        for session_id in sorted(set(sessions)):
            service = BotWireSessionService(**place)
            await service.create_session(**ADA, session_id=session_id, state={"user:count": 0})

    run(create)
    where = (place["namespace"], place["url"])
    with (
        zygote.start(_COUNTER, "a", sessions[0], *where) as one,
        zygote.start(_COUNTER, "b", sessions[1], *where) as other,
    ):
        assert [one.wait(), other.wait()] == [0, 0], one.stderr + other.stderr

    async def look() -> None:
        service = BotWireSessionService(**place)
        assert await service.get_user_state(**ADA) == {"count": 30}
        done = set()
        for session_id in sessions:
            session = await service.get_session(**ADA, session_id=session_id)
            assert session is not None
            done |= session.state.keys() - {"user:count"}
        assert done == {f"{name}-{number}" for name in "ab" for number in range(15)}

    run(look)


def test_a_session_is_restored_equal_with_state_and_bytes(place: Any) -> None:
    async def test() -> None:
        service = BotWireSessionService(**place)
        state = {"key": {"$bytes": [1]}, "inf": float("inf"), "temp:x": 1}
        state |= {"user:name": "Ada", "app:motd": "hi"}
        created = await service.create_session(**ADA, state=state, session_id=" 1 ")
        assert created.id == "1"
        del state["temp:x"]
        assert created.state == state
        assert await service.get_session(**ONE) == created
        picture = types.Part.from_bytes(data=b"\x00\xff", mime_type="image/png")
        event = said("look", actions=EventActions(state_delta={"temp:x": 2, "n": 1}))
        assert event.content is not None
        assert event.content.parts is not None
        event.content.parts.append(picture)
        await service.append_event(created, event)
        assert created.state["temp:x"] == 2  # for the agents of this run, and never stored
        del created.state["temp:x"]
        assert await service.get_session(**ADA, session_id="1 ") == created
        assert created.last_update_time == event.timestamp
        other = await service.create_session(**ADA, session_id="2")
        assert other.state == {"user:name": "Ada", "app:motd": "hi"}
        assert (await service.create_session(app_name="app", user_id="bob")).state == {
            "app:motd": "hi"
        }

    run(test)


def test_a_lone_surrogate_is_text_too(place: Any) -> None:
    async def test() -> None:
        service = BotWireSessionService(**place)
        session = await service.create_session(**ONE)
        await service.append_event(session, said("tea \ud800"))
        again = await service.get_session(**ONE)
        assert texts(again) == ["tea \ud800"]
        assert again is not None
        assert again.events == session.events
        memory = BotWireMemoryService(**place)
        await memory.add_session_to_memory(again)
        (found,) = (await memory.search_memory(**ADA, query="tea")).memories
        assert found.content.parts is not None
        assert found.content.parts[0].text == "tea \ud800"

    run(test)


def test_numbers_that_json_lacks_come_back(place: Any) -> None:
    async def test() -> None:
        service = BotWireSessionService(**place)
        session = await service.create_session(**ONE)
        nan, infinity = float("nan"), float("inf")
        call = types.FunctionCall(id="1", name="f", args={"a": [nan, None]})
        event = Event(
            author="agent",
            content=types.Content(role="model", parts=[types.Part(function_call=call)]),
            actions=EventActions(state_delta={"x": nan, "user:y": {"z": -infinity, "n": None}}),
            custom_metadata={"m": infinity},
        )
        await service.append_event(session, event)
        found = await service.get_session(**ONE)
        assert found is not None
        assert repr(found.events) == repr([event])
        assert repr(found.state) == repr({"x": nan, "user:y": {"z": -infinity, "n": None}})

    run(test)


def test_a_session_is_stale_after_another_write(place: Any) -> None:
    async def test() -> None:
        service = BotWireSessionService(**place)
        created = await service.create_session(**ONE)
        old = await service.get_session(**ONE)
        by_hand = Session(id="1", app_name="app", user_id="ada")
        assert old is not None
        await service.append_event(created, said("one"))
        for stale in (old, by_hand):
            with pytest.raises(StaleSessionError, match="Please reload the session"):
                await service.append_event(stale, changes(user__lost=True, lost=True))
            assert not stale.events
        await service.append_event(created, said("two"))  # the session has seen its own events
        found = await service.get_session(**ONE)
        assert found is not None
        assert found.state == {}
        assert texts(found) == ["one", "two"]
        # A session that is rebuilt from JSON can continue if it has the last event.
        again = Session.model_validate_json(found.model_dump_json())
        await service.append_event(again, said("three"))
        assert texts(await service.get_session(**ONE)) == ["one", "two", "three"]

    run(test)


def test_a_change_replaces_values_whole_and_keeps_the_types_of_others(place: Any) -> None:
    async def test() -> None:
        service = BotWireSessionService(**place)
        for scope in ("", "user:", "app:"):
            state = {f"{scope}profile": {"name": "ada", "role": "admin"}, f"{scope}flag": False}
            session = await service.create_session(**ADA, state={**state, f"{scope}gone": 1})
            delta = {f"{scope}profile": {"name": "bob"}, f"{scope}gone": None}
            await service.append_event(session, said("hi", actions=EventActions(state_delta=delta)))
            found = await service.get_session(**ADA, session_id=session.id)
            assert found is not None
            for one in (found, session):
                assert one.state[f"{scope}profile"] == {"name": "bob"}
                assert one.state[f"{scope}flag"] is False
                assert f"{scope}gone" in one.state
                assert one.state[f"{scope}gone"] is None

    run(test)


def test_a_value_that_json_cannot_hold_does_not_cost_the_event(place: Any) -> None:
    async def test() -> None:
        service = BotWireSessionService(**place)
        session = await service.create_session(**ONE)
        await service.append_event(session, changes(callback=len, ok=2))
        found = await service.get_session(**ONE)
        assert found is not None
        assert len(found.events) == 1
        assert found.state["ok"] == 2
        assert isinstance(found.state["callback"], str)

    run(test)


def test_bytes_that_are_no_text_are_refused_by_name(place: Any) -> None:
    async def test() -> None:
        service = BotWireSessionService(**place)
        with pytest.raises(NotJSONError, match=r"state\['photo'\] contains bytes"):
            await service.create_session(**ONE, state={"ok": 1, "photo": [b"\xff"]})
        session = await service.create_session(**ONE)
        for name in ("photo", "user:photo"):
            with pytest.raises(NotJSONError, match=rf"state\['{name}'\] contains bytes"):
                await service.append_event(
                    session, said("look", actions=EventActions(state_delta={name: b"\xff"}))
                )
        assert await service.get_session(**ONE) == session
        assert session.events == []

    run(test)


def test_a_wrong_argument_is_named(place: Any) -> None:
    wrong: Any = 5
    part = types.Part(text="x")

    async def test() -> None:
        sessions, artifacts = BotWireSessionService(**place), BotWireArtifactService(**place)
        memories = BotWireMemoryService(**place)
        for named in ({"namespace": 5}, {"namespace": "n", "max_results": "x"}):
            with pytest.raises(ConfigurationError, match=r"must be (a string|an int)"):
                BotWireMemoryService(**named)  # type: ignore[arg-type]
        file = {**ONE, "filename": "f"}
        await artifacts.save_artifact(**file, artifact=part)
        for call, says in (
            (artifacts.load_artifact(**file, version="x"), "version must be an int"),  # type: ignore[arg-type]
            (artifacts.get_artifact_version(**file, version="x"), "version must be an int"),  # type: ignore[arg-type]
            (artifacts.save_artifact(**file, artifact=wrong), "artifact must be a Part"),
            (
                artifacts.save_artifact(**file, artifact=part, custom_metadata=wrong),
                "custom_metadata must be an object",
            ),
            (
                artifacts.save_artifact(**ONE, filename=wrong, artifact=part),
                "a filename must be a string, not int: 5",
            ),
            (artifacts.list_artifact_keys(app_name="a", user_id=wrong), "user_id must be a string"),
            (sessions.create_session(app_name=wrong, user_id="u"), "must be a string, not int: 5"),
            (sessions.create_session(**ADA, session_id=wrong), "session id must be a string"),
            (sessions.get_session(**ADA, session_id=wrong), "session id must be a string"),
            (sessions.delete_session(**ADA, session_id=wrong), "session id must be a string"),
            (sessions.create_session(**ADA, state=wrong), "state must be a dict, not int: 5"),
            (sessions.create_session(**ADA, state={5: 5}), "a key of the state must be a string"),  # type: ignore[dict-item]
            (sessions.append_event(wrong, wrong), "session must be a Session, not int: 5"),
            (memories.search_memory(**ADA, query=wrong), "query must be a string, not int: 5"),
            (memories.add_memory(**ADA, memories=["x"]), r"memories\[0\] must be a MemoryEntry"),  # type: ignore[list-item]
            (memories.add_events_to_memory(**ADA, events=wrong), "events must be a list of events"),
        ):
            with pytest.raises(ConfigurationError, match=says):
                await call
        assert await artifacts.list_versions(**file) == [0]
        assert (await sessions.list_sessions(app_name="app")).sessions == []

    run(test)


def test_if_two_copies_append_at_once_one_is_stale(place: Any) -> None:
    async def test() -> None:
        service = BotWireSessionService(**place)
        await service.create_session(**ONE)
        for turn in range(4):
            loaded = await service.get_session(**ONE)
            assert loaded is not None
            outcomes = await asyncio.gather(
                *(
                    service.append_event(loaded.model_copy(deep=True), said(f"{turn} {number}"))
                    for number in range(2)
                ),
                return_exceptions=True,
            )
            assert [type(one) for one in outcomes].count(StaleSessionError) == 1
        assert len(texts(await service.get_session(**ONE))) == 4

    run(test)


def sealing(**more: Any) -> Event:
    """Returns an event as ADK appends it when the run ``run-1`` is cancelled."""
    return Event(author="agent", invocation_id="run-1", error_code="INVOCATION_ABORTED", **more)


@pytest.mark.parametrize("first", ["the cancelled run", "the next run"])
def test_a_cancelled_run_and_the_next_one_do_not_disturb_each_other(place: Any, first: str) -> None:
    async def test() -> None:
        service = BotWireSessionService(**place)
        cancelled = await service.create_session(**ONE)
        await service.append_event(cancelled, said("wait"))
        loaded = await service.get_session(**ONE)
        assert loaded is not None
        calls = [types.Part(function_response=types.FunctionResponse(name="f", response={"e": 1}))]
        seals = [sealing(content=types.Content(role="user", parts=calls)), sealing()]
        if first == "the cancelled run":
            for event in seals:
                await service.append_event(cancelled, event)
        await service.append_event(loaded, said("go on"))
        if first == "the next run":
            for event in seals:
                await service.append_event(cancelled, event)
        await service.append_event(loaded, said("done", "agent"))
        found = await service.get_session(**ONE)
        assert found is not None
        assert [one for one in found.events if not one.error_code] == [
            one for one in loaded.events if not one.error_code
        ]
        assert texts(found) == ["wait", "go on", "done"]
        assert {one.id for one in found.events} == {one.id for one in loaded.events}
        assert len(found.events) == 5
        # Whatever else another run has said is not skipped.
        await service.append_event(cancelled, sealing())
        await service.append_event(found, said("a third run"))
        with pytest.raises(StaleSessionError):
            await service.append_event(loaded, said("late", "agent"))

    run(test)


def test_stop_and_go_on_at_once(place: Any) -> None:
    async def test() -> None:
        told = asyncio.Event()

        class Model(BaseLlm):
            async def generate_content_async(
                self, llm_request: LlmRequest, stream: bool = False
            ) -> AsyncIterator[LlmResponse]:
                assert llm_request.contents[-1].parts is not None
                if llm_request.contents[-1].parts[0].text == "wait":
                    told.set()
                    await asyncio.Event().wait()
                yield LlmResponse(content=types.ModelContent("heard"))

        runner = Runner(
            app_name="app",
            agent=LlmAgent(name="agent", model=Model(model="scripted")),
            session_service=BotWireSessionService(**place),
            auto_create_session=True,
        )

        async def say(text: str) -> None:
            message = types.UserContent(text)
            async for _ in runner.run_async(user_id="ada", session_id="1", new_message=message):
                pass

        for _ in range(10):
            told.clear()
            stopped = asyncio.create_task(say("wait"))
            await told.wait()
            stopped.cancel()
            await say("go on")
            with pytest.raises(asyncio.CancelledError):
                await stopped
        assert texts(await runner.session_service.get_session(**ONE)) == [
            *["wait", "go on", "heard"] * 10
        ]

    run(test)


def test_one_session_object_takes_events_at_the_same_time(place: Any) -> None:
    # As ADK's live runs do: what the user says comes while the agent speaks.
    async def test() -> None:
        for service in (InMemorySessionService(), BotWireSessionService(**place)):
            session = await service.create_session(**ONE)
            async with asyncio.TaskGroup() as tasks:
                for number in range(5):
                    actions = EventActions(state_delta={f"n{number}": number})
                    event = said(str(number), "agent", actions=actions)
                    tasks.create_task(service.append_event(session, event))
            stored = await service.get_session(**ONE)
            assert stored is not None
            assert texts(stored) == texts(session) == list("01234")
            assert stored.state == session.state == {f"n{number}": number for number in range(5)}

    run(test)


def test_a_current_session_continues_despite_its_clock_and_marker(place: Any) -> None:
    async def test() -> None:
        service = BotWireSessionService(**place)
        session = await service.create_session(**ONE)
        await service.append_event(session, said("one", timestamp=session.last_update_time + 10))
        session.last_update_time -= 0.0001
        await service.append_event(session, said("two", timestamp=session.last_update_time + 10))
        session._storage_update_marker = None
        session.last_update_time -= 0.0001
        await service.append_event(session, said("three", id="same"))
        await service.append_event(session, said("four", "agent", id="same"))
        assert texts(await service.get_session(**ONE)) == ["one", "two", "three", "four"]

    run(test)


def test_a_partial_event_and_one_delivered_twice_are_not_stored(place: Any) -> None:
    async def test() -> None:
        service = BotWireSessionService(**place)
        session = await service.create_session(**ONE)
        await service.append_event(session, said("par", "agent", partial=True))
        event = said("whole", "agent")
        await service.append_event(session, event)
        await service.append_event(session, event)
        assert texts(session) == texts(await service.get_session(**ONE)) == ["whole"]
        # The first append was stored, but its answer was lost.
        before = await service.get_session(**ONE)
        assert before is not None
        late = said("late", "agent")
        await service.append_event(session, late)
        await service.append_event(before, late)
        assert texts(before) == texts(await service.get_session(**ONE)) == ["whole", "late"]

    run(test)


def test_a_missing_session_is_none_or_an_error(place: Any) -> None:
    async def test() -> None:
        service = BotWireSessionService(**place)
        assert await service.get_session(**ONE) is None
        await service.delete_session(**ONE)
        session = await service.create_session(**ONE)
        with pytest.raises(AlreadyExistsError, match="1"):
            await service.create_session(**ADA, session_id=" 1")
        await service.append_event(session, changes(key=1, user__key=2))
        await service.delete_session(**ONE)
        for gone in (session, Session(id="2", app_name="app", user_id="ada")):
            with pytest.raises(SessionNotFoundError):
                await service.append_event(gone, said("hello?"))
        again = await service.create_session(**ONE)
        assert (again.state, again.events) == ({"user:key": 2}, [])
        await service.append_event(again, said("hello"))
        assert await service.get_session(**ONE) == again

    run(test)


def test_a_session_is_read_with_its_last_events_or_those_since_a_time(place: Any) -> None:
    async def test() -> None:
        service = BotWireSessionService(**place)
        session = await service.create_session(**ONE)
        for number in range(1, 6):
            await service.append_event(session, said(str(number), timestamp=float(number)))
        for config, expected in [
            (GetSessionConfig(num_recent_events=3), "345"),
            (GetSessionConfig(num_recent_events=0), ""),
            (GetSessionConfig(after_timestamp=4.0), "45"),
            (GetSessionConfig(after_timestamp=4.0, num_recent_events=3), "45"),
            (GetSessionConfig(after_timestamp=50.0), ""),
            (None, "12345"),
        ]:
            found = await service.get_session(**ONE, config=config)
            assert "".join(texts(found)) == expected
            assert found is not None
            assert found.last_update_time == 5.0

    run(test)


def test_sessions_are_listed_by_their_last_update(place: Any) -> None:
    async def test() -> None:
        service = BotWireSessionService(**place)
        names = ("a/b", "a%2Fb", "x" * 300, "ä b")
        for number, user in enumerate(names):
            where = {"app_name": "app/1", "user_id": user, "session_id": user}
            session = await service.create_session(**where, state={"user:own": user, "n": number})
            await service.append_event(session, said(user, timestamp=100.0 - number))
        await service.create_session(app_name="app", user_id="a/b")
        listed = (await service.list_sessions(app_name="app/1")).sessions
        assert [one.user_id for one in listed] == list(names)[::-1]
        assert [one.state for one in listed] == [
            {"user:own": user, "n": number} for number, user in reversed([*enumerate(names)])
        ]
        for user in names:
            (one,) = (await service.list_sessions(app_name="app/1", user_id=user)).sessions
            assert (one.id, one.events, one.state["user:own"]) == (user, [], user)

    run(test)


def test_shared_state_is_checked_from_the_creation_of_a_session_on(place: Any) -> None:
    async def test() -> None:
        service = BotWireSessionService(**place, check_shared_state=True)
        one = await service.create_session(**ONE, state={"user:name": "Ada", "app:plan": 1})
        change = EventActions(state_delta={"user:name": "Ada L."})
        await service.append_event(one, said("hi", actions=change))
        other = await service.create_session(**ADA, session_id="2")
        for session, name in ((one, "Ada Lovelace"), (other, "Countess")):
            change = EventActions(state_delta={"user:name": name})
            event = said(name, actions=change)
            if session is one:
                await service.append_event(session, event)
            else:
                with pytest.raises(StaleSessionError):
                    await service.append_event(session, event)
        state = await service.get_user_state(**ADA)
        assert state == {"name": "Ada Lovelace"}

    run(test)


def test_a_conversation_of_another_framework_is_listed_and_found_alike(place: Any) -> None:
    async def test() -> None:
        service = BotWireSessionService(**place)
        memory = AsyncMemory(**place)
        for name in ("app/ada/1", "app/ada/a%2Fb", "app/bob/1", "app", "app/ada", "app/ada/1/2"):
            await memory.history(name).append(Message("user", f"I am {name}.").to_item())
        await memory.history("app/ada/empty").set_metadata({"title": "nothing said"})
        own = await service.create_session(app_name="app", user_id="ada", session_id="own")
        await service.append_event(own, said("hi", timestamp=1.0))

        listed = (await service.list_sessions(app_name="app", user_id="ada")).sessions
        assert [one.id for one in listed] == ["own", "1", "a/b"]
        everyone = (await service.list_sessions(app_name="app")).sessions
        assert [(one.user_id, one.id) for one in everyone][1:] == [
            ("ada", "1"), ("ada", "a/b"), ("bob", "1"),
        ]  # fmt: skip
        for one in everyone:
            found = await service.get_session(
                app_name="app", user_id=one.user_id, session_id=one.id
            )
            assert found is not None
            assert found.last_update_time == one.last_update_time
        await service.delete_session(app_name="app", user_id="ada", session_id="1")
        listed = (await service.list_sessions(app_name="app", user_id="ada")).sessions
        assert [one.id for one in listed] == ["own", "a/b"]

    run(test)


def test_a_session_expires_after_its_last_event(place: Any) -> None:
    async def test() -> None:
        service = BotWireSessionService(**place, ttl=3600)
        session = await service.create_session(**ONE, state={"user:name": "Ada", "key": 1})
        await service.append_event(session, said("hi"))
        memory = service.connection.async_memory
        names = await memory.list_keys("google-adk/s")
        entries = [await memory.entry(name) for name in names]
        assert len(entries) == 2
        assert all(entry is not None and entry.expires_at is not None for entry in entries)
        history = memory.history("app/ada/1")
        assert (await history.info()).expires_at is not None
        await history.expire(0.000_001)
        for name in names:
            await memory.delete(name)
        assert await service.get_session(**ONE) is None
        assert await service.get_user_state(**ADA) == {"name": "Ada"}

    run(test)


def test_another_frameworks_conversation_is_continued(place: Any) -> None:
    memory = Memory(**place)
    call = ToolCall.of("c1", "weather", {"city": "Oslo"})
    memory.history("app/ada/1").extend(
        one.to_item()
        for one in (
            Message("system", "You are kind."),
            Message("user", "How is the weather?"),
            Message("assistant", "", tool_calls=[call]),
            Message("tool", "12 degrees", tool_call_id="c1"),
            Message("assistant", "It is 12 degrees."),
        )
    )

    async def test() -> None:
        service = BotWireSessionService(**place)
        session = await service.get_session(**ONE)
        assert session is not None
        assert texts(session) == ["How is the weather?", "It is 12 degrees."]
        assert [one.args for one in session.events[1].get_function_calls()] == [{"city": "Oslo"}]
        assert [one.id for one in session.events[2].get_function_responses()] == ["c1"]
        with pytest.raises(AlreadyExistsError):
            await service.create_session(**ONE)
        await service.append_event(session, said("Thanks.", actions=EventActions()))
        assert await service.get_session(**ONE) == session

    run(test)
    assert memory.history("app/ada/1").tail(1)[0]["text"] == "Thanks."


def test_an_event_names_its_author(place: Any) -> None:
    async def test() -> None:
        service = BotWireSessionService(**place)
        session = await service.create_session(**ONE)
        await service.append_event(session, said("hi"))
        await service.append_event(session, said("hello", "helper"))
        items = await service.connection.async_memory.history("app/ada/1").read()
        authors = [item.author for item in items]
        assert [(one.agent, one.framework, one.run) for one in authors if one] == [
            (None, "google-adk", "run-1"),
            ("helper", "google-adk", "run-1"),
        ]

    run(test)


# --- memories -----------------------------------------------------------------------------------


def test_each_memory_is_found_once_by_its_words(place: Any) -> None:
    async def test() -> None:
        service = BotWireMemoryService(**place)
        session = Session(id="1", app_name="app", user_id="ada")
        session.events += [said("I have two cats."), Event(author="agent"), said("I like tea.")]
        await service.add_session_to_memory(session)
        session.events.append(said("My cat is called Turing.", "helper"))
        await service.add_session_to_memory(session)
        await service.add_events_to_memory(**ADA, events=session.events, session_id="1")
        assert await service.connection.async_memory.records("google-adk").count() == 3
        found = (await service.search_memory(**ADA, query="cat")).memories
        assert {one.id for one in found} == {session.events[0].id, session.events[3].id}
        assert {one.author for one in found} == {"user", "helper"}
        assert session.events[0].content in [one.content for one in found]
        for nothing in ("", "  ", "dogs"):
            assert not (await service.search_memory(**ADA, query=nothing)).memories
        for user in ("bob", "Ada", "ada/1"):
            other = await service.search_memory(app_name="app", user_id=user, query="cat")
            assert not other.memories

    run(test)


def test_a_deleted_memory_does_not_come_back_with_its_session(place: Any) -> None:
    async def test() -> None:
        service = BotWireMemoryService(**place)
        session = Session(id="1", app_name="app", user_id="ada", events=[said("my pin is 1234")])
        await service.add_session_to_memory(session)
        (found,) = (await service.search_memory(**ADA, query="pin")).memories
        await service.delete_memory(app_name="app", user_id="bob", memory_id=found.id)
        assert (await service.search_memory(**ADA, query="pin")).memories == [found]
        await service.delete_memory(**ADA, memory_id=found.id)
        await service.add_session_to_memory(session)
        assert not (await service.search_memory(**ADA, query="pin")).memories

    run(test)


def test_memories_can_be_added_directly(place: Any) -> None:
    async def test() -> None:
        service = BotWireMemoryService(**place)
        content = types.Content(parts=[types.Part(text="Ada likes tea.")])
        entry = MemoryEntry(content=content, custom_metadata={"kind": "taste"}, author="curator")
        for _ in range(2):
            await service.add_memory(**ADA, memories=[entry], custom_metadata={"source": "form"})
        (found,) = (await service.search_memory(**ADA, query="tea")).memories
        assert found.custom_metadata == {"kind": "taste", "source": "form"}
        assert (found.content, found.author) == (content, "curator")

    run(test)


def test_a_long_session_is_remembered_in_several_requests(server_url: str, namespace: str) -> None:
    async def test() -> None:
        service = BotWireMemoryService(namespace, url=server_url)
        events = [said(f"{number} " + "tea " * 15_000) for number in range(200)]
        session = Session(id="1", app_name="app", user_id="ada", events=events)
        await service.add_session_to_memory(session)
        assert Memory(namespace, url=server_url).records(service.collection).count() == 200

    run(test)


# --- artifacts ----------------------------------------------------------------------------------


def test_artifacts_have_versions_from_zero(place: Any) -> None:
    async def test() -> None:
        service = BotWireArtifactService(**place)
        assert await service.load_artifact(**ONE, filename="a/b.png") is None
        parts = [types.Part.from_bytes(data=bytes([n]), mime_type="image/png") for n in range(3)]
        for number, part in enumerate(parts):
            saved = await service.save_artifact(
                **ONE, filename="a/b.png", artifact=part, custom_metadata={"n": number}
            )
            assert saved == number
        for number, part in enumerate(parts):
            file = {**ONE, "filename": "a/b.png"}
            assert await service.load_artifact(**file, version=number) == part
            about = await service.get_artifact_version(**file, version=number)
            assert about is not None
            assert (about.version, about.mime_type) == (number, "image/png")
            assert about.custom_metadata == {"n": number}
        assert await service.load_artifact(**ONE, filename="a/b.png") == parts[2]
        assert await service.load_artifact(**ONE, filename="a/b.png", version=3) is None
        assert await service.list_versions(**ONE, filename="a/b.png") == [0, 1, 2]
        await service.delete_artifact(**ONE, filename="a/b.png")
        assert await service.list_artifact_keys(**ONE) == []
        assert await service.save_artifact(**ONE, filename="a/b.png", artifact=parts[1]) == 0
        assert await service.load_artifact(**ONE, filename="a/b.png") == parts[1]

    run(test)


def test_a_file_of_many_versions_is_deleted_in_several_requests(
    server_url: str, namespace: str
) -> None:
    async def test() -> None:
        service = BotWireArtifactService(namespace, url=server_url)
        part = types.Part.from_bytes(data=b"x", mime_type="text/plain")
        await service.save_artifact(**ONE, filename="log", artifact=part)
        memory = Memory(namespace, url=server_url)
        (first,) = memory.list_keys()
        for start in (1, 5_001, 10_001):  # and one more than a server takes at once
            some = range(start, min(start + 5_000, 10_002))
            memory.set_many({first.removesuffix("0") + str(number): b"" for number in some})
        await service.delete_artifact(**ONE, filename="log")
        assert memory.list_keys() == []
        assert await service.load_artifact(**ONE, filename="log") is None

    run(test)


def test_artifacts_of_a_user_are_in_all_sessions(place: Any) -> None:
    async def test() -> None:
        service = BotWireArtifactService(**place)
        text = types.Part(text="hello")
        await service.save_artifact(**ONE, filename="user:me.txt", artifact=text)
        await service.save_artifact(**ONE, filename="it.txt", artifact={"text": "x"})
        other = {**ADA, "session_id": "user"}
        assert await service.list_artifact_keys(**ONE) == ["it.txt", "user:me.txt"]
        assert await service.list_artifact_keys(**other) == ["user:me.txt"]
        assert await service.list_artifact_keys(**ADA) == ["user:me.txt"]
        assert await service.load_artifact(**ADA, filename="user:me.txt") == text
        bob = {"app_name": "app", "user_id": "bob", "session_id": "1"}
        assert await service.list_artifact_keys(**bob) == []
        with pytest.raises(InputValidationError, match="Session ID"):
            await service.load_artifact(**ADA, filename="it.txt")
        with pytest.raises(InputValidationError, match="type"):
            await service.save_artifact(**ONE, filename="it.txt", artifact=types.Part())
        assert await service.list_versions(**ONE, filename="it.txt") == [0]

    run(test)


def test_two_concurrent_saves_of_an_artifact_get_two_versions(place: Any) -> None:
    async def test() -> None:
        services = [BotWireArtifactService(**place) for _ in range(2)]
        parts = [types.Part(text=str(number)) for number in range(20)]
        saved = await asyncio.gather(
            *(
                services[number % 2].save_artifact(**ONE, filename="f", artifact=part)
                for number, part in enumerate(parts)
            )
        )
        assert sorted(saved) == list(range(20))
        for version, part in zip(saved, parts, strict=True):
            assert await services[0].load_artifact(**ONE, filename="f", version=version) == part

    run(test)


def test_references_stay_with_their_user_and_end(place: Any) -> None:
    async def test() -> None:
        service = BotWireArtifactService(**place)
        text = types.Part(text="hello")
        await service.save_artifact(**ONE, filename="user:a", artifact=text)
        about = await service.get_artifact_version(**ONE, filename="user:a")
        assert about is not None

        def to(uri: str) -> types.Part:
            return types.Part(file_data=types.FileData(file_uri=uri, mime_type="text/plain"))

        await service.save_artifact(**ONE, filename="b", artifact=to(about.canonical_uri))
        assert await service.load_artifact(**ONE, filename="b") == text
        circle = "artifact://apps/app/users/ada/sessions/1/artifacts/c/versions/0"
        await service.save_artifact(**ONE, filename="c", artifact=to(circle))
        with pytest.raises(InputValidationError, match="references"):
            await service.load_artifact(**ONE, filename="c")
        for elsewhere in (circle.replace("ada", "bob"), circle.replace("sessions/1", "sessions/2")):
            with pytest.raises(InputValidationError, match="scope"):
                await service.save_artifact(**ONE, filename="d", artifact=to(elsewhere))
        assert await service.list_versions(**ONE, filename="d") == []

    run(test)


# --- the command line ---------------------------------------------------------------------------

_YAML = """
services:
  - {scheme: botwire, type: session, class: botwire_google_adk.BotWireSessionService}
  - {scheme: botwire, type: memory, class: botwire_google_adk.BotWireMemoryService}
  - {scheme: botwire, type: artifact, class: botwire_google_adk.BotWireArtifactService}
"""


@pytest.mark.parametrize("by_file", [True, False])
def test_adk_web_takes_an_address(tmp_path: Path, place: Any, by_file: bool) -> None:
    registry = get_service_registry()
    for kind in ("session", "memory", "artifact"):
        getattr(registry, f"_{kind}_factories").pop("botwire", None)
    if by_file:
        (tmp_path / "services.yaml").write_text(_YAML)
        load_services_module(str(tmp_path))
    else:
        register_services()
    uri = f"botwire://{place['namespace']}?url={place['url']}"
    sessions = create_session_service_from_options(base_dir=tmp_path, session_service_uri=uri)
    memories = create_memory_service_from_options(base_dir=tmp_path, memory_service_uri=uri)
    artifacts = create_artifact_service_from_options(base_dir=tmp_path, artifact_service_uri=uri)
    assert isinstance(sessions, BotWireSessionService)
    assert isinstance(memories, BotWireMemoryService)
    assert isinstance(artifacts, BotWireArtifactService)
    run(lambda: sessions.create_session(**ONE))
    mine = BotWireSessionService(**place)
    assert [one.id for one in asyncio.run(mine.list_sessions(**ADA)).sessions] == ["1"]


def test_an_address_that_contradicts_is_refused() -> None:
    for arguments in (
        {"uri": "botwire://a", "namespace": "b"},
        {"uri": "botwire://a", "url": "sqlite://"},
        {"uri": "sqlite:///a.db"},
        {"uri": "botwire://a?key=b"},
        {"ttl": -1.0},
    ):
        with pytest.raises(ConfigurationError):
            BotWireSessionService(**arguments)
