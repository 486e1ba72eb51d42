"""How often a caller may ask, exactly, by however many processes of a machine it is answered.

The rate is that of GCRA (the generic cell rate algorithm of ATM, ITU-T I.371): a minute's requests
may come at once, and then as many as the minute brings back. It needs one number a subject, the
moment at which all is brought back. The numbers of all workers are in one mapped file, whose parts
they lock for the few microseconds of a look, so the limit is one for all of them; a lock ends with
the process that holds it. Several machines count each on its own, and a restart begins anew: what
must outlive that, writes a day and bytes, is counted in the store (`botwire.terms`).
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import struct
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from botwire.errors import QuotaExceededError
from botwire.terms import Terms

try:
    import fcntl
except ImportError:  # Windows, where one process serves
    fcntl = None  # type: ignore[assignment]

_WINDOW = 60.0
_SLOT = struct.Struct("=Qd")  # whose it is, and when all is brought back
_BUCKET = 8  # slots in which a subject may be found
_BUCKETS = 8192
_BYTES = _SLOT.size * _BUCKET


class Policy(NamedTuple):
    """A limit as it stands, for the headers of an answer.

    Attributes:
        name: Of the limit.
        quota: What may be used in a window.
        window: Its length in seconds.
        left: What is left of the quota.
        reset: Seconds until all of it is there again.
    """

    name: str
    quota: int
    window: int
    left: int
    reset: float


class RateTable:
    """Counts requests by subject.

    Args:
        path: The file that all who count together open; None for one of this process.
    """

    def __init__(self, path: str | None = None) -> None:
        if path is None:
            with tempfile.TemporaryFile() as file:
                self._open(file.fileno())
        else:
            file_descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                self._open(file_descriptor)
            finally:
                os.close(file_descriptor)

    def _open(self, file_descriptor: int) -> None:
        # Kept: closing any descriptor of a file gives up all locks that the process has on it.
        self._file = os.dup(file_descriptor)
        os.ftruncate(self._file, _BYTES * _BUCKETS)
        self._map = mmap.mmap(self._file, _BYTES * _BUCKETS)

    def close(self) -> None:
        """Gives the file back."""
        self._map.close()
        os.close(self._file)

    @contextlib.contextmanager
    def _locked(self, at: int) -> Iterator[None]:
        if fcntl is None:
            yield
            return
        fcntl.lockf(self._file, fcntl.LOCK_EX, _BYTES, at)
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, _BYTES, at)

    def take(self, subject: str, quota: int, name: str) -> tuple[Policy, float | None]:
        """Counts a request, if it may be made.

        Args:
            subject: Whose request it is.
            quota: How many may be made in a minute.
            name: Of the limit.

        Returns:
            The limit with this request, and the seconds to wait if it may not be made now.
        """
        now = time.monotonic()  # one clock for all processes of a machine
        digest = hashlib.blake2b(subject.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        mark = int.from_bytes(digest, "little") | 1  # 0 is an empty slot
        at = (mark >> 1) % _BUCKETS * _BYTES
        step = _WINDOW / quota
        with self._locked(at):
            slots = [_SLOT.unpack_from(self._map, at + i * _SLOT.size) for i in range(_BUCKET)]
            index = next((i for i, slot in enumerate(slots) if slot[0] == mark), None)
            if index is None:
                # The one that soonest has all back: mostly long since, or an empty one.
                index = min(range(_BUCKET), key=lambda i: slots[i][1] if slots[i][0] else 0.0)
                full_at = now
            else:
                full_at = max(slots[index][1], now)
            wait = full_at + step - now - _WINDOW
            # A request comes a little early by the rounding of sums, and never by more.
            taken = wait <= 1e-6
            if taken:
                full_at += step
                _SLOT.pack_into(self._map, at + index * _SLOT.size, mark, full_at)
        left = max(0, int((_WINDOW - (full_at - now)) / step + 1e-6))
        policy = Policy(name, quota, round(_WINDOW), left, full_at - now)
        return policy, None if taken else wait


def take_request(
    table: RateTable, subject: str, quota: int, name: str, whose: str, policies: list[Policy]
) -> None:
    """Counts a request.

    Args:
        table: Where.
        subject: Whose request it is.
        quota: How many may be made in a minute.
        name: Of the limit.
        whose: What to call it in an error.
        policies: Gets the limit as it stands then.

    Raises:
        QuotaExceededError: It is one too many now.
    """
    policy, wait = table.take(subject, quota, name)
    policies.append(policy)
    if wait is not None:
        raise QuotaExceededError(
            f"{whose} may make {quota:,} requests a minute: wait {wait:.1f} s", retry_after=wait
        )


def policies_of(terms: Terms, now: int) -> Iterator[Policy]:
    """Yields the limits of a day that a batch was held to, as they stand then."""
    for name, quota, usage in (
        ("namespace-writes", terms.quota, terms.usage),
        ("key-writes", terms.account_quota, terms.account_usage),
    ):
        if quota.writes is not None and usage is not None:
            left = max(0, quota.writes - usage.writes)
            yield Policy(name, quota.writes, 86_400, left, usage.seconds_left(now))


def headers_of(policies: Sequence[Policy]) -> list[tuple[bytes, bytes]]:
    """Returns the headers that say how limits stand (draft-ietf-httpapi-ratelimit-headers-10)."""
    if not policies:
        return []
    last = {policy.name: policy for policy in policies}.values()
    quotas = ", ".join(f'"{one.name}";q={one.quota};w={one.window}' for one in last)
    states = ", ".join(f'"{one.name}";r={one.left};t={int(one.reset + 0.999)}' for one in last)
    return [(b"ratelimit-policy", quotas.encode()), (b"ratelimit", states.encode())]
