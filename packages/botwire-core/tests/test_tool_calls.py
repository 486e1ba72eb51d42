"""Calls are matched to their answers by id, and a model is shown both or neither."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from botwire.messages import Message, ToolCall
from botwire.tool_calls import (
    CallIds,
    Spot,
    close_calls,
    drop_open_end,
    match_calls,
    pair_answers,
)


class Said(NamedTuple):
    """A message of an invented framework that may contain anything."""

    text: str = ""
    calls: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    event: bool = False


def ids(said: Said) -> CallIds | None:
    return None if said.event else CallIds(said.calls, said.answers)


def close(said: Said, positions: Sequence[int]) -> Iterable[Said]:
    return [Said("closed", answers=tuple(said.calls[i] for i in positions))]


def select(said: Said, positions: Sequence[int], rest: bool) -> Said | None:
    answers = tuple(said.answers[i] for i in positions)
    if rest and (said.text not in ("", "answer") or said.calls):
        return said._replace(answers=answers)
    return Said("answer", answers=answers) if answers else None


def shown(said: Sequence[Said], settled: Iterable[str] = ()) -> list[Said]:
    return pair_answers(said, ids=ids, close=close, select=select, settled=frozenset(settled))


def call(*calls: str) -> Said:
    return Said("call", calls=calls)


def answer(*answers: str) -> Said:
    return Said("answer", answers=answers)


HELLO = Said("hello")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([HELLO, call("a"), answer("a")], [HELLO, call("a"), answer("a")]),
        ([call("a"), HELLO], [call("a"), Said("closed", answers=("a",)), HELLO]),
        ([call("a")], [call("a"), Said("closed", answers=("a",))]),
        (
            [call("a", "b"), answer("b"), HELLO],
            [call("a", "b"), answer("b"), Said("closed", answers=("a",)), HELLO],
        ),
        ([answer("a"), HELLO], [HELLO]),
        ([answer("a", "b"), call("a")], [call("a"), Said("closed", answers=("a",))]),
        ([call("a"), answer("a"), answer("a")], [call("a"), answer("a")]),
        ([call("a"), answer("b", "a")], [call("a"), answer("a")]),
        (
            [call("a"), call("b"), answer("a"), answer("b")],
            [call("a"), answer("a"), call("b"), answer("b")],
        ),
        (
            [call("a"), call("b"), answer("a", "b"), HELLO],
            [call("a"), answer("a"), call("b"), answer("b"), HELLO],
        ),
        ([call("a"), HELLO, answer("a")], [call("a"), answer("a"), HELLO]),
        (
            [call("a"), HELLO, Said("and", answers=("a",))],
            [call("a"), answer("a"), HELLO, Said("and")],
        ),
        (
            [call("a"), answer("a"), call("a"), answer("a")],
            [call("a"), answer("a"), call("a"), answer("a")],
        ),
        (
            [call("a"), HELLO, call("a"), answer("a")],
            [call("a"), Said("closed", answers=("a",)), HELLO, call("a"), answer("a")],
        ),
        ([call("", ""), answer("", "")], [call("", ""), answer("", "")]),
        ([Said("own", ("a",), ("a",)), HELLO], [Said("own", ("a",), ("a",)), HELLO]),
    ],
    ids=[
        "answered",
        "killed in a tool",
        "the last",
        "one of two",
        "cut by a window",
        "answered before it was asked",
        "answered twice",
        "of somebody else",
        "interleaved",
        "interleaved, in one message",
        "late",
        "late, beside something else",
        "an id used twice",
        "an id used again after a kill",
        "without ids",
        "in the same message",
    ],
)
def test_a_model_is_shown_each_call_with_its_answer(said: list[Said], expected: list[Said]) -> None:
    assert shown(said) == expected


def test_what_is_no_message_may_stand_between_a_call_and_its_answer() -> None:
    event = Said("event", event=True)
    said = [call("a"), event, answer("a"), event]
    assert shown(said) == said
    assert shown([call("a", "b"), event, answer("a"), event])[2:] == [
        answer("a"),
        Said("closed", answers=("b",)),
        event,
    ]


def test_what_is_settled_elsewhere_is_left_as_it_is() -> None:
    said = [answer("x", "y"), call("a", "b"), HELLO]
    assert shown(said, settled=("x", "a")) == [
        answer("x"),
        call("a", "b"),
        Said("closed", answers=("b",)),
        HELLO,
    ]


def test_matches_say_which_call_and_which_answer() -> None:
    found = match_calls([CallIds(["a", "b"]), None, CallIds(answers=["b", "c"])])
    assert found.answered == {Spot(0, 1): Spot(2, 0)}
    assert found.unanswered == (Spot(0, 0),)
    assert found.orphans == (Spot(2, 1),)


@pytest.mark.parametrize(
    ("said", "count"),
    [
        ([HELLO, call("a")], 1),
        ([HELLO, call("a", "b"), answer("a")], 1),
        ([HELLO, call("a"), answer("a")], 3),
        ([call("a"), HELLO], 2),
        ([HELLO], 1),
        ([], 0),
    ],
)
def test_a_first_part_does_not_end_with_a_call_whose_answer_is_skipped(
    said: list[Said], count: int
) -> None:
    assert drop_open_end(said, ids=ids) == said[:count]


def test_calls_are_closed_behind_the_answers_that_are_there_and_nothing_is_moved() -> None:
    said = [call("a", "b"), answer("a"), Said("hello"), answer("lost"), call("c")]
    closed = close_calls(said, [Spot(0, 1), Spot(4, 0)], ids=ids, close=close)
    assert closed == [*said[:2], Said("closed", answers=("b",)), *said[2:], *close(said[4], [0])]
    assert close_calls(said, [], ids=ids, close=close) == said


def test_an_envelope_tells_its_ids() -> None:
    asked = Message("assistant", "", tool_calls=[ToolCall.of("a", "look", {})])
    assert CallIds.of(asked) == CallIds(["a"], ())
    assert CallIds.of(Message("tool", "found", tool_call_id="a")) == CallIds([], ("a",))


_ids = st.lists(st.sampled_from("abc"), max_size=3).map(tuple)


@given(
    st.lists(
        st.builds(
            Said, st.sampled_from(["", "hello"]), calls=_ids, answers=_ids, event=st.booleans()
        ).map(lambda said: said._replace(calls=(), answers=()) if said.event else said),
        max_size=8,
    )
)
def test_whatever_was_stored_what_is_shown_is_right_and_nothing_else_is_lost(
    said: list[Said],
) -> None:
    paired = shown(said)
    found = match_calls([ids(one) for one in paired])
    assert not found.unanswered
    assert not found.orphans
    for question, reply in found.answered.items():
        between = paired[question.message + 1 : reply.message]
        assert all(one.event or one.answers for one in between)
    assert [one.calls for one in paired if one.calls] == [one.calls for one in said if one.calls]
    kept = [one.text for one in paired if one.text in ("hello", "") and (one.text or one.event)]
    assert kept == [one.text for one in said if one.text or one.event]
    assert shown(paired) == paired
