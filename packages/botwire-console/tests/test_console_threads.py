"""LangGraph threads, read from what botwire-langgraph stored, without LangGraph."""

from __future__ import annotations

import gzip
import struct
import sys
from pathlib import Path

import pytest

from botwire import Memory, transfer
from botwire.engines.opening import open_engine
from botwire.places import find_place
from botwire_console.message_pack import MAX_DEPTH, UnreadableError, unpack
from botwire_console.turns import turns_of_list
from tests.browsing import Browser, address, parse, squeezed

THREADS = Path(__file__).with_name("langgraph_threads.jsonl.gz")
TRIP = {"ns": "user-123", "thread": "oslo trip"}


@pytest.fixture(scope="module")
def loaded(server_url: str) -> str:
    engine = open_engine(find_place(server_url))
    with gzip.open(THREADS) as file:
        transfer.load(engine, file)
    engine.close()
    return server_url


@pytest.fixture
def threads(loaded: str) -> Browser:
    return Browser(loaded)


def test_threads_and_their_steps(threads: Browser) -> None:
    links = threads.see("threads", ns="user-123").links("thread")
    assert address("thread", **TRIP) in links
    assert address("thread", ns="user-123", thread="second/thread") in links
    page = threads.see("thread", **TRIP)
    steps = page.links("thread/step")
    assert len(steps) == 12
    text = squeezed(page.text)
    assert text.index("Step 10") < text.index("Step 9") < text.index("Step -1")
    assert "3 pending writes" in text
    assert "messages" in text
    for step in steps:
        assert threads.http.get(step).status_code == 200
    subgraph = [one["href"] for one in page.all("a", **{"class": "chip"})]
    assert len(subgraph) == 2
    assert "Step 1" in threads.http.get(subgraph[0]).text


def test_a_step_holds_values_and_two_are_compared(threads: Browser) -> None:
    latest, before, *_ = threads.see("thread", **TRIP).links("thread/step")
    text = threads.http.get(latest).text
    for said in ("Is it a good week for Oslo?", "weather", "Friday 14°, sun", "Shall I book"):
        assert said in text
    id = before.rpartition("=")[2]
    compared = threads.http.get(f"{latest}&with={id}").text
    assert "From step 9 to step 10" in squeezed(compared)
    assert "<ins>" in compared
    assert "18:24" in compared
    assert "seats</bdi></h2>" not in compared  # that did not change
    assert threads.get("thread/step", **TRIP, id="none").status_code == 404
    assert "no checkpoints" in threads.see("thread", ns="user-123", thread="none").text
    assert "langgraph" not in sys.modules


def test_messages_of_a_step_are_a_conversation(threads: Browser) -> None:
    latest, before, *_ = threads.see("thread", **TRIP).links("thread/step")
    page = parse(threads.http.get(latest))
    roles = [str(one.get("class")).split() for one in page.all("li")]
    assert [role for turn, role in (one for one in roles if len(one) == 2)] == [
        "user", "assistant", "assistant", "user"
    ]  # fmt: skip
    (said,) = page.texts("ol")
    assert "Is it a good week for Oslo?" in said
    assert "additional_kwargs" not in said
    call, everything, *_ = page.texts("details")
    assert "weather" in call  # with its answer
    assert "Friday 14°, sun" in call
    assert "additional_kwargs" in everything  # the JSON, folded
    # Compared with an earlier step, it shows what was said since.
    id = before.rpartition("=")[2]
    *_, first = threads.see("thread", **TRIP).links("thread/step")
    for other, since in ((id, 0), (first.rpartition("=")[2], 4)):
        page = parse(threads.http.get(f"{latest}&with={other}"))
        turns = [one for one in page.all("li") if str(one.get("class")).startswith("turn ")]
        assert len(turns) == since


@pytest.mark.parametrize(
    ("value", "roles"),
    [
        ([{"role": "user", "content": "hi"}], ["user"]),
        ([{"type": "human", "content": "hi"}, {"type": "ai", "content": ""}],
         ["user", "assistant"]),
        ([{"type": "ai", "content": [{"type": "thinking", "thinking": "hm"}]}], ["assistant"]),
        ([{"type": "human", "data": {"content": "hi"}}], None),
        ([{"type": "human", "content": "hi"}, {"a": 1}], None),
        ([{"a": 1}], None),
        (["hi"], None),
        ([], None),
        ({"role": "user", "content": "hi"}, None),
    ],
    ids=range(9),
)  # fmt: skip
def test_only_lists_of_messages_are_conversations(value: object, roles: list[str] | None) -> None:
    turns = turns_of_list(value)
    assert (None if turns is None else [turn.role for turn in turns]) == roles


def test_a_call_in_two_forms_is_one_call() -> None:
    use = {"type": "tool_use", "id": "c1", "name": "look", "input": {}}
    calls = [{"id": "c1", "name": "look", "args": {}}, {"id": "c2", "name": "look", "args": {}}]
    (turn,) = turns_of_list([{"type": "ai", "content": [use], "tool_calls": calls}]) or ()
    assert [call.id for call in turn.calls] == ["c1", "c2"]


def test_names_that_only_look_like_threads_stop_no_page(
    browser: Browser, memory: Memory, namespace: str
) -> None:
    for name in ("heads/%ff/", "heads/%ff/%fe", "heads/t/%ff", "heads/t/"):
        memory.set(name, {})
    browser.see("threads", ns=namespace)
    browser.see("search", ns=namespace, q="oslo")
    browser.see("thread", ns=namespace, thread="t")
    answer = browser.post(address("selection", ns=namespace, kind="keys"), n="heads%2F%ff")
    assert answer.status_code == 200


def test_a_search_finds_the_thread_and_not_its_parts(threads: Browser) -> None:
    page = threads.see("search", ns="user-123", q="oslo")
    assert page.links("thread") == [address("thread", **TRIP)]
    assert page.links("key") == []


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"\xc0", None),
        (b"\xc3", True),
        (b"\x7f", 127),
        (b"\xff", -1),
        (b"\xd1\xff\x00", -256),
        (b"\xcf" + b"\xff" * 8, 2**64 - 1),
        (b"\xcb" + struct.pack(">d", 1.5), 1.5),
        (b"\xa2hi", "hi"),
        (b"\xd9\x02hi", "hi"),
        (b"\xa1\xff", "\\xff"),
        (b"\x92\x01\xa1a", [1, "a"]),
        (b"\xdc\x00\x01\x01", [1]),
        (b"\x81\x01\xa1a", {"1": "a"}),
        (b"\xc4\x02\x00\xff", {"(class)": "bytes", "bytes": 2, "begins": "00 ff"}),
        (b"\xc7\x0a\x00\x93\xa4uuid\xa1U\xa1x", "x"),
        (b"\xc7\x0b\x05\x94\xa1m\xa1C\x81\xa1a\x01\xa1v", {"(class)": "C", "a": 1}),
        (b"\xc7\x0b\x05\x93\x90\xa1C\x81\xa1a\x01", {"(class)": "C", "a": 1}),
        (b"\xd6\xff" + struct.pack(">I", 2), 2.0),
        (b"\xd4\x09\xc1", {"(class)": "extension 9", "bytes": 1}),
    ],
    ids=range(19),
)
def test_message_pack_is_read_as_data(data: bytes, value: object) -> None:
    if data[:1] == b"\xc7":
        data = data[:1] + bytes([len(data) - 3]) + data[2:]
    assert unpack(data) == value


@pytest.mark.parametrize(
    "data",
    [b"", b"\xc1", b"\xa2h", b"\x01\x01", b"\xdf\xff\xff\xff\xff", b"\x91" * (MAX_DEPTH + 5)],
    ids=range(6),
)
def test_what_is_no_message_pack_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadableError):
        unpack(data)
