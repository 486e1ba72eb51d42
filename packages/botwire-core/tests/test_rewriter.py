"""A growing value is converted at the cost of what is new, and always correctly."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from botwire.exact import encode
from botwire.tagged import Rewriter, from_json, to_json

LEAVES: Any = (
    st.none()
    | st.sampled_from([0, False, 0.0, -0.0, 1, True, 1.0, (1,), [1], {1}, frozenset([1])])
    | st.integers()
    | st.text(max_size=3)
    | st.binary(max_size=2)
)
MESSAGES: Any = st.lists(
    st.dictionaries(st.sampled_from(["id", "$set", "at"]), LEAVES, max_size=2), max_size=5
)
STATES: Any = st.dictionaries(
    st.sampled_from(["a", "b", "$tuple"]), MESSAGES | LEAVES | st.tuples(LEAVES), max_size=3
)


@given(st.lists(STATES, max_size=5))
def test_it_writes_what_to_json_writes(states: list[Any]) -> None:
    rewriter = Rewriter()
    for state in states:
        # Compared as text, because in Python 1 equals True.
        assert encode(rewriter.to_json({"outer": state})) == encode(to_json({"outer": state}))


def test_what_only_python_takes_for_equal_is_written_again() -> None:
    rewriter = Rewriter()
    for value in (1, True, 1.0, [1], (1,)):
        state = {"thread": [{"value": value}]}
        assert encode(rewriter.to_json(state)) == encode(to_json(state))


def test_what_was_there_is_not_written_again_and_what_changed_is() -> None:
    rewriter, at = Rewriter(), datetime(2026, 1, 1, tzinfo=UTC)
    thread = [{"id": i, "at": at} for i in range(9)]
    first = rewriter.to_json({"thread": thread})["thread"]
    thread.append({"id": 9, "at": at})
    second = rewriter.to_json({"thread": thread})["thread"]
    assert [one is two for one, two in zip(first, second, strict=False)] == [True] * 9
    thread[4]["id"] = "changed in place"  # type: ignore[assignment]
    del thread[7:]
    third = rewriter.to_json({"thread": thread})["thread"]
    assert from_json(third) == thread
    assert len(first) == 9
