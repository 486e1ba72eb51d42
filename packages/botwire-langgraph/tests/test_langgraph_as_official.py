"""What LangGraph's own savers and stores do, ours do too: serializers, types, filters, scores."""

from __future__ import annotations

import dataclasses
import enum
import operator
import zlib
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import END, START, StateGraph
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command, interrupt
from pydantic import BaseModel

from botwire_langgraph import BotWireSaver, BotWireStore


class Log(TypedDict):
    """A list that grows."""

    log: Annotated[list[str], operator.add]


class Mood(enum.Enum):
    """How somebody feels."""

    CALM = "calm"


@dataclasses.dataclass
class Trip:
    """Where to."""

    to: str


class Plan(BaseModel):
    """What to do."""

    steps: list[str]


class State(TypedDict):
    """Names classes of the program's own."""

    plan: Plan
    mood: Mood
    trip: Trip | None
    trips: list[Trip]
    done: str


def config(thread: str) -> Any:
    return {"configurable": {"thread_id": thread}}


class Packed(JsonPlusSerializer):
    """Compresses what LangGraph's serializer makes, under the same tags."""

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        kind, data = super().dumps_typed(obj)
        return kind, zlib.compress(data)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        kind, packed = data
        return super().loads_typed((kind, zlib.decompress(packed)))


def talks(saver: Any) -> Any:
    graph = StateGraph(Log).add_node("say", lambda s: {"log": [f"saw {len(s['log'])}"]})
    return graph.add_edge(START, "say").add_edge("say", END).compile(checkpointer=saver)


def test_a_serializer_of_ones_own_reads_every_turn(namespace: str, place_url: str) -> None:
    for turn in range(4):
        # A new process each time, as nothing is shared but the store.
        app = talks(BotWireSaver(namespace, url=place_url, serde=Packed()))
        log = app.invoke({"log": [f"turn {turn}"]}, config("t"))["log"]
        assert len(log) == 2 * (turn + 1)
        assert app.get_state(config("t")).values["log"] == log
    assert len(list(app.get_state_history(config("t")))) > 4


def acting(saver: Any) -> Any:
    def act(state: State) -> Any:
        interrupt("go on?")
        trips = ", ".join(trip.to for trip in state["trips"])
        assert state["trip"] is not None
        return {
            "done": f"{len(state['plan'].steps)} {state['mood'].name} {state['trip'].to} {trips}"
        }

    begun = {
        "plan": Plan(steps=["a", "b"]), "mood": Mood.CALM, "trip": Trip("Oslo"),
        "trips": [Trip("Rome"), Trip("Bern")],
    }  # fmt: skip
    graph = StateGraph(State).add_node("plan", lambda s: begun).add_node("act", act)
    return graph.add_edge(START, "plan").add_edge("plan", "act").compile(checkpointer=saver)


async def test_classes_that_the_schema_names_are_what_they_were(
    namespace: str, place_url: str
) -> None:
    acting(BotWireSaver(namespace, url=place_url)).invoke({"done": ""}, config("t"))
    app = acting(BotWireSaver(namespace, url=place_url))
    expected = "2 CALM Oslo Rome, Bern"
    assert app.get_state(config("t")).values["plan"] == Plan(steps=["a", "b"])
    assert app.invoke(Command(resume="yes"), config("t"))["done"] == expected
    awaited = acting(BotWireSaver(namespace, url=place_url))
    await awaited.ainvoke({"done": ""}, config("u"))
    assert (await awaited.ainvoke(Command(resume="yes"), config("u")))["done"] == expected


@pytest.mark.parametrize("name", ["a.b", "deep", "plain"])
def test_a_filter_of_list_finds_what_the_official_saver_finds(
    namespace: str, place_url: str, name: str
) -> None:
    def found(saver: Any) -> list[Any]:
        app = talks(saver)
        for value in (1, 2):
            app.invoke({"log": ["x"]}, {**config("t"), "metadata": {name: value}})
        return [one.metadata.get("step") for one in saver.list(config("t"), filter={name: 2})]

    ours = found(BotWireSaver(namespace, url=place_url))
    assert ours == found(InMemorySaver())
    assert ours


def test_a_store_without_an_index_gives_no_score(namespace: str, place_url: str) -> None:
    ours, stock = BotWireStore(namespace, url=place_url), InMemoryStore()
    for store in (ours, stock):
        for i in range(3):
            store.put(("notes",), f"n{i}", {"price": i, "text": "tea"})
    for query in (None, "tea"):
        assert [item.score for item in ours.search(("notes",), query=query)] == [
            item.score for item in stock.search(("notes",), query=query)
        ]


@pytest.mark.parametrize(
    ("condition", "keys"),
    [
        ({"$lt": float("inf")}, {"n0", "n1", "n2"}),
        ({"$gt": float("-inf")}, {"n0", "n1", "n2"}),
        ({"$gt": float("inf")}, set()),
        ({"$lte": float("nan")}, set()),
        ({"$eq": float("nan")}, set()),
        ({"$ne": float("inf")}, {"n0", "n1", "n2"}),
    ],
)
async def test_a_filter_may_name_what_json_has_no_number_for(
    namespace: str, place_url: str, condition: Any, keys: set[str]
) -> None:
    store = BotWireStore(namespace, url=place_url)
    for i in range(3):
        store.put(("notes",), f"n{i}", {"price": i})
    assert {item.key for item in store.search(("notes",), filter={"price": condition})} == keys
    found = await store.asearch(("notes",), filter={"price": condition})
    assert {item.key for item in found} == keys
