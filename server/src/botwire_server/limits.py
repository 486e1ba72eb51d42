"""How often a caller may ask, exactly, by however many processes of a machine it is answered.

The rate is that of GCRA (the generic cell rate algorithm of ATM, ITU-T I.371): a minute's requests
may come at once, and then as many as the minute brings back. It needs one number a subject, the
moment at which all is brought back. The numbers of all processes that serve a database on a
machine are in one mapped file, whose parts they lock for the few microseconds of a look, so the
limit is one for all of them; a lock ends with the process that holds it, the file outlives them.
Several machines count each on its own: what must not, writes a day and bytes, is in the store
(`botwire.operations.terms`).
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

from botwire.errors import ConfigurationError, QuotaExceededError
from botwire.operations.terms import Terms
from botwire.places import Place, without_password

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


def rates_path(place: Place) -> str | None:
    """Returns the file in which this user's servers of a database count on this machine.

    It lies where temporary files do: a restart of a server leaves it alone, and one of the machine,
    with whose clock the times in it begin anew, may clear it.
    """
    if not place.shareable:
        return None
    url = without_password(place.url)
    if place.scheme == "sqlite":
        url = os.path.realpath(place.sqlite_path)
    digest = hashlib.blake2b(url.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    user = os.getuid() if hasattr(os, "getuid") else 0
    return os.path.join(tempfile.gettempdir(), f"botwire-{user}-{digest}.rates")  # noqa: PTH118 - a str, as the settings of a worker are


class RateTable:
    """Counts requests by subject. The file is made with the first that is counted.

    Args:
        path: The file that all who count together open; None for one of this process.

    Raises:
        ConfigurationError: At the first use, if the file is not this user's.
    """

    def __init__(self, path: str | None = None) -> None:
        self._path = path
        self._file = -1
        self._map: mmap.mmap | None = None

    def _opened(self) -> mmap.mmap:
        if self._map is None:
            self._file = self._open()
            # Kept open: closing any descriptor of a file gives up all locks the process has on it.
            os.ftruncate(self._file, _BYTES * _BUCKETS)
            self._map = mmap.mmap(self._file, _BYTES * _BUCKETS)
        return self._map

    def _open(self) -> int:
        if self._path is None:
            with tempfile.TemporaryFile() as file:
                return os.dup(file.fileno())
        try:
            # Others may write into that folder too: what they put there is not ours to follow.
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
            file_descriptor = os.open(self._path, flags, 0o600)
        except OSError as error:
            raise ConfigurationError(
                f"{self._path}, where requests are counted, cannot be opened ({error.strerror}): "
                "remove it, or set TMPDIR to another folder"
            ) from error
        if hasattr(os, "getuid") and os.fstat(file_descriptor).st_uid != os.getuid():
            os.close(file_descriptor)
            raise ConfigurationError(
                f"{self._path}, where requests are counted, is another user's: set TMPDIR to "
                "another folder"
            )
        return file_descriptor

    def close(self) -> None:
        """Gives the file back."""
        if self._map is not None:
            self._map.close()
            os.close(self._file)
            self._map = None

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
                # The one that soonest has all back: mostly long since, or an empty one.
                index = min(range(_BUCKET), key=lambda i: slots[i][1] if slots[i][0] else 0.0)
                full_at = now
            else:
                full_at = max(slots[index][1], now)
                if full_at > now + _WINDOW + step:  # of before the machine was started again
                    full_at = now
            wait = full_at + step - now - _WINDOW
            # A request comes a little early by the rounding of sums, and never by more.
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
