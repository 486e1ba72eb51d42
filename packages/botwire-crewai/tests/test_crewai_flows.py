"""States of flows and questions to a person survive their process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from crewai.flow import ConversationState, Flow, listen, persist, start
from crewai.flow.async_feedback.types import PendingFeedbackContext
from crewai.flow.persistence import base
from crewai.flow.persistence.factory import default_flow_persistence
from crewai.flow.persistence.sqlite import SQLiteFlowPersistence
from pydantic import BaseModel

from botwire import ConflictError, Memory, TransportError
from botwire_crewai import BotWireFlowPersistence, install, uninstall
from tests.zygote import Program, Zygote


class State(BaseModel):
    id: str = "f"
    when: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    tags: set[str] = {"a"}


@pytest.fixture
def kept(place_url: str, namespace: str) -> Iterator[BotWireFlowPersistence]:
    """The persistence under test."""
    yield BotWireFlowPersistence(namespace, url=place_url)
    uninstall()


def test_the_last_state_wins(kept: BotWireFlowPersistence) -> None:
    assert kept.load_state("f") is None
    kept.save_state("f", "one", {"n": 1})
    kept.save_state("f", "two", {"n": 2, "nan": float("nan"), "$bytes": "x", "when": datetime})
    kept.save_state("g", "one", State())
    found = kept.load_state("f")
    assert found is not None
    assert (found["n"], found["$bytes"], str(found["nan"])) == (2, "x", "nan")
    assert State.model_validate(kept.load_state("g")) == State()


def test_a_number_may_be_the_id_as_in_crewais_own(
    kept: BotWireFlowPersistence, tmp_path: Path
) -> None:
    for persistence in (kept, SQLiteFlowPersistence(str(tmp_path / "own.db"))):

        @persist(persistence)
        class Counting(Flow):
            @start()
            def count(self) -> int:
                self.state["n"] = self.state.get("n", 0) + 1
                return int(self.state["n"])

        counted = [Counting().kickoff(inputs={"id": 5}) for _ in range(2)]
        assert counted == [1, 2]
        assert persistence.load_state("5") == {"id": 5, "n": 2}


def test_a_question_to_a_person_is_kept(kept: BotWireFlowPersistence) -> None:
    assert kept.load_pending_feedback("f") is None
    context = PendingFeedbackContext(
        flow_id="f", flow_class="a.B", method_name="ask", method_output={"x": 1}, message="Good?"
    )
    kept.save_pending_feedback("f", context, State())
    found = kept.load_pending_feedback("f")
    assert found is not None
    state, again = found
    assert State.model_validate(state) == State()
    assert again == context
    kept.clear_pending_feedback("f")
    assert kept.load_pending_feedback("f") is None
    assert kept.load_state("f") is not None


def talking(kept: BotWireFlowPersistence, meanwhile: Callable[[], None]) -> Any:
    @persist(kept)
    class Talking(Flow[ConversationState]):
        conversational = True

        def route_turn(self, context: dict[str, Any]) -> str | None:
            return "answering"

        @listen("answering")
        def echo(self) -> str:
            meanwhile()
            return f"You said {self.state.current_user_message}"

    return Talking(suppress_flow_events=True)


def said(kept: BotWireFlowPersistence) -> list[str]:
    state = kept.load_state("s")
    assert state is not None
    return [message["content"] for message in state["messages"]]


def test_a_conversation_goes_on_in_another_flow(kept: BotWireFlowPersistence) -> None:
    for number in range(3):  # a reply is saved after the kickoff, under this state's own version
        talking(kept, lambda: None).handle_turn(str(number), session_id="s")
    assert said(kept) == ["0", "You said 0", "1", "You said 1", "2", "You said 2"]


def test_of_two_turns_at_once_one_is_refused_and_nothing_is_overwritten(
    kept: BotWireFlowPersistence,
) -> None:
    flow = talking(kept, lambda: talking(kept, lambda: None).handle_turn("two", session_id="s"))
    with pytest.raises(RuntimeError, match="was saved by another run") as refused:
        flow.handle_turn("one", session_id="s")
    assert isinstance(refused.value.__cause__, ConflictError)
    assert said(kept)[-2:] == ["two", "You said two"]
    talking(kept, lambda: None).handle_turn("three", session_id="s")
    assert said(kept)[-2:] == ["three", "You said three"]


def test_a_reply_that_is_saved_after_the_kickoff_overwrites_nothing(
    kept: BotWireFlowPersistence, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = talking(kept, lambda: None)
    flow.handle_turn("one", session_id="s")
    monkeypatch.setattr(
        type(flow),
        "_append_public_turn_result_and_persist",
        lambda self, result: (
            talking(kept, lambda: None).handle_turn("two", session_id="s"),
            Flow._append_public_turn_result_and_persist(self, result),
        ),
    )
    with pytest.raises(RuntimeError, match="was saved by another run"):
        flow.handle_turn("late", session_id="s")
    assert said(kept)[-2:] == ["two", "You said two"]


def test_a_save_whose_answer_was_lost_is_no_conflict_with_itself(
    kept: BotWireFlowPersistence, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.save_state("s", "one", {"n": 1})
    kept.load_state("s")

    def lose_answer(self: Memory, *args: Any, **options: Any) -> int:
        with monkeypatch.context() as undone:
            undone.setattr(Memory, "set", real)
            self.set(*args, **options)
        raise TransportError("no answer", url="x")

    real = Memory.set
    with monkeypatch.context() as patched:
        patched.setattr(Memory, "set", lose_answer)
        with pytest.raises(TransportError):
            kept.save_state("s", "two", {"n": 2})
    kept.save_state("s", "three", {"n": 3})
    assert kept.load_state("s") == {"n": 3}


def test_a_dump_finds_the_same_states(place_url: str, namespace: str) -> None:
    kept = BotWireFlowPersistence(namespace, url=place_url, api_key="bw_secret")
    kept.save_state("f", "one", {"n": 1})
    dump = kept.model_dump(mode="json")
    assert "bw_secret" not in str(dump)
    cls = base._persistence_registry[dump["persistence_type"]]
    assert cls.model_validate(dump).load_state("f") == {"n": 1}


def test_install_keeps_states_of_flows_too(place_url: str, namespace: str) -> None:
    install(namespace, url=place_url)
    try:
        assert isinstance(default_flow_persistence(), BotWireFlowPersistence)
    finally:
        uninstall()
    assert not isinstance(default_flow_persistence(), BotWireFlowPersistence)


FLOW = """
import json, sys

from crewai.flow import Flow, HumanFeedbackPending, human_feedback, listen, persist, start

from botwire_crewai import BotWireFlowPersistence, install

namespace, url, *ids = sys.argv[1:]

def say(*said):
    # In one piece and on a line of its own, as CrewAI prints from threads at the same time.
    sys.stdout.write("\\nsaid " + json.dumps(said) + "\\n")
    sys.stdout.flush()

@persist(BotWireFlowPersistence(namespace, url=url))
class Steps(Flow):
    @start()
    def first(self):
        self.state["seen"] = [*self.state.get("seen", []), "first"]

    @listen(first)
    def second(self):
        if not ids:
            say(self.state["id"], review.state["id"])
            sys.stdin.read()
        self.state["seen"].append("second")

class Asking:
    def request_feedback(self, context, flow):
        raise HumanFeedbackPending(context=context)

class Review(Flow):
    @start()
    @human_feedback(message="Good?", provider=Asking())
    def draft(self):
        self.state["draft"] = "Ada likes tea"
        return {"text": self.state["draft"]}

    @listen(draft)
    def publish(self, result):
        return [self.state["draft"], result.output, result.feedback]

install(namespace, url=url)  # where a flow that waits is kept, if nobody says where
if ids:
    steps = Steps()
    steps.kickoff(inputs={"id": ids[0]})
    review = Review.from_pending(ids[1])
    asked = review.pending_feedback.message
    say(steps.state["seen"], asked, review.resume("yes"))
else:
    review = Review()
    assert isinstance(review.kickoff(), HumanFeedbackPending)
    Steps().kickoff()
"""


def test_killed_flows_go_on_in_a_new_process(
    zygote: Zygote, server_url: str, namespace: str, tmp_path: Path
) -> None:
    """One flow was working, and one waited for a person."""

    def run(*ids: str) -> Program:
        folder = {"CREWAI_STORAGE_DIR": str(tmp_path)}
        return zygote.start(FLOW, namespace, server_url, *ids, env=folder)

    def said(process: Program) -> list[Any]:
        # CrewAI prints its progress, and our line is somewhere in it.
        found: list[Any] = json.loads(
            next(line.removeprefix("said ") for line in process.stdout if line.startswith("said "))
        )
        return found

    with run() as first:
        ids = said(first)
        first.kill()
    with run(*ids) as second:
        seen, asked, published = said(second)
    assert seen == ["first", "first", "second"]
    assert asked == "Good?"
    assert published == ["Ada likes tea", {"text": "Ada likes tea"}, "yes"]
    assert BotWireFlowPersistence(namespace, url=server_url).load_pending_feedback(ids[1]) is None
    assert not list(tmp_path.rglob("*.db"))  # nothing is in CrewAI's own files


class Odd(BaseModel):
    id: str = "odd"
    data: Any = None
    thumb: bytes = b"\x89\xff\x00"


@pytest.mark.parametrize(
    "data",
    [b"\xff", float("nan"), float("inf"), "\ud800", {1, 2}, object, 10**30, Path("/x"), 1j],
    ids=repr,
)
def test_a_state_that_crewai_keeps_is_kept(
    data: Any, place_url: str, namespace: str, tmp_path: Path
) -> None:
    own = SQLiteFlowPersistence(str(tmp_path / "own.db"))
    ours = BotWireFlowPersistence(namespace, url=place_url)
    for state in (Odd(data=data), {"id": "odd", "data": data, "model": Odd(data=data)}):
        for kept in (own, ours):
            kept.save_state("odd", "m", state)
        assert repr(ours.load_state("odd")) == repr(own.load_state("odd"))
