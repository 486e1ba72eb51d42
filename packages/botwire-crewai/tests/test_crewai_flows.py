"""States of flows survive their process, and so does a question to a person."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from crewai.flow.async_feedback.types import PendingFeedbackContext
from crewai.flow.persistence import base
from crewai.flow.persistence.factory import default_flow_persistence
from pydantic import BaseModel

from botwire_crewai import BotWireFlowPersistence, install, uninstall

UUID = re.compile(r"[0-9a-f-]{36}")


class State(BaseModel):
    id: str = "f"
    when: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    tags: set[str] = {"a"}


@pytest.fixture
def kept(place_url: str, namespace: str) -> Iterator[BotWireFlowPersistence]:
    """Where states of flows are kept."""
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
import sys
from crewai.flow import Flow, listen, persist, start
from botwire_crewai import BotWireFlowPersistence

namespace, url, last = sys.argv[1:]

@persist(BotWireFlowPersistence(namespace, url=url))
class Steps(Flow):
    @start()
    def first(self):
        self.state["seen"] = [*self.state.get("seen", []), "first"]

    @listen(first)
    def second(self):
        if last == "wait":
            print(self.state["id"], flush=True)
            sys.stdin.read()
        self.state["seen"].append("second")

flow = Steps()
flow.kickoff(inputs=None if last == "wait" else {"id": last})
print(*flow.state["seen"], flush=True)
"""


@pytest.mark.timeout(400)  # four processes that import CrewAI, one after the other
def test_a_killed_flow_goes_on_in_a_new_process(
    server_url: str, namespace: str, tmp_path: Path
) -> None:
    def run(last: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", FLOW, namespace, server_url, last],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "CREWAI_STORAGE_DIR": str(tmp_path)},
        )

    with run("wait") as first:
        assert first.stdout is not None
        # CrewAI prints what it does, and somewhere in it there is the line of the flow.
        flow_id = next(line.strip() for line in first.stdout if UUID.fullmatch(line.strip()))
        os.kill(first.pid, signal.SIGKILL)
    with run(flow_id) as second:
        output, _ = second.communicate(timeout=60)
    assert output.strip().endswith("first first second")
