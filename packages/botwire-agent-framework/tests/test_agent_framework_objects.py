"""The contents of a checkpoint come back as they were, and nothing stored is ever executed."""

from __future__ import annotations

import base64
import json
import logging
import pickle
from array import array
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass, field, make_dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum
from fractions import Fraction
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import UnionType
from typing import Any, Generic, Literal, NamedTuple, Optional, TypeVar, Union, get_origin
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from agent_framework import (
    Agent,
    AgentExecutorRequest,
    AgentExecutorResponse,
    AgentResponse,
    AgentResponseUpdate,
    AgentSession,
    ChatResponse,
    Content,
    Message,
    SubWorkflowResponseMessage,
    WorkflowCheckpoint,
    WorkflowEvent,
    WorkflowMessage,
)
from agent_framework.exceptions import WorkflowCheckpointException
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, PrivateAttr

from botwire import ConfigurationError, Memory, NotJSONError
from botwire_agent_framework import BotWireCheckpointStorage
from botwire_agent_framework.objects import Objects

T = TypeVar("T")


class Color(Enum):
    RED = ("r", 1)


class Kind(str, Enum):  # noqa: UP042 - as many an application has it
    NEW = "new"


class Level(IntEnum):
    HIGH = 3


class Right(Flag):
    READ = 1
    WRITE = 2


class Pair(NamedTuple):
    left: Any
    right: Any


@dataclass
class Point:
    x: Any
    made: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.made += 1  # a recreated object would show it
        self.beside = "no field"


@dataclass(frozen=True, slots=True)
class Slotted:
    x: Any
    y: Any = None


@dataclass(slots=True)
class Loose:
    x: Any


class Model(BaseModel):
    x: Any
    parts: list[Slotted] = Field(default_factory=list)
    _hidden: int = PrivateAttr(default=1)

    model_config = {"extra": "allow"}


class Plain:
    def __init__(self, x: Any) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plain) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]


class Shown(Plain):
    """Has a property and a stored attribute of the same name."""

    __slots__ = ("slot",)

    def __init__(self, x: Any) -> None:
        vars(self)["x"] = x
        self.slot = 1

    @property
    def x(self) -> Any:  # type: ignore[override]
        return vars(self)["x"]


@dataclass(frozen=True, slots=True)
class Both(Plain):
    """Has attributes and slots."""

    y: Any


class Box(Generic[T]):
    def __init__(self, x: T) -> None:
        self.x = x


class Careful:
    """Has a handle that it excludes from its state."""

    def __init__(self, x: Any) -> None:
        self.x = x
        self.handle = object()

    def __getstate__(self) -> dict[str, Any]:
        return {"x": self.x}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.x = state["x"]
        self.handle = "another"


TYPES = (
    *(Both, Box, Careful, Loose, Model, Pair, Plain, Point, Shown, Slotted),
    *(Color, Kind, Level, Right),
)
OBJECTS = Objects(TYPES)


def again(value: Any, objects: Objects = OBJECTS) -> Any:
    """Returns a value as another process gets it."""
    checkpoint = WorkflowCheckpoint("w", "h", state={"value": value})
    text = json.dumps(objects.to_data(checkpoint))
    return objects.from_data(json.loads(text)).state["value"]


VALUES: list[Any] = [
    *(None, True, 10**40, -0.5, float("inf"), "\ud800 ä", b"\xff", bytearray(b"\x00"), 1 + 2j),
    *((1, [2, (3,)]), {1, "a"}, frozenset({(1, 2)}), {1: "a", "1": "b", (2,): None}),
    *(datetime(2026, 1, 1, tzinfo=UTC), date(2026, 1, 1), timedelta(1, 2, 3), Decimal("1.10")),
    *(UUID(int=7), deque([1, (2,)], maxlen=5), deque(), range(9, 1, -2), OrderedDict(b=1, a=(2,))),
    *(Counter("aab"), defaultdict(list, {1: [2]}), defaultdict(None, {}), Color.RED, Level.HIGH),
    *(Right.READ | Right.WRITE, Pair(1, Pair({2}, None)), Point((1, 2)), Slotted({1: Loose(2)})),
    *(Model(x=Point(1), more={"a": (1,)}), Plain([Slotted(1)]), {Slotted(1), Slotted(2)}),
    *(slice(1, None), UTC, timezone(timedelta(hours=1), "X"), ZoneInfo("Asia/Tokyo")),
    *(Path("a/b"), PurePosixPath("/a"), PureWindowsPath("c:/a"), Fraction(1, 3)),
    *(int, list[str], dict[str, list[Point]], tuple[int, ...], Model, Any, type(None)),
    *(Literal["a", 1], Optional[Point], int | str | None, {"$object": {"class": "os.system"}}),  # noqa: UP045
    {"__pickled__": "gASVAAAA", "__type__": "builtins:int"},
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(VALUES)))
def test_a_value_comes_back(number: int) -> None:
    value = VALUES[number]
    found = again({"deep": [value]})["deep"][0]
    assert found == value
    if get_origin(value) not in (Union, UnionType):  # which of the two does not matter
        assert type(found) is type(value)


@pytest.mark.parametrize(
    ("number", "found"),
    [(np.float64("inf"), float("inf")), (np.int64(3), 3), (np.bool_(True), True)],
)
def test_a_number_that_numpy_computed_comes_back_as_pythons(number: Any, found: Any) -> None:
    assert again(number) == found
    assert type(again(number)) is type(found)


def test_an_object_is_not_made_again_but_filled_in() -> None:
    point = again(Point(1))
    assert (point.made, point.beside) == (1, "no field")
    model = Model(x=1)
    model._hidden = 9
    found = again(model)
    assert (found._hidden, found.model_fields_set) == (9, {"x"})
    assert again(Model.model_construct(parts="not a list")).parts == "not a list"
    assert again(Box("x")).x == "x"
    shown = again(Shown((1,)))
    assert (shown.x, shown.slot) == ((1,), 1)
    assert again(Both((2,))).y == (2,)
    careful = again(Careful(3))
    assert (careful.x, careful.handle) == (3, "another")
    assert again(deque([1], maxlen=5)).maxlen == 5
    assert [type(key) for key in again({Kind.NEW: 1, "x": Kind.NEW})] == [Kind, str]
    assert again(defaultdict(list, {}))["new"] == []


MESSAGES = [
    Message("user", ["hi \ud800", Content.from_uri("https://x.y/a.png", media_type="image/png")]),
    Message("assistant", [Content.from_function_call("c", "look", arguments={"at": (1, 2)})]),
    Message("tool", [Content.from_function_result("c", result="12")], message_id="m"),
]
FRAMEWORKS = [
    AgentResponse(messages=MESSAGES, response_id="r", usage_details={"total_token_count": 3}),
    AgentResponseUpdate(contents=[Content.from_text("x")], role="assistant"),
    ChatResponse(messages=MESSAGES[1:2], finish_reason="tool_calls"),
    AgentExecutorRequest(messages=MESSAGES, should_respond=False),
    AgentExecutorResponse("a", AgentResponse(messages=MESSAGES), full_conversation=MESSAGES),
    WorkflowMessage(Point(1), "a", "b", trace_contexts=[{"traceparent": "00-1"}]),
    WorkflowEvent.request_info("r", "a", Slotted(1), list[str]),
    SubWorkflowResponseMessage({"x": 1}, WorkflowEvent.request_info("r", "a", "q", bool)),
    WorkflowCheckpoint("inner", "h", messages={"a": [WorkflowMessage({1}, "a")]}),
]


def shape(value: Any) -> Any:
    """Returns the parts of a value, because Agent Framework's classes do not compare."""
    if isinstance(value, (list, tuple)):
        return [shape(part) for part in value]
    if isinstance(value, dict):
        return {key: shape(part) for key, part in value.items()}
    if type(value).__module__.startswith("agent_framework"):
        state = value.__getstate__()
        return type(value).__name__, shape(state)
    return type(value).__name__, value


@pytest.mark.parametrize("value", FRAMEWORKS, ids=lambda value: type(value).__name__)
def test_what_agent_framework_sends_comes_back(value: Any) -> None:
    assert shape(again(value)) == shape(value)


def test_a_session_and_what_a_service_answered_come_back_without_its_objects() -> None:
    session = AgentSession(session_id="s")
    session.state["seen"] = {"at": (1, 2)}
    found = again(session)
    assert (found.session_id, found.state) == ("s", {"seen": {"at": (1, 2)}})
    # As with pickle: the raw object of a client library is not kept.
    response = AgentResponse(messages=MESSAGES, raw_representation=object())
    assert again(response).raw_representation is None
    assert again(response).text == response.text


names = st.text(max_size=12)
leaves = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | names | st.binary()
    | st.sampled_from([Color.RED, Level.HIGH, int, list[str]]) | st.decimals(allow_nan=False)
)  # fmt: skip
keys = names | st.integers() | st.booleans() | st.tuples(names, st.integers())
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(keys, inner, max_size=3)
        | st.tuples(inner, inner)
        | st.builds(Loose, inner)
        | st.builds(Slotted, inner, inner)
        | st.builds(Plain, inner)
        | st.builds(Pair, inner, inner)
        | st.builds(deque, st.lists(inner, max_size=2))
    ),
    max_leaves=8,
)


@given(values)
@settings(max_examples=150)
def test_whatever_executors_keep_comes_back(value: Any) -> None:
    found = again(value)
    assert repr(found) == repr(value) or found == value
    assert shape(found) == shape(value)


class Many(list):  # type: ignore[type-arg]
    """Compares element by element, like a numpy array."""

    def __eq__(self, other: object) -> Any:
        raise TypeError("which part?")

    __hash__ = None  # type: ignore[assignment]


# --- what is refused, and where ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (lambda: 1, "function"),
        (object(), "object"),
        (RuntimeError("x"), "RuntimeError"),
        (json, "module"),
        (defaultdict(lambda: 1), "defaultdict"),
        (defaultdict(AgentSession), "defaultdict"),
        (array("i", [1]), "array"),
        (Many(), "Many"),
        (type("Text", (str,), {"__module__": __name__})("x"), "Text"),
        (make_dataclass("Other", ["x"], namespace={"__module__": "shop"})(1), r"types=\[Other"),
        (type("Odd", (), {"__reduce__": lambda _: (print, ())}), "Odd"),
        (Agent, None),
    ],
)  # fmt: skip
async def test_what_would_not_come_back_is_refused_before_it_is_stored(
    tmp_path: Path, value: Any, says: str | None
) -> None:
    storage = BotWireCheckpointStorage("n", url=f"sqlite:///{tmp_path / 'm.db'}", types=TYPES)
    checkpoint = WorkflowCheckpoint("w", "h", state={"deep": [{"f": value}]})
    if says is None:  # a class is not an object here
        assert (await storage.load(await storage.save(checkpoint))).state == checkpoint.state
        return
    with pytest.raises(WorkflowCheckpointException, match=says) as caught:
        await storage.save(checkpoint)
    assert "['deep'][0]['f']" in str(caught.value)
    assert isinstance(caught.value.__cause__, NotJSONError)
    assert await storage.list_checkpoint_ids(workflow_name="w") == []
    with pytest.raises(ConfigurationError, match="types"):
        BotWireCheckpointStorage("n", types=["module:Name"])  # type: ignore[list-item]


def test_what_holds_itself_is_refused() -> None:
    ring: list[Any] = []
    ring.append(ring)
    for value in (ring, Loose(ring)):
        with pytest.raises(NotJSONError, match="contains itself"):
            again(value)
    loop = Loose(None)
    loop.x = loop
    with pytest.raises(NotJSONError, match="contains itself"):
        again(loop)


# --- nothing stored is run -----------------------------------------------------------------------


class Evil:
    """What an attacker pickles."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (Path(self.path),))


async def test_a_pickle_that_is_stored_is_only_a_text(tmp_path: Path) -> None:
    path = tmp_path / "run"
    evil = base64.b64encode(pickle.dumps(Evil(str(path)))).decode()
    planted = {"__pickled__": evil, "__type__": "builtins:NoneType"}
    url = f"sqlite:///{tmp_path / 'memory.db'}"
    storage = BotWireCheckpointStorage("n", url=url)
    saved = await storage.save(WorkflowCheckpoint("w", "h"))
    memory = Memory("n", url=url)
    (key,) = memory.list_keys("workflow/")
    memory.update(key, lambda value: {**value, "data": {**value["data"], "state": {"x": planted}}})
    assert (await storage.load(saved)).state == {"x": planted}
    assert not path.exists()


NAMES = [
    "subprocess.Popen",
    "os.system",
    "builtins.eval",
    "builtins.dict",
    "pathlib.PosixPath",
    "agent_framework._agents.Agent",
    "agent_framework._mcp.MCPStdioTool",
    "agent_framework._workflows._checkpoint.pickle.Unpickler",
    "agent_framework._workflows._checkpoint.FileCheckpointStorage",
    "agent_framework.__main__.x",
    "agent_framework_nothing.X",
    "agent_framework._types",
    f"{__name__}.Evil",
    17,
    None,
    ["os.system"],
]


@pytest.mark.parametrize("name", NAMES, ids=repr)
@pytest.mark.parametrize("tag", ["$object", "$enum", "$namedtuple"])
def test_only_known_classes_of_values_are_made(name: Any, tag: str) -> None:
    held = {"class": name, "state": {"args": ["touch", "x"]}, "value": 1, "values": [1]}
    data = OBJECTS.to_data(WorkflowCheckpoint("w", "h"))
    with pytest.raises((ValueError, KeyError)):
        OBJECTS.from_data({**data, "state": {"x": {tag: held}}})


@pytest.mark.parametrize("name", ["subprocess.Popen", "os.system", "builtins.eval", 3, None, [1]])
def test_only_known_classes_are_named(name: Any) -> None:
    data = OBJECTS.to_data(WorkflowCheckpoint("w", "h"))
    with pytest.raises(ValueError, match=r"neither|cannot|invalid"):
        OBJECTS.from_data({**data, "state": {"x": {"$type": name}}})
    factory = {"$defaultdict": [{"$type": "agent_framework._agents.Agent"}, {}]}
    with pytest.raises(ValueError, match="defaultdict"):
        OBJECTS.from_data({**data, "state": {"x": factory}})


@pytest.mark.parametrize(
    "forged",
    [
        {"$object": {"class": f"{__name__}.Plain"}},
        {"$object": {"class": f"{__name__}.Plain", "state": 7}},
        {"$object": {"class": f"{__name__}.Plain", "state": {"$tuple": [1, 2, 3]}}},
        {"$object": {"class": f"{__name__}.Slotted", "state": {"a": 1}}},
        {"$object": {"class": f"{__name__}.Slotted", "state": [1]}},
        {"$object": []},
        {"$enum": {"class": f"{__name__}.Color", "value": "green"}},
        {"$deque": 1},
        {"$range": ["a"]},
        {"$bytearray": 10**12},
        {"$generic": [{"$type": "builtins.int"}, []]},
        {"$union": []},
        {"$datetime": "today"},
    ],
    ids=str,
)
async def test_what_is_damaged_is_an_error_of_agent_frameworks(
    tmp_path: Path, forged: Any, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"sqlite:///{tmp_path / 'memory.db'}"
    storage = BotWireCheckpointStorage("n", url=url, types=TYPES)
    good = await storage.save(WorkflowCheckpoint("w", "h", timestamp="2026-01-01T00:00:00+00:00"))
    bad = await storage.save(WorkflowCheckpoint("w", "h"))
    memory = Memory("n", url=url)
    key = memory.list_keys("workflow/")[-1]
    memory.update(key, lambda value: {**value, "data": {**value["data"], "state": {"x": forged}}})
    with pytest.raises(WorkflowCheckpointException, match=bad):
        await storage.load(bad)
    # Continuing from the previous one would repeat completed work.
    with pytest.raises(WorkflowCheckpointException, match=bad):
        await storage.get_latest(workflow_name="w")
    with caplog.at_level(logging.WARNING):
        (found,) = await storage.list_checkpoints(workflow_name="w")
    assert found.checkpoint_id == good
    assert "left out" in caplog.text


# --- classes that have changed since ------------------------------------------------------------


def test_fields_that_are_new_since_have_their_defaults() -> None:
    old = make_dataclass("Order", ["x"], namespace={"__module__": "shop"})
    new = make_dataclass(
        "Order",
        ["x", ("tags", list, field(default_factory=list)), ("n", int, 3)],
        namespace={"__module__": "shop"},
    )
    slotted = make_dataclass(
        "Order", ["x", ("n", int, 3)], namespace={"__module__": "shop"}, slots=True
    )
    frozen, wider = (
        make_dataclass("Order", names, namespace={"__module__": "shop"}, slots=True, frozen=True)
        for names in (["x", "z"], ["x", ("y", int, field(default=2, kw_only=True)), "z"])
    )
    data = Objects([frozen]).to_data(WorkflowCheckpoint("w", "h", state={"o": frozen(1, 3)}))
    assert Objects([wider]).from_data(data).state["o"] == wider(1, 3, y=2)
    data = Objects([old]).to_data(WorkflowCheckpoint("w", "h", state={"o": old(1)}))
    assert Objects([new]).from_data(data).state["o"] == new(1)
    assert Objects([slotted]).from_data(data).state["o"] == slotted(1)

    def model(**fields: Any) -> type[BaseModel]:
        annotations = {"x": int, **dict.fromkeys(fields, Any)}
        names = {"__module__": "shop", "__annotations__": annotations, **fields}
        return type(BaseModel)("Order", (BaseModel,), names)  # type: ignore[no-any-return]

    before, since = model(), model(tags=Field(default_factory=list), n=3)
    data = Objects([before]).to_data(WorkflowCheckpoint("w", "h", state={"o": before(x=1)}))
    assert Objects([since]).from_data(data).state["o"].model_dump() == {"x": 1, "tags": [], "n": 3}
