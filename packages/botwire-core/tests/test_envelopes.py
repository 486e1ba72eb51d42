"""Reading messages: only the part that is wanted is decoded, and the answer is the same."""

from __future__ import annotations

import copy
import json
import logging
import math
import pickle
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from botwire import BotWireError, Item, NotJSONError, ServerError
from botwire import operations as ops
from botwire.exact import Json
from botwire.messages import (
    Message,
    Native,
    ToolCall,
    UnreadableItemError,
    items_of,
    native_in,
    read_items,
)
from botwire.tagged import from_json, from_stored, to_json, with_floats
from tests.items import stored_items

# What looks like a native part, inside another part.
LOOKALIKE = {"x": 1, "native": {"framework": "ours", "format": 1, "data": "not this"}}
PORTABLE = Message("user", "hello", id="1", native=None)
ITEMS: dict[str, Any] = {
    "its own": Message("user", "hello", native=Native("ours", 1, {"a": ["é\ud800"]})).to_item(),
    "data that is null": Message("tool", "", native=Native("ours", 1, None)).to_item(),
    "a lookalike in a call": Message(
        "assistant",
        "",
        tool_calls=[ToolCall("c", "f", LOOKALIKE)],
        native=Native("ours", 1, "this"),
    ).to_item(),
    "a lookalike alone": Message(
        "assistant", "", tool_calls=[ToolCall("c", "f", LOOKALIKE)]
    ).to_item(),
    "a lookalike in the data": Message("user", "x", native=Native("ours", 1, LOOKALIKE)).to_item(),
    "a lookalike in a text": Message("user", json.dumps(LOOKALIKE)).to_item(),
    "another framework's": Message("user", "hello", native=Native("theirs", 1, "x")).to_item(),
    "a newer format": Message("user", "hello", native=Native("ours", 2, "x")).to_item(),
    "data that cannot be read": Message("user", "hello", native=Native("ours", 1, "bad")).to_item(),
    "another order": {"native": Native("ours", 1, "x").to_value(), **PORTABLE.to_item()},
    "another version": {**PORTABLE.to_item(), "envelope": 2},
    "another role": {**PORTABLE.to_item(), "role": "nobody"},
    "a native part alone": Native("ours", 1, "x").to_value(),
    "another's alone": Native("theirs", 1, "x").to_value(),
    "no message": [1],
}


def item(value: Json) -> Item:
    return Item(ops.HistoryItem(7, None, value, 0))


def read(items: list[Item], caplog: pytest.LogCaptureFixture) -> tuple[Any, list[str]]:
    def from_native(data: Json) -> Any:
        if data.value == "bad":
            raise ValueError("it is bad")
        return "native", data.value

    caplog.clear()
    with caplog.at_level(logging.WARNING, "botwire.messages"):
        found = read_items(
            items,
            framework="ours",
            formats=(1,),
            from_native=from_native,
            from_portable=lambda message: ("portable", message.text),
        )
    return found, caplog.messages


@pytest.mark.parametrize("case", ITEMS)
def test_what_is_read_as_text_is_what_is_read_decoded(
    case: str, caplog: pytest.LogCaptureFixture
) -> None:
    value = ITEMS[case]
    text, decoded = item(Json.of(value)), item(Json.from_decoded(copy.deepcopy(value)))
    assert read([text], caplog) == read([decoded], caplog)
    found = [native_in(one, framework="ours", formats=(1,)) for one in (text, decoded)]
    assert found[0] == found[1]


CALL = {"id": "c", "name": "f", "arguments": {}}


@pytest.mark.parametrize(
    "part",
    [
        {"id": 5},
        {"name": {}},
        {"tool_call_id": ["c"]},
        {"created_at": 0},
        {"tool_calls": 5},
        {"tool_calls": ["c"]},
        {"tool_calls": [{**CALL, "id": {"n": 1}}]},
        {"tool_calls": [{**CALL, "name": None}]},
        {"tool_calls": [{**CALL, "arguments": [1]}]},
        {"tool_calls": [{"id": "c"}]},
        {"native": []},
        {"native": {"framework": "ours"}},
    ],
    ids=str,
)
def test_a_damaged_envelope_is_reported_and_hides_no_other(
    part: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    damaged = {**PORTABLE.to_item(), **part}
    with pytest.raises(UnreadableItemError, match="damaged"):
        Message.from_item(damaged)
    found, told = read(stored_items([damaged, PORTABLE.to_item()]), caplog)
    assert found == [(2, ("portable", "hello"))]
    assert [line.partition(":")[0] for line in told] == ["skipped item 1 of a conversation"]


def test_a_message_that_a_framework_refuses_hides_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def from_portable(message: Message) -> str:
        return "".join(str(call.values) for call in message.tool_calls)

    odd = Message("assistant", "", tool_calls=[ToolCall("c", "f", {"$bytes": 5})])
    items = stored_items([odd.to_item(), PORTABLE.to_item()])
    found = read_items(
        items, framework="ours", formats=(1,), from_native=str, from_portable=from_portable
    )
    assert found == [(2, "")]
    assert "skipped item 1" in caplog.text
    assert issubclass(UnreadableItemError, BotWireError)


def test_the_portable_part_is_not_decoded(caplog: pytest.LogCaptureFixture) -> None:
    text = Json.of(ITEMS["its own"]).text.replace('"hello"', '"hello, which is no JSON')
    found, _ = read([item(Json.from_text(text))], caplog)
    assert found == [(7, ("native", {"a": ["é\ud800"]}))]


def test_an_item_decodes_its_value_once_and_only_if_asked() -> None:
    one = item(Json.from_text('{"a": this is no JSON'))
    assert (one.seq, one.id, one.created_at.year) == (7, None, 1970)
    with pytest.raises(ServerError, match="damaged"):
        _ = one.value
    good = item(Json.of({"a": []}))
    good.value["a"].append(1)
    assert good.value == {"a": [1]}
    assert good == item(Json.of({"a": []}))
    assert good != item(Json.of({"a": [1]}))
    assert "value={'a': [1]}" in repr(good)
    assert pickle.loads(pickle.dumps(good)) == good


values = st.recursive(
    st.none() | st.integers() | st.floats() | st.text() | st.binary() | st.datetimes(),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner)
        | st.dictionaries(st.text() | st.sampled_from(["$bytes", "$x", "a"]), inner)
    ),
)


@given(values)
def test_a_stored_value_is_read_as_any_other(value: Any) -> None:
    written = to_json(value)
    for stored in (Json.of(written), Json.from_decoded(json.loads(json.dumps(written)))):
        assert repr(from_stored(stored)) == repr(from_json(written))


class _OwnFloat(float):
    """Prints itself as numpy's scalars do."""

    def __repr__(self) -> str:
        return f"np.float64({float(self)})"


class _OwnDecimal(Decimal):
    def __str__(self) -> str:
        return f"{super().__str__()} EUR"


class _OwnTime(datetime):
    def isoformat(self, sep: str = "T", timespec: str = "auto") -> str:
        return "a while ago"


class _OwnId(UUID):
    def __str__(self) -> str:
        return f"id {super().__str__()}"


@pytest.mark.parametrize(
    "value",
    [
        _OwnFloat("inf"),
        _OwnFloat("nan"),
        _OwnFloat(1.5),
        _OwnDecimal("1.10"),
        _OwnTime(2026, 1, 2, tzinfo=UTC),
        _OwnId(int=7),
    ],
)
def test_how_a_subclass_prints_itself_does_not_matter(value: Any) -> None:
    base = type(value).__base__
    read = from_json(json.loads(json.dumps(to_json([value]))))[0]
    assert type(read) is base
    assert read == value or math.isnan(read)


def test_a_time_that_is_none_is_refused() -> None:
    class NotATime(datetime):
        """Like the NaT of pandas, whose text nothing can read."""

        def __eq__(self, other: object) -> bool:
            return False

        __hash__ = datetime.__hash__

    with pytest.raises(NotJSONError, match=r"metadata\['at'\] has the type .*NotATime"):
        to_json({"at": NotATime(1, 1, 1)}, "metadata")


def test_what_a_framework_has_in_one_message_is_several_items() -> None:
    said = [Message("tool", "12", tool_call_id="a"), Message("user", "Thanks.")]
    first, last = items_of(said, Native("ours", 1, "all of it"))
    assert (first["text"], first["native"]["data"]) == ("12", None)
    assert (last["text"], last["native"]["data"]) == ("Thanks.", "all of it")


@pytest.mark.parametrize(
    ("arguments", "by_name", "as_text"),
    [
        ({"city": "Oslo"}, {"city": "Oslo"}, '{"city": "Oslo"}'),
        ('{"city": "Oslo"}', {"city": "Oslo"}, '{"city": "Oslo"}'),
        ("ls -l", {"input": "ls -l"}, "ls -l"),
        ("[1]", {"input": "[1]"}, "[1]"),
        ({"it": b"a"}, {"it": b"a"}, '{"it": {"$bytes": "YQ=="}}'),
        ("", {"input": ""}, ""),
    ],
)
def test_arguments_are_given_by_name_and_as_text(
    arguments: Any, by_name: dict[str, Any], as_text: str
) -> None:
    call = ToolCall.of("c", "f", arguments)
    assert (call.by_name, call.as_text) == (by_name, as_text)


def test_numbers_that_pydantic_writes_as_null_are_put_back() -> None:
    class Part(BaseModel):
        held: Any
        more: Any = None

    nan, infinity = float("nan"), float("inf")
    held = {1: nan, "a": [None, -infinity, {"b": (nan,)}]}
    given = Part(held=held, more=Part(held=[1, infinity]))
    written = given.model_dump(mode="json")
    assert "nan" not in repr(written)
    assert repr(with_floats(written, given)) == repr(
        {
            "held": {"1": nan, "a": [None, -infinity, {"b": [nan]}]},
            "more": {"held": [1, infinity], "more": None},
        }
    )
    for other in (None, "text", [nan], {"held": nan, "x": nan, "y": nan}):
        assert with_floats(written, other) == written
