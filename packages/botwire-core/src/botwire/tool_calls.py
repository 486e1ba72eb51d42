"""Tool calls and their answers: no model is shown a call without its answer.

Services refuse a conversation in which a call is not followed by its answer, or an answer does not
follow its call. A process that dies inside a tool leaves such a conversation behind, and so do two
requests at once and a window that cuts between the two. `pair_answers` repairs what is about to be
shown; what is stored stays as it is. Nothing here does I/O or knows a framework: an adapter says,
message by message, which calls it makes and which it answers (`CallIds`).

    shown = pair_answers(messages, ids=call_ids, close=say_not_completed)

Calls and answers are matched by id, never by their number or place. Some models use an id more than
once: an answer then belongs to the last message before it that has an open call of this id.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from botwire.messages import Message

NOT_COMPLETED = "This call was not completed: the process that made it ended."
"""What a model is told of a call whose answer was never stored."""

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class CallIds:
    """What of a message `match_calls` looks at.

    Attributes:
        calls: The ids of the calls that it makes, in their order.
        answers: The ids of the calls that it answers, in their order.
    """

    calls: Sequence[str] = ()
    answers: Sequence[str] = ()

    @classmethod
    def of(cls, message: Message) -> CallIds:
        """Returns those of an envelope's portable part."""
        answers = () if message.tool_call_id is None else (message.tool_call_id,)
        return cls([call.id for call in message.tool_calls], answers)


class Spot(NamedTuple):
    """A call or an answer in a conversation.

    Attributes:
        message: The index of its message.
        position: Which of the message's calls, or of its answers.
    """

    message: int
    position: int


@dataclass(frozen=True, slots=True)
class Matches:
    """Which calls of a conversation are answered, and where.

    Attributes:
        answered: The answer of each call that has one.
        unanswered: The calls without an answer, in their order.
        orphans: The answers without a call, second answers included, in their order.
    """

    answered: dict[Spot, Spot] = field(default_factory=dict)
    unanswered: tuple[Spot, ...] = ()
    orphans: tuple[Spot, ...] = ()


def match_calls(
    conversation: Iterable[CallIds | None], *, settled: Collection[str] = ()
) -> Matches:
    """Finds the answer of each call, the calls without one, and the answers without a call.

    Args:
        conversation: What each message calls and answers, oldest first; None for what is no
            message.
        settled: Ids of calls that are left out of the search, with their answers.
    """
    answered: dict[Spot, Spot] = {}
    orphans: list[Spot] = []
    waiting: dict[str, list[list[Spot]]] = {}  # by id: a list per message, the last message last
    for index, ids in enumerate(conversation):
        if ids is None:
            continue
        for position, call in enumerate(ids.calls):
            groups = waiting.setdefault(call, [])
            if not groups or groups[-1][0].message != index:
                groups.append([])
            groups[-1].append(Spot(index, position))
        for position, call in enumerate(ids.answers):
            groups = waiting.get(call, [])
            if groups:
                answered[groups[-1].pop(0)] = Spot(index, position)
                if not groups[-1]:
                    groups.pop()
            elif call not in settled:
                orphans.append(Spot(index, position))
    unanswered = sorted(
        spot
        for call, groups in waiting.items()
        if call not in settled
        for group in groups
        for spot in group
    )
    return Matches(answered, tuple(unanswered), tuple(orphans))


def _all_or_none(message: M, answers: Sequence[int], rest: bool) -> M | None:
    return message if answers else None


def pair_answers(
    messages: Iterable[M],
    *,
    ids: Callable[[M], CallIds | None],
    close: Callable[[M, Sequence[int]], Iterable[M]],
    select: Callable[[M, Sequence[int], bool], M | None] = _all_or_none,
    settled: Collection[str] = (),
) -> list[M]:
    """Returns messages in which each call is followed by its answer, and nothing else is answered.

    An answer that stands elsewhere is moved to its call. A call without one is closed with what
    `close` returns. An answer without a call is left out, and so is a second answer to a call. A
    conversation that needs no repair comes back as it is.

    Args:
        messages: A framework's, oldest first.
        ids: What a message calls and answers; None for what is no message, which may stand between
            a call and its answer.
        close: Given a message and the positions of its open calls, returns messages that say so.
        select: Given a message, the positions of the answers to keep, and whether to keep all else
            it holds, returns the message with only that, or None if nothing is left. Needed where
            a message has several answers, or answers and something else.
        settled: Ids of calls that are answered elsewhere, or wait for a person. They are not
            closed, and their answers are kept without a call too.
    """
    conversation = list(messages)
    known = [ids(message) for message in conversation]
    matches = match_calls(known, settled=settled)
    open_calls: dict[int, list[int]] = {}
    for spot in matches.unanswered:
        open_calls.setdefault(spot.message, []).append(spot.position)
    answers: dict[int, dict[int, list[int]]] = {}  # calling message: answering message: positions
    for call, answer in matches.answered.items():
        answers.setdefault(call.message, {}).setdefault(answer.message, []).append(answer.position)
    kept: dict[int, set[int]] = {
        index: {position for position, call in enumerate(one.answers) if call in settled}
        for index, one in enumerate(known)
        if one is not None and one.answers
    }
    ends: dict[int, int] = {}  # where the answers that already follow a calling message end
    moved: dict[int, dict[int, list[int]]] = {}
    for caller in answers.keys() | open_calls.keys():
        theirs = answers.get(caller, {})
        end = caller
        for index in range(caller, len(known)):
            one = known[index]
            if index > caller and one is not None and one.calls:
                break
            if index in theirs:
                kept[index] |= set(theirs[index])
                end = index
            elif index > caller and one is not None:
                break
        ends[caller] = end
        moved[caller] = {index: theirs[index] for index in theirs if index > end}
    if not (matches.unanswered or matches.orphans or any(moved.values())):
        return conversation
    after: dict[int, list[int]] = {}
    for caller, end in ends.items():
        after.setdefault(end, []).append(caller)
    shown: list[M] = []
    for index, message in enumerate(conversation):
        described = known[index]
        whole = described is None or len(kept.get(index, ())) == len(described.answers)
        rest = message if whole else select(message, sorted(kept[index]), True)
        if rest is not None:
            shown.append(rest)
        for caller in sorted(after.get(index, ())):
            for source, positions in moved[caller].items():
                part = select(conversation[source], sorted(positions), False)
                if part is not None:
                    shown.append(part)
            if caller in open_calls:
                shown += close(conversation[caller], open_calls[caller])
    return shown


def close_calls(
    messages: Iterable[M],
    spots: Iterable[Spot],
    *,
    ids: Callable[[M], CallIds | None],
    close: Callable[[M, Sequence[int]], Iterable[M]],
) -> list[M]:
    """Returns messages with some of their calls closed, each behind the answers that follow it.

    Nothing is moved or left out, as `pair_answers` does: for what is stored again.

    Args:
        messages: A framework's, oldest first.
        spots: The calls to close, as `match_calls` names them.
        ids: See `pair_answers`.
        close: See `pair_answers`.
    """
    open_calls: dict[int, list[int]] = {}
    for spot in spots:
        open_calls.setdefault(spot.message, []).append(spot.position)
    closed: list[M] = []
    due: list[M] = []
    for index, message in enumerate(messages):
        described = ids(message)
        if described is None or not described.answers:
            closed += due
            due = []
        closed.append(message)
        if index in open_calls:
            due += close(message, open_calls[index])
    return closed + due


def drop_open_end(messages: Iterable[M], *, ids: Callable[[M], CallIds | None]) -> list[M]:
    """Returns messages without a call at their end that is not answered in full there.

    For the first part of a conversation when what follows is skipped: the call may well have been
    answered, only not here.
    """
    kept = list(messages)
    known = [ids(message) for message in kept]
    last = max((i for i, one in enumerate(known) if one is not None and one.calls), default=-1)
    unanswered = {spot.message for spot in match_calls(known).unanswered}
    if last in unanswered and all(one is None or one.answers for one in known[last + 1 :]):
        return kept[:last]
    return kept
