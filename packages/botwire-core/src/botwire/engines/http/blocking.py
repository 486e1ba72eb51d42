"""A channel that threads share: of the threads that wait for an answer, one reads for all."""

from __future__ import annotations

import contextlib
import itertools
import select
import socket
import ssl
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue

from botwire.engines.http import frames
from botwire.engines.http.exchange import Answer, Target, Watch
from botwire.engines.http.frames import Frames

_SILENT_SECONDS = 50.0  # the server pings every 20 s
_MOST_PAGES = 100  # pages kept for a slow watcher, which reads the rest later
_CHUNK = 256 * 1024


class Waiter:
    """A thread that waits for an answer, or for the pages of a watch."""

    __slots__ = ("_calls", "answers", "is_waiting", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.answers: deque[Answer] = deque()
        self.is_waiting = False
        self._calls: SimpleQueue[None] = SimpleQueue()

    def call(self) -> None:
        """Wakes the thread: its answer has come, or it is its turn to read."""
        self._calls.put(None)

    def wait(self, seconds: float) -> None:
        """Waits for `call`; returns at once for each call since the last wait."""
        with contextlib.suppress(Empty):
            self._calls.get(timeout=max(0.0, seconds))


class Channel:
    """A connection that threads share: of the waiting threads, one reads for all.

    Args:
        target: The server to connect to.
        tls: How to check the server's certificate; None without TLS.
        seconds: How long opening it may take.

    Raises:
        OSError: The server cannot be reached, or refuses channels.
    """

    def __init__(self, target: Target, tls: ssl.SSLContext | None, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        self._frames = Frames(target)
        self._socket = socket.create_connection((target.host, target.port), seconds)
        self._is_dead = self._is_retired = False
        self.has_answered = False
        self._waiting: dict[int, Waiter] = {}
        self._numbers = itertools.count(1)
        self._reading = threading.Lock()  # held by the thread that reads
        self._writing = threading.Lock()  # held while a message is sent
        self._touching = threading.Lock()  # TLS reads when it writes, so it does one at a time
        self._is_plain = tls is None
        self._pongs = b""
        self._heard_at = time.monotonic()
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls is not None:
                self._socket = tls.wrap_socket(self._socket, server_hostname=target.host)
            self._socket.settimeout(0.0)
            self._write(self._frames.opening(), deadline)
            self._wait_opened(deadline)
        except BaseException:
            self._socket.close()
            raise

    def _wait_opened(self, deadline: float) -> None:
        while not self._frames.is_open:
            self._read(deadline)
            if self._frames.is_over:
                raise ConnectionError("the server refused to open a channel")

    @property
    def is_usable(self) -> bool:
        """Whether requests may be sent."""
        if self._is_dead or self._is_retired:
            return False
        if time.monotonic() - self._heard_at < _SILENT_SECONDS:
            return True
        # The server's pings wait in the socket.
        try:
            self._lead(lambda: self._read(0.0))
        except OSError:
            pass
        except BaseException:  # such as Ctrl-C, as below
            self._die()
            raise
        return not self._is_dead and time.monotonic() - self._heard_at < _SILENT_SECONDS

    def ask(self, content: str, name: str | None, deadline: float) -> Answer | None:
        """Sends a request; see `AsyncChannels.send`."""
        waiter = self._enter()
        try:
            self._send(frames.request(waiter.number, content, name), deadline)
            self._wait(waiter, deadline)
        except TimeoutError:
            self._is_retired = True  # the connection may be dead
            with contextlib.suppress(OSError):
                self._send(frames.withdrawal(waiter.number), 0.0)
            raise
        except OSError:
            self._die()
        except BaseException:  # such as Ctrl-C in the middle of a frame
            self._die()
            raise
        finally:
            self._leave(waiter)
        return waiter.answers[0] if waiter.answers else None

    def _enter(self) -> Waiter:
        waiter = Waiter(next(self._numbers))
        self._waiting[waiter.number] = waiter
        return waiter

    def _leave(self, waiter: Waiter) -> None:
        self._waiting.pop(waiter.number, None)
        if (self._is_retired and not self._waiting) or self._is_dead:
            self.close()

    def begin_watch(self, wanted: Watch, seconds: float) -> Waiter | None:
        """Asks for changes.

        Returns:
            What to pass to `next_of` and `end_watch`; None if the channel has ended.
        """
        waiter = self._enter()
        try:
            self._send(frames.watch(waiter.number, wanted), time.monotonic() + seconds)
        except BaseException as error:
            self._die()
            self._leave(waiter)
            if isinstance(error, OSError):
                return None
            raise
        return waiter

    def next_of(self, waiter: Waiter) -> Answer | None:
        """Waits for the next page that the server pushes; None if no more will come."""
        try:
            if not waiter.answers and waiter.number in self._waiting:
                self._wait(waiter, time.monotonic() + _SILENT_SECONDS)
        except OSError:
            self._die()
        except BaseException:  # such as Ctrl-C in the middle of a frame
            self._die()
            raise
        return waiter.answers.popleft() if waiter.answers else None

    def end_watch(self, waiter: Waiter) -> None:
        """Ends a watch."""
        if waiter.number in self._waiting and not self._is_dead:
            with contextlib.suppress(OSError):
                self._send(frames.withdrawal(waiter.number), 0.0)
        self._leave(waiter)

    def _wait(self, waiter: Waiter, deadline: float) -> None:
        waiter.is_waiting = True
        try:
            self._await_answer(waiter, deadline)
        finally:
            # Also if this thread was called to read but leaves because its time is up.
            waiter.is_waiting = False
            self._call_next()

    # Two functions because a block that holds a lock must not contain a loop; see
    # `engines/sqlite/writer.py`.

    def _await_answer(self, waiter: Waiter, deadline: float) -> None:
        while not waiter.answers and not self._is_dead:
            if self._reading.acquire(blocking=False):
                try:
                    self._read_until(waiter, deadline)
                finally:
                    self._reading.release()
            elif (left := deadline - time.monotonic()) > 0:
                waiter.wait(left)
            else:
                raise TimeoutError("no answer on the channel")

    def _read_until(self, waiter: Waiter, deadline: float) -> None:
        while not waiter.answers and not self._is_dead:
            self._read(deadline)

    def _lead(self, read: Callable[[], None]) -> None:
        if self._reading.acquire(blocking=False):
            try:
                read()
            finally:
                self._reading.release()
                self._call_next()

    def _call_next(self) -> None:
        """Calls a waiting thread to take over reading, unless a thread is reading.

        A thread tries to read before it waits, so a thread not yet waiting need not be called.
        """
        if self._reading.locked():
            return
        for waiter in list(self._waiting.values()):
            if waiter.is_waiting and not waiter.answers:
                waiter.call()
                return

    def _read(self, deadline: float) -> None:
        """Reads what comes next and hands out the answers in it."""
        if self._is_plain and deadline:
            # What was just asked for has not come yet. TLS may have it in its own buffer.
            _wait_for(self._socket, deadline, write=False)
        while True:
            try:
                with self._touching:
                    data = self._socket.recv(_CHUNK)
                break
            except ssl.SSLWantWriteError:
                _wait_for(self._socket, deadline, write=True)
            except (BlockingIOError, ssl.SSLWantReadError):
                _wait_for(self._socket, deadline, write=False)
        self._heard_at = time.monotonic()
        for number, answer in self._frames.receive(data):
            if (waiting := self._waiting.get(number)) is not None:
                self.has_answered = True
                waiting.answers.append(answer)
                if not answer.is_last and len(waiting.answers) >= _MOST_PAGES:
                    del self._waiting[number]
                waiting.call()
            elif not answer.is_last:  # for a watch that has ended
                with contextlib.suppress(OSError):
                    self._send(frames.withdrawal(number), 0.0)
        if self._frames.out:
            self._pongs, self._frames.out = self._frames.out, b""  # the latest are enough
        if self._frames.is_over:
            self._die()

    def _send(self, frame: bytes, deadline: float) -> None:
        """Sends a whole frame, after any frames that wait to be sent."""
        if not self._writing.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise TimeoutError("the channel is busy")
        try:
            if self._is_dead:
                return
            pongs, self._pongs = self._pongs, b""
            self._write(pongs + frame, deadline)
        finally:
            self._end_writing()

    def _end_writing(self) -> None:
        with contextlib.suppress(RuntimeError):  # `_die` released it
            self._writing.release()

    def _write(self, data: bytes, deadline: float) -> None:
        left = memoryview(data)
        try:
            while left:
                try:
                    with self._touching:
                        left = left[self._socket.send(left) :]
                except ssl.SSLWantReadError:
                    _wait_for(self._socket, deadline, write=False)
                except (BlockingIOError, ssl.SSLWantWriteError):
                    _wait_for(self._socket, deadline, write=True)
        except TimeoutError:
            if len(left) < len(data):  # part of the frame was not sent
                self._die()
            raise

    def _die(self) -> None:
        """Tells all waiting callers that no answer will come."""
        self._is_dead = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # the reading thread notices
        for waiter in list(self._waiting.values()):
            waiter.call()
        # An interrupt may have struck right after `acquire`. A thread that waits for the lock then
        # gets it, and writes nothing.
        self._end_writing()

    def retire(self) -> None:
        """Stops accepting requests, and closes once all are answered."""
        self._is_retired = True
        if not self._waiting:
            self.close()

    def close(self) -> None:
        """Closes the connection."""
        if not self._is_dead:
            with contextlib.suppress(OSError):
                self._send(frames.closing(), 0.0)
            self._die()
        if not self._waiting:
            self._socket.close()

    def __del__(self) -> None:
        # A forked process closes it as well, and must not send a close frame.
        with contextlib.suppress(AttributeError):  # there is no connection yet
            self._socket.close()


def _wait_for(connection: socket.socket, deadline: float, *, write: bool) -> None:
    """Waits until a socket can be read from or written to.

    Raises:
        TimeoutError: It cannot within the time.
    """
    left = max(0.0, deadline - time.monotonic())
    if sys.platform != "win32" and hasattr(select, "poll"):
        poll = select.poll()
        poll.register(connection, select.POLLOUT if write else select.POLLIN)
        is_ready = bool(poll.poll(left * 1000))
    else:
        lists = ([], [connection]) if write else ([connection], [])
        is_ready = any(select.select(*lists, lists[1], left))
    if not is_ready:
        raise TimeoutError("no answer on the channel")
