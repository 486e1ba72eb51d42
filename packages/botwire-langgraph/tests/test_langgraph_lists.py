"""A list is stored in parts: always exact, and each put stores only what is new."""

from __future__ import annotations

import gc
import math
from collections import OrderedDict
from collections.abc import Callable, Iterable
from enum import StrEnum
from itertools import pairwise, permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.base import CipherProtocol
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.message import REMOVE_ALL_MESSAGES

from botwire import framing
from botwire import operations as ops
from botwire.list_parts import part_numbers
from botwire_langgraph import BotWireSaver, lists
from botwire_langgraph.images import Image
from botwire_langgraph.serializer import StrictSerializer

SERDE = StrictSerializer()
THREAD: Any = {"configurable": {"thread_id": "t"}}


@pytest.fixture
def saver(place_url: str, namespace: str) -> BotWireSaver:
    """An empty saver."""
    return BotWireSaver(namespace, url=place_url)


items = st.dictionaries(st.text(max_size=3), st.integers(0, 9) | st.text() | st.none(), max_size=2)


def test_the_garbage_collector_pauses_while_a_thread_is_read(
    place_url: str, namespace: str
) -> None:
    collecting: list[bool] = []

    class Watched(StrictSerializer):
        def loads_typed(self, data: tuple[str, bytes]) -> Any:
            collecting.append(gc.isenabled())
            return super().loads_typed(data)

    graph: Any = StateGraph(MessagesState)
    graph.add_node("reply", lambda _: {"messages": [AIMessage("hi")]})
    graph.add_edge(START, "reply").add_edge("reply", END)
    talks = graph.compile(checkpointer=BotWireSaver(namespace, url=place_url))
    talks.invoke({"messages": [HumanMessage("hi")]}, THREAD)
    saver = BotWireSaver(namespace, url=place_url, serde=Watched())
    found = saver.get_tuple(THREAD)
    assert found is not None
    assert len(found.checkpoint["channel_values"]["messages"]) == 2
    assert collecting[-2:] == [False] * 2  # the messages; before them, the checkpoint itself
    assert gc.isenabled()


@given(st.lists(st.lists(items, min_size=1, max_size=8), min_size=1, max_size=8), st.randoms())
def test_every_version_of_a_list_is_made_of_the_parts(versions: list[Any], random: Any) -> None:
    """Versions share items in any order; some continue from an older one, as forks do."""
    parts: dict[int, bytes] = {}
    made: list[tuple[list[Any], list[list[int]], lists.KnownList]] = []
    for version in versions:
        before = random.choice(made)[2] if made and random.random() < 0.8 else lists.NOTHING
        value = version + (random.choice(made)[0] if made else [])
        random.shuffle(value)
        before = before._replace(last=max(parts, default=0))
        kept, fresh = lists.divide(SERDE, value, before)
        if fresh:
            parts[kept.last] = framing.join(fresh)
        made.append((value, kept.spans(), kept))
    for value, spans, kept in made:
        taken = {number: parts[number] for number in part_numbers(spans)}
        items, again = lists.rebuild(SERDE, spans, taken)
        assert items == value
        assert again.positions == kept.positions
        assert again.digests == kept.digests


CHANGES: dict[str, Callable[[Any], Any]] = {
    "text": lambda message: setattr(message, "content", f"{message.content}!"),
    "no text": lambda message: setattr(message, "content", [{"type": "text", "text": "x"}]),
    "1": lambda message: message.additional_kwargs.update(n=1),
    "True": lambda message: message.additional_kwargs.update(n=True),
    "1.0": lambda message: setattr(message, "additional_kwargs", {"n": 1.0}),
    "nan": lambda message: message.additional_kwargs.update(n=math.nan),
    "nested": lambda message: message.response_metadata.setdefault("a", []).append({"b": "c"}),
    "order": lambda message: setattr(
        message, "response_metadata", dict(reversed(message.response_metadata.items()))
    ),
    "extra": lambda message: setattr(message, "more", "x"),
    "another extra": lambda message: setattr(message, "others", {"x": [None]}),
    "name": lambda message: setattr(message, "name", None if message.name else "n"),
    "call": lambda message: message.tool_calls[0]["args"].update(x=message.tool_calls[0]["id"]),
    "none": lambda message: None,
}


def in_full(messages: Iterable[Any]) -> list[Any]:
    """Returns everything that tells messages apart, also values that are merely equal."""
    return [
        (type(one), repr(vars(one)), repr(one.__pydantic_extra__), one.__pydantic_fields_set__)
        for one in messages
    ]


@given(st.lists(st.lists(st.tuples(st.sampled_from([*CHANGES]), st.integers(0, 9)), max_size=3)))
def test_what_changes_in_place_is_stored_and_what_was_read_stays_apart(steps: list[Any]) -> None:
    call = {"name": "look", "args": {}, "id": "c"}
    value: list[Any] = [HumanMessage("a", id="1"), AIMessage("b", id="2", tool_calls=[call])]
    kept, parts = lists.NOTHING, dict[int, bytes]()
    for changes in steps:
        for name, position in changes:
            message = value[position % len(value)]
            if name != "call" or isinstance(message, AIMessage):
                CHANGES[name](message)
        value = [*value, AIMessage("c", id=f"{len(value)}", tool_calls=[call])]
        kept, fresh = lists.divide(SERDE, value, kept)
        if fresh:
            parts[kept.last] = framing.join(fresh)
        stored = in_full(SERDE.loads_typed(SERDE.dumps_typed(value)))
        taken = {number: parts[number] for number in part_numbers(kept.spans())}
        items, read = lists.rebuild(SERDE, kept.spans(), taken)
        assert in_full(items) == stored
        again, revived = lists.rejoin(SERDE, read, {})
        for change in CHANGES.values():
            for message in (items[-1], again[-1]):
                change(message)
        assert in_full(lists.rejoin(SERDE, read, {})[0]) == stored
        if len(steps) % 2:  # the next turn begins with what was read
            value, kept = lists.rejoin(SERDE, revived, {})


def test_a_list_that_grows_has_few_spans() -> None:
    kept, value = lists.NOTHING, []
    for turn in range(200):
        value += [{"turn": turn}, {"same": "each time"}]
        kept, fresh = lists.divide(SERDE, value, kept)
        assert len(fresh) == 2
        assert kept.spans() == [[1, turn + 1]]
    kept, fresh = lists.divide(SERDE, [*value[:100], *value[101:]], kept)
    assert fresh == []
    assert kept.spans() == [[1, 50], [51, 51, 1, 2], [52, 200]]


def test_a_list_in_too_many_pieces_is_written_anew() -> None:
    value = [{"i": i} for i in range(1000)]
    kept, _ = lists.divide(SERDE, value)
    kept, fresh = lists.divide(SERDE, value[::2], kept)
    assert len(fresh) == 500
    assert kept.spans() == [[2, 2]]


def conversation(checkpointer: Any) -> Any:
    builder = StateGraph(MessagesState)
    builder.add_node("answer", lambda state: {"messages": [AIMessage("answer " * 30)]})
    builder.add_edge(START, "answer")
    builder.add_edge("answer", END)
    return builder.compile(checkpointer=checkpointer)


def contents(history: Any) -> list[Any]:
    return [[message.content for message in state.values.get("messages", [])] for state in history]


def test_the_past_is_exact_where_its_parts_are_more_than_a_page_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ops, "MAX_PAGE_BYTES", 600)
    url = f"sqlite:///{tmp_path / 'memory.db'}"
    test_the_whole_past_of_an_edited_conversation_is_exact(BotWireSaver("n", url=url), url)


def test_the_whole_past_of_an_edited_conversation_is_exact(
    saver: BotWireSaver, place_url: str
) -> None:
    def talk(checkpointer: Any, elsewhere: Any) -> list[Any]:
        app = conversation(checkpointer)
        for turn in range(6):
            app.invoke({"messages": [HumanMessage(f"turn {turn}", id=f"m{turn}")]}, THREAD)
        app.update_state(THREAD, {"messages": [RemoveMessage(id="m1")]})
        app.update_state(THREAD, {"messages": [HumanMessage("edited", id="m3")]})
        past = list(app.get_state_history(THREAD))[8]
        app.invoke({"messages": [HumanMessage("another way")]}, past.config)
        # Another process knows nothing of the parts.
        other = conversation(elsewhere)
        other.invoke({"messages": [HumanMessage("from elsewhere")]}, THREAD)
        app.invoke({"messages": [HumanMessage("again here")]}, THREAD)
        app.update_state(THREAD, {"messages": [RemoveMessage(id=REMOVE_ALL_MESSAGES)]})
        app.invoke({"messages": [HumanMessage("anew")]}, THREAD)
        history = list(other.get_state_history(THREAD))
        again = [other.get_state(state.config) for state in history]
        assert contents(again) == contents(history)
        return contents(history)

    memory = InMemorySaver()
    elsewhere = BotWireSaver(saver.connection.namespace, url=place_url)
    found = talk(saver, elsewhere)
    assert found == talk(memory, memory)
    assert len(found) > 30


def stored(saver: BotWireSaver) -> int:
    """Returns the size of the store in bytes."""
    memory = saver.connection.memory
    entries = memory.iter_entries("*")
    return sum(
        len(entry.key) + len(value if isinstance(value := entry.value, bytes) else repr(value))
        for entry in entries
    )


class Cipher(CipherProtocol):
    """Produces different bytes each time, as a cipher must."""

    count = 0

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        self.count += 1
        return "odd", self.count.to_bytes(8) + bytes(byte ^ 85 for byte in plaintext)

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        return bytes(byte ^ 85 for byte in ciphertext[8:])


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
def test_a_turn_stores_what_is_new(saver: BotWireSaver, *, encrypted: bool) -> None:
    if encrypted:
        saver.serde = EncryptedSerializer(Cipher(), SERDE)
    app = conversation(saver)
    sizes = [0]
    for turn in range(24):
        app.invoke({"messages": [HumanMessage(f"turn {turn} " * 10)]}, THREAD)
        if turn % 8 == 7:
            sizes.append(stored(saver))
    first, _, third = (later - before for before, later in pairwise(sizes))
    assert third < first * 1.1
    assert len(app.get_state(THREAD).values["messages"]) == 48


def test_pruning_gives_space_back_and_keeps_the_conversation(saver: BotWireSaver) -> None:
    app = conversation(saver)
    for turn in range(10):
        app.invoke({"messages": [HumanMessage(f"turn {turn}")]}, THREAD)
    before, full = app.get_state(THREAD).values, stored(saver)
    saver.prune(["t"])
    assert stored(saver) < full / 4
    assert app.get_state(THREAD).values == before
    app.invoke({"messages": [HumanMessage("more")]}, THREAD)
    assert (
        conversation(BotWireSaver(client=saver.connection.memory))
        .get_state(THREAD)
        .values["messages"][:20]
        == before["messages"]
    )
    saver.delete_thread("t")
    assert [key for key in saver.connection.memory.list_keys() if "/t/" in key] == []


def test_deleting_a_run_gives_its_space_back(saver: BotWireSaver) -> None:
    app = conversation(saver)
    for run in ("first", "second"):
        app.invoke(
            {"messages": [HumanMessage(f"{run} {'word ' * 500}")]},
            {**THREAD, "metadata": {"run_id": run}},
        )
    values, full = app.get_state(THREAD).values, stored(saver)
    saver.delete_for_runs(["first"])
    assert app.get_state(THREAD).values == values
    saver.delete_for_runs(["second"])
    assert stored(saver) < full / 20
    assert saver.list_threads() == []


def test_a_run_goes_on_while_its_thread_is_pruned(saver: BotWireSaver, place_url: str) -> None:
    janitor = BotWireSaver(saver.connection.namespace, url=place_url)
    builder = StateGraph(MessagesState)
    for name in ("one", "two", "three"):

        def step(state: Any, name: str = name) -> Any:
            janitor.prune(["t"])
            return {"messages": [AIMessage(name)]}

        builder.add_node(name, step)
    builder.add_edge(START, "one")
    builder.add_edge("one", "two")
    builder.add_edge("two", "three")
    app = builder.compile(checkpointer=saver)
    for turn in range(3):
        app.invoke({"messages": [HumanMessage(f"{turn}")]}, THREAD, durability="sync")
    found = [message.content for message in app.get_state(THREAD).values["messages"]]
    assert found == [part for turn in range(3) for part in (f"{turn}", "one", "two", "three")]
    read = janitor.get_tuple(THREAD)
    assert read is not None
    assert len(read.checkpoint["channel_values"]["messages"]) == 12


def test_what_other_savers_keep_whole_is_kept_whole(saver: BotWireSaver) -> None:
    values = {"numbers": [1, 2.5], "words": ["a", "b"], "none": [], "mixed": [[1], 2], "t": (1,)}
    checkpoint = empty_checkpoint()
    checkpoint["channel_values"] = values
    checkpoint["channel_versions"] = dict.fromkeys(values, "1")
    config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    saver.put(config, checkpoint, {}, checkpoint["channel_versions"])
    found = saver.get_tuple(THREAD)
    assert found is not None
    assert found.checkpoint["channel_values"] == {**values, "t": [1]}
    assert len(saver.connection.memory.list_keys("parts/*")) == 1


class Colour(StrEnum):
    """Equal to a plain string."""

    RED = "red"


@pytest.mark.parametrize(
    "values",
    [
        [1, True, 1.0],
        [0, False, 0.0, -0.0],
        ["red", Colour.RED],
        [{"a": 1, "b": 2}, {"b": 2, "a": 1}, OrderedDict(a=1, b=2)],
        [{1: "a"}, {"1": "a"}, {1.0: "a"}, {True: "a"}],
        ["\ud800", "?"],
        [b"a", "a"],
        [[1], (1,), {1}, frozenset({1})],
        [2**64, 2.0**64],
    ],
    ids=repr,
)
def test_values_that_are_merely_equal_are_told_apart(values: list[Any]) -> None:
    found = [Image.of([HumanMessage("x", additional_kwargs={"v": value})]) for value in values]
    for one, other in permutations([image for image in found if image], 2):
        assert not one.begins_with(other)
    read = [
        Image.of([HumanMessage("x", additional_kwargs={"v": value})], revived=True)
        for value in values
    ]
    for image, value in zip(read, values, strict=True):
        if image is not None:
            (message,) = image.revive()
            assert repr(message.additional_kwargs["v"]) == repr(value)


def test_equal_values_under_other_names_are_another_message() -> None:
    named, identified = HumanMessage("x", name="n"), HumanMessage("x")
    fields = vars(identified)
    order = [{"name": "id", "id": "name"}.get(name, name) for name in fields]
    identified.__dict__ = {name: {**fields, "id": "n"}[name] for name in order}
    one, other = Image.of([named]), Image.of([identified])
    assert one is not None
    assert other is not None
    assert not one.begins_with(other)
    assert one.begins_with(one)
