"""Splits the bytes of a WebSocket into frames, for clients and servers (RFC 6455, section 5.2).

Nearly every frame is a whole message. The state machine of `websockets` is needed for the others
only: fragments, pings, closing, and whatever breaks the rules.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

TEXT, BINARY = 1, 2
"""The kinds of messages."""
OTHER = 0
"""The kind of bytes that belong to the state machine."""

_FINAL, _MASKED, _OPCODE = 0x80, 0x80, 0x0F
_WHOLE = (_FINAL | TEXT, _FINAL | BINARY)  # the first bytes of frames that are whole messages
_CONTROL = 8  # the first opcode that is no part of a message
_SHORT, _MEDIUM = 126, 127  # sizes from which two or eight more bytes hold the size


def head_of(kind: int, size: int, mask: bytes = b"") -> bytes:
    """Returns what precedes the payload of a frame that is a whole message.

    Args:
        kind: `TEXT` or `BINARY`.
        size: The size of the payload.
        mask: The four bytes with which a client has masked the payload.
    """
    flag = _MASKED if mask else 0
    if size < _SHORT:
        return struct.pack("!BB", _FINAL | kind, flag | size) + mask
    if size < 1 << 16:
        return struct.pack("!BBH", _FINAL | kind, flag | _SHORT, size) + mask
    return struct.pack("!BBQ", _FINAL | kind, flag | _MEDIUM, size) + mask


class Splitter:
    """Finds the frames that are whole messages.

    Args:
        unmask: Applies a mask to a payload, on a server; None on a client, whose server masks
            nothing.
        most: The largest payload to return; larger ones are left to the state machine.
    """

    def __init__(
        self, unmask: Callable[[bytes, bytes], bytes] | None = None, most: float = float("inf")
    ) -> None:
        self._unmask = unmask
        self._most = most
        self._rest = b""  # an incomplete head
        self._owed = 0  # bytes still to come of a frame that is the state machine's
        self._is_inside = False  # of a message in several frames

    def split(self, data: bytes) -> list[tuple[int, bytes]]:
        """Takes the bytes that came.

        Returns:
            In their order, the kind and the payload of each whole message, and `OTHER` bytes.
        """
        if self._rest:
            data, self._rest = self._rest + data, b""
        found: list[tuple[int, bytes]] = []
        at, end = 0, len(data)
        if self._owed and data:
            at = min(self._owed, end)
            self._owed -= at
            found.append((OTHER, data[:at]))
        while at < end:
            bounds = _bounds_of_payload(data, at, end)
            if bounds is None:
                self._rest = data[at:]
                break
            begin, stop = bounds
            first = data[at]
            if (
                first in _WHOLE
                and stop <= end
                and not self._is_inside
                and (data[at + 1] >= _MASKED) is (self._unmask is not None)
                and stop - begin <= self._most
            ):
                payload = data[begin:stop]
                if self._unmask is not None:
                    payload = self._unmask(payload, data[begin - 4 : begin])
                found.append((first & _OPCODE, payload))
            else:
                if first & _OPCODE < _CONTROL:
                    self._is_inside = first < _FINAL
                found.append((OTHER, data[at:stop]))
                self._owed = max(0, stop - end)
            at = stop
        return found


def _bounds_of_payload(data: bytes, at: int, end: int) -> tuple[int, int] | None:
    """Returns where the payload of a frame begins and ends; None if its head is incomplete."""
    if end - at < 2:
        return None
    second = data[at + 1]
    size = second & (_MASKED - 1)
    begin = at + 2
    if size >= _SHORT:
        begin += 2 if size == _SHORT else 8
        size = int.from_bytes(data[at + 2 : begin], "big")
    if second >= _MASKED:
        begin += 4
    return None if begin > end else (begin, begin + size)
