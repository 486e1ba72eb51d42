"""Several byte strings in one, each preceded by its length in four bytes."""

from __future__ import annotations

from collections.abc import Iterable


def join(blobs: Iterable[bytes]) -> bytes:
    """Returns byte strings as one."""
    return b"".join(len(blob).to_bytes(4) + blob for blob in blobs)


def split(joined: bytes) -> list[bytes]:
    """Returns the byte strings that `join` joined."""
    blobs, start = [], 0
    while start < len(joined):
        stop = start + 4 + int.from_bytes(joined[start : start + 4])
        blobs.append(joined[start + 4 : stop])
        start = stop
    return blobs
