"""Frames that are split here and by `websockets` are the same messages."""

from __future__ import annotations

import random

import pytest
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from botwire.engines.http.frames import masked
from botwire.engines.http.websocket_frames import BINARY, OTHER, TEXT, Splitter, head_of

SIZES = (0, 1, 125, 126, 127, 300, 65_535, 65_536, 70_000)


def stream(chance: random.Random) -> tuple[bytes, list[tuple[int, bytes]]]:
    """Returns the frames of some messages, and the messages."""
    sent, messages = b"", []
    for _ in range(chance.randint(1, 6)):
        payload = chance.randbytes(chance.choice(SIZES))
        kind = chance.choice([TEXT, BINARY])
        messages.append((kind, payload))
        if chance.random() < 0.3:
            cut = chance.randint(0, len(payload))
            sent += Frame(Opcode(kind), payload[:cut], fin=False).serialize(mask=True)
            sent += Frame(Opcode.PING, b"there?").serialize(mask=True)
            sent += Frame(Opcode.CONT, payload[cut:]).serialize(mask=True)
        else:
            mask = chance.randbytes(4)
            sent += head_of(kind, len(payload), mask) + masked(payload, mask)
    return sent, messages


@pytest.mark.parametrize("seed", range(20))
def test_any_stream_in_any_pieces_is_the_same_messages(seed: int) -> None:
    chance = random.Random(seed)
    sent, messages = stream(chance)
    machine = ServerProtocol(state=State.OPEN, max_size=None)
    splitter = Splitter(masked)
    found: list[tuple[int, bytes]] = []
    parts: list[Frame] = []
    while sent:
        size = chance.choice([1, 2, 3, 10, 1000, 100_000])
        for kind, payload in splitter.split(sent[:size]):
            if kind != OTHER:
                found.append((kind, payload))
                continue
            machine.receive_data(payload)
            for event in machine.events_received():
                assert isinstance(event, Frame)
                if event.opcode is not Opcode.PING:
                    parts.append(event)
                    if event.fin:
                        whole = b"".join(bytes(part.data) for part in parts)
                        found.append((int(parts[0].opcode), whole))
                        parts.clear()
        sent = sent[size:]
    assert machine.parser_exc is None
    assert found == messages


@pytest.mark.parametrize(
    "sent",
    [
        Frame(Opcode.TEXT, b"not masked").serialize(mask=False),
        b"\xc1" + Frame(Opcode.TEXT, b"a reserved bit").serialize(mask=True)[1:],
        Frame(Opcode.TEXT, b"x" * 101).serialize(mask=True),
        Frame(Opcode.CLOSE, b"").serialize(mask=True),
    ],
    ids=["not masked", "a reserved bit", "too long", "closing"],  # each process masks differently
)
def test_what_needs_a_closer_look_is_left_to_the_state_machine(sent: bytes) -> None:
    assert Splitter(masked, 100).split(sent) == [(OTHER, sent)]
