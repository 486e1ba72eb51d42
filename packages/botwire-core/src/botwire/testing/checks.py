"""Checks that every conversation shown to a model must pass."""

from __future__ import annotations

from collections.abc import Sequence

from botwire.testing.scene import Seen
from botwire.tool_calls import CallIds, match_calls


def check_shown(shown: Sequence[Seen]) -> None:
    """Asserts that a service would accept these messages: each call is followed by its answer."""
    found = match_calls([CallIds(one.calls, one.answers) for one in shown])
    assert not found.unanswered, f"a call without an answer: {shown}"
    assert not found.orphans, f"an answer without a call: {shown}"
    for call, answer in found.answered.items():
        between = shown[call.message + 1 : answer.message]
        assert all(one.answers for one in between), f"a call and its answer are apart: {shown}"


def check_turns(texts: Sequence[str], numbers: Sequence[int]) -> None:
    """Asserts that each acknowledged turn is there exactly once, without other turns inside it.

    Args:
        texts: What was said, in order.
        numbers: The numbers of the questions that were answered.
    """
    ranges = []
    for number in numbers:
        said, answer = f"question {number}", f"answer {number}"
        asked = [index for index, text in enumerate(texts) if text == said]
        told = [index for index, text in enumerate(texts) if text == answer]
        assert len(asked) == 1, f"{said!r} is there {len(asked)} times: {texts}"
        assert len(told) == 1, f"{answer!r} is there {len(told)} times: {texts}"
        ranges.append((asked[0], told[0]))
    ranges.sort()
    ends = [end for pair in ranges for end in pair]
    assert ends == sorted(ends), f"the turns {numbers} are mixed: {texts}"
