"""Ours behave like LangGraph's own savers and stores: serializers, types, filters, scores."""

from __future__ import annotations

import dataclasses
import enum
import operator
import uuid
import zlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Generic, NamedTuple, TypedDict, TypeVar

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, StateGraph
from langgraph.prebuilt import ToolRuntime
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command, interrupt
from pydantic import BaseModel, SecretStr

from botwire import Author, Memory
from botwire_langgraph import BotWireSaver, BotWireStore

T = TypeVar("T")


class ScriptedModel(GenericFakeChatModel):
    """Gives scripted answers, whatever tools it has."""

    def bind_tools(self, tools: Any, **options: Any) -> Any:
        """Takes them."""
        return self


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
    """Compresses the output of LangGraph's serializer, under the same type tags."""

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
        # A new process each time: only the store is shared.
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


class Box(TypedDict, Generic[T]):
    """Holds something, in a schema that is generic."""

    held: T


class Pair(NamedTuple):
    """Two numbers."""

    left: int
    right: int


@dataclasses.dataclass
class Stop:
    """Has annotations of which some cannot be resolved."""

    plan: Deferred
    unknown: Missing | None = None  # type: ignore[name-defined]  # noqa: F821


class Deferred(BaseModel):
    """Named before it is there."""

    mood: Mood


class Shape:
    """The base of classes that hold data; it holds none."""


@dataclasses.dataclass
class Round(Shape):
    """One of several."""

    mood: Mood


class Ring(Round):
    """Two levels below."""


class LongPlan(Plan):
    """More than a plan."""

    trips: list[Trip]


class Named(TypedDict, total=False):
    """Names classes in many ways."""

    stop: Stop
    pair: Pair
    secret: SecretStr
    many: Sequence[Trip]
    by_name: Mapping[str, Plan]
    box: Box[Trip]
    shapes: list[Shape]
    longer: Plan


class Told(BaseModel):
    """A class that only a response format or a task names."""

    text: str


@dataclasses.dataclass
class Else:
    """Another."""

    text: str


NAMED: Named = {
    "stop": Stop(Deferred(mood=Mood.CALM)),
    "pair": Pair(1, 2),
    "secret": SecretStr("x"),
    "many": [Trip("Rome")],
    "by_name": {"a": Plan(steps=["b"])},
    "box": {"held": Trip("Bern")},
    "shapes": [Round(Mood.CALM), Ring(Mood.CALM)],
    "longer": LongPlan(steps=["b"], trips=[Trip("Bonn")]),
}


@pytest.mark.parametrize("name", list(NAMED))
def test_a_class_is_found_however_a_schema_names_it(
    namespace: str, place_url: str, name: str
) -> None:
    def graph() -> Any:
        schema: Any = TypedDict("One", {name: Named.__annotations__[name]})  # type: ignore[misc]
        one = StateGraph(schema).add_node("fill", lambda s: {name: NAMED[name]})  # type: ignore[literal-required]
        return one.add_edge(START, "fill").compile(BotWireSaver(namespace, url=place_url))

    graph().invoke({name: None}, config("t"))
    found = graph().get_state(config("t")).values[name]
    assert found == NAMED[name]  # type: ignore[literal-required]
    assert type(found) is type(NAMED[name])  # type: ignore[literal-required]


@pytest.mark.parametrize(
    "response_format",
    [Told, ToolStrategy(Told), ToolStrategy(Else | Told), ProviderStrategy(Told)],
    ids=["class", "tool", "union", "provider"],
)
async def test_a_structured_response_is_what_it_was(
    namespace: str, place_url: str, response_format: Any
) -> None:
    def agent() -> Any:
        is_provider = isinstance(response_format, ProviderStrategy)
        call = {"name": "Told", "args": {"text": "yes"}, "id": "1"}
        reply = AIMessage(
            '{"text": "yes"}' if is_provider else "", tool_calls=[] if is_provider else [call]
        )
        model = ScriptedModel(messages=iter([reply]))
        saver = BotWireSaver(namespace, url=place_url)
        return create_agent(model, [], response_format=response_format, checkpointer=saver)

    agent().invoke({"messages": ["hi"]}, config("t"))
    found = agent().get_state(config("t")).values["structured_response"]
    assert found == Told(text="yes")
    found = (await agent().aget_state(config("t"))).values["structured_response"]
    assert found == Told(text="yes")


@task
def tell(text: str) -> list[Told]:
    """A task whose result is stored, and read by the resumed run."""
    return [Told(text=text)]


def test_what_a_finished_task_returned_is_what_it_was(namespace: str, place_url: str) -> None:
    def flow() -> Any:
        @entrypoint(checkpointer=BotWireSaver(namespace, url=place_url))
        def work(text: str, *, previous: Any = None) -> entrypoint.final[str, Trip]:
            (told,) = [tell(one).result()[0] for one in [text]]
            interrupt("go on?")
            before = previous.to if previous else "nowhere"
            return entrypoint.final(value=f"{told.text} from {before}", save=Trip("Oslo"))

        return work

    for before in ("nowhere", "Oslo"):
        flow().invoke("hi", config("t"))
        assert flow().invoke(Command(resume="yes"), config("t")) == f"hi from {before}"


def test_what_a_subgraph_asked_is_what_it_was(namespace: str, place_url: str) -> None:
    def graph() -> Any:
        class Within(TypedDict):
            """Of the subgraph."""

            asked: Told
            done: str

        class Around(TypedDict):
            """Names nothing."""

            done: str

        ask = StateGraph(Within).add_node("ask", lambda s: interrupt(Told(text="go on?")))
        within = ask.add_edge(START, "ask").compile()
        around = StateGraph(Around).add_node("within", within).add_edge(START, "within")
        return around.compile(BotWireSaver(namespace, url=place_url))

    graph().invoke({"done": ""}, config("t"))
    (asked,) = graph().get_state(config("t")).interrupts
    assert asked.value == Told(text="go on?")


def test_a_class_that_no_graph_names_is_not_revived(namespace: str, place_url: str) -> None:
    class Open(TypedDict):
        """Says nothing of what it holds."""

        held: Any

    def graph() -> Any:
        one = StateGraph(Open).add_node("fill", lambda s: {"held": Told(text="x")})
        return one.add_edge(START, "fill").compile(BotWireSaver(namespace, url=place_url))

    graph().invoke({"held": None}, config("t"))
    assert graph().get_state(config("t")).values["held"] == {"text": "x"}


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


@tool
def note(text: str, runtime: ToolRuntime) -> str:
    """Notes something."""
    assert runtime.store is not None
    runtime.store.put(("notes",), "1", {"text": text})
    return "noted"


@tool
async def anote(text: str, runtime: ToolRuntime) -> str:
    """Notes something."""
    assert runtime.store is not None
    await runtime.store.aput(("notes",), "1", {"text": text})
    return "noted"


@pytest.mark.parametrize("is_async", [False, True])
async def test_what_a_graph_stores_names_its_agent_and_its_run(
    place_url: str, namespace: str, *, is_async: bool
) -> None:
    run = uuid.uuid4()
    used = anote if is_async else note
    call = {"name": used.name, "args": {"text": "tea"}, "id": "c1"}
    model = ScriptedModel(messages=iter([AIMessage("", tool_calls=[call]), AIMessage("done")]))
    saver, store = BotWireSaver(namespace, url=place_url), BotWireStore(namespace, url=place_url)
    agent = create_agent(model, [used], name="support", checkpointer=saver, store=store)
    given: Any = {**config("t"), "run_id": run}
    if is_async:
        await agent.ainvoke({"messages": ["hi"]}, given)
    else:
        agent.invoke({"messages": ["hi"]}, given)
    with Memory(namespace, url=place_url) as memory:
        names = [info.name for info in memory.list_histories()]
        items = [item for name in names for item in memory.history(name).read()]
        authors = {item.author for item in items}
        authors |= {record.author for record in memory.records("langgraph-store").list()}
    assert authors == {Author("support", "langgraph", str(run))}
