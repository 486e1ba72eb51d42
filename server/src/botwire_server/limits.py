"""Rate limits, exact across all processes that serve a database on one machine.

The algorithm is GCRA (the generic cell rate algorithm of ATM, ITU-T I.371): a caller may send the
requests of a whole minute at once, and the quota then refills evenly. It needs one number per
subject: the time at which the quota is full again. The processes keep these numbers in one
memory-mapped file and lock a part of it for a few microseconds per request. A lock ends with the
process that holds it; the file outlives the processes. Machines count separately. The store counts
what must hold across machines: writes per day and bytes (`botwire.operations.terms`).
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import struct
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from botwire.errors import ConfigurationError, QuotaExceededError
from botwire.operations.terms import BatchTerms, UsageReport
from botwire.places import Place, without_password

if sys.platform == "win32":
    fcntl: Any = None
else:
    import fcntl

_WINDOW = 60.0
_SLOT = struct.Struct("=Qd")  # a hash of the subject, and when its quota is full again
_BUCKET = 8  # slots that may hold a subject
_BUCKETS = 8192
_BYTES = _SLOT.size * _BUCKET


class Policy(NamedTuple):
    """The current state of a limit, for the headers of an answer.

    Attributes:
        name: The name of the limit.
        quota: How much may be used in a window.
        window: The length of a window in seconds.
        left: How much of the quota is left.
        reset: Seconds until the whole quota is available again.
    """

    name: str
    quota: int
    window: int
    left: int
    reset: float


def rates_path(place: Place) -> str | None:
    """Returns the file in which this user's servers of a database count requests on this machine.

    It is in the folder for temporary files. It survives a restart of the server. It need not
    survive a reboot, after which the machine's clock starts again. None: this process counts alone,
    because the store is its own, or there is no such folder.
    """
    if not place.shareable:
        return None
    try:
        folder = tempfile.gettempdir()
    except FileNotFoundError:  # all is read-only, as a container may be
        return None
    url = without_password(place.url)
    if place.scheme == "sqlite":
        url = os.path.realpath(place.sqlite_path)
    digest = hashlib.blake2b(url.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    user = os.getuid() if hasattr(os, "getuid") else 0
    return os.path.join(folder, f"botwire-{user}-{digest}.rates")  # noqa: PTH118 - a str, as the settings of a worker are


class RateTable:
    """Counts requests by subject. The first one counted creates the file.

    Args:
        path: The file that processes share; None: the memory of this process.

    Raises:
        ConfigurationError: At the first use, if the file belongs to another user.
    """

    def __init__(self, path: str | None = None) -> None:
        self._path = path
        self._file = -1  # none: the memory of this process
        self._map: mmap.mmap | None = None

    def _opened(self) -> mmap.mmap:
        if self._map is None:
            if self._path is not None:
                # Stays open: closing any descriptor of a file releases the process's locks on it.
                self._file = self._open(self._path)
                os.ftruncate(self._file, _BYTES * _BUCKETS)
            self._map = mmap.mmap(self._file, _BYTES * _BUCKETS)
        return self._map

    def _open(self, path: str) -> int:
        try:
            # Other users may write to that folder too: do not follow links that they made.
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
            file_descriptor = os.open(path, flags, 0o600)
        except OSError as error:
            raise ConfigurationError(
                f"the file that counts requests, {path}, cannot be opened "
                f"({error.strerror}): remove it, or set TMPDIR to another folder"
            ) from error
        if hasattr(os, "getuid") and os.fstat(file_descriptor).st_uid != os.getuid():
            os.close(file_descriptor)
            raise ConfigurationError(
                f"the file that counts requests, {path}, belongs to another user: set "
                "TMPDIR to another folder"
            )
        return file_descriptor

    def close(self) -> None:
        """Closes the file."""
        if self._map is not None:
            self._map.close()
            self._map = None
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    @contextlib.contextmanager
    def _locked(self, at: int) -> Iterator[None]:
        if fcntl is None or self._file < 0:  # Windows, where one process serves; or it is its own
            yield
            return
        fcntl.lockf(self._file, fcntl.LOCK_EX, _BYTES, at)
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, _BYTES, at)

    def take(self, subject: str, quota: int, name: str) -> tuple[Policy, float | None]:
        """Counts a request if it is within the limit.

        Args:
            subject: The subject whose requests are counted.
            quota: Requests allowed per minute.
            name: The name of the limit.

        Returns:
            The limit with this request, and the seconds to wait if the request is refused.
        """
        table = self._opened()
        now = time.monotonic()  # one clock for all processes of a machine
        digest = hashlib.blake2b(subject.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        mark = int.from_bytes(digest, "little") | 1  # 0 is an empty slot
        at = (mark >> 1) % _BUCKETS * _BYTES
        step = _WINDOW / quota
        with self._locked(at):
            slots = [_SLOT.unpack_from(table, at + i * _SLOT.size) for i in range(_BUCKET)]
            index = next((i for i, slot in enumerate(slots) if slot[0] == mark), None)
            if index is None:
                # Evicts the subject whose quota refills first, or takes an empty slot.
                index = min(range(_BUCKET), key=lambda i: slots[i][1] if slots[i][0] else 0.0)
                full_at = now
            else:
                full_at = max(slots[index][1], now)
                if full_at > now + _WINDOW + step:  # from before a reboot
                    full_at = now
            wait = full_at + step - now - _WINDOW
            # Rounding may make a request look early by less than this.
            taken = wait <= 1e-6
            if taken:
                full_at += step
                _SLOT.pack_into(table, at + index * _SLOT.size, mark, full_at)
        left = max(0, int((_WINDOW - (full_at - now)) / step + 1e-6))
        policy = Policy(name, quota, round(_WINDOW), left, full_at - now)
        return policy, None if taken else wait


def take_request(
    table: RateTable, subject: str, quota: int, name: str, whose: str, policies: list[Policy]
) -> None:
    """Counts a request.

    Args:
        table: Counts the requests.
        subject: The subject whose requests are counted.
        quota: Requests allowed per minute.
        name: The name of the limit.
        whose: What an error calls the subject.
        policies: Receives the current state of the limit.

    Raises:
        QuotaExceededError: The limit is reached.
    """
    policy, wait = table.take(subject, quota, name)
    policies.append(policy)
    if wait is not None:
        raise QuotaExceededError(
            f"{whose} may make {quota:,} requests per minute: wait {wait:.1f} s", retry_after=wait
        )


def policies_of(terms: BatchTerms, used: UsageReport, now: int) -> Iterator[Policy]:
    """Yields the current state of the daily limits that applied to a batch."""
    for name, quota, usage in (
        ("namespace-writes", terms.quota, used.namespace),
        ("key-writes", terms.account_quota, used.account),
    ):
        if quota.writes is not None and usage is not None:
            left = max(0, quota.writes - usage.writes)
            yield Policy(name, quota.writes, 86_400, left, usage.seconds_left(now))


def headers_of(policies: Sequence[Policy]) -> list[tuple[bytes, bytes]]:
    """Returns the headers that report limits (draft-ietf-httpapi-ratelimit-headers-10)."""
    if not policies:
        return []
    last = {policy.name: policy for policy in policies}.values()
    quotas = ", ".join(f'"{one.name}";q={one.quota};w={one.window}' for one in last)
    states = ", ".join(f'"{one.name}";r={one.left};t={int(one.reset + 0.999)}' for one in last)
    return [(b"ratelimit-policy", quotas.encode()), (b"ratelimit", states.encode())]
