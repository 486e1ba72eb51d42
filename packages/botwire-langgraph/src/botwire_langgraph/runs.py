"""Tracks which runs of this process are alive.

LangGraph reveals the start of a run to a checkpointer by reading the thread, but never reveals its
end. It reads from the loop that drives the run, which this module finds on the call stack. However
the run ends, LangGraph unwinds the loop's exit stack: when the run returns, fails, is interrupted
or cancelled, or when its stream is closed. Without such a loop this module does not see the run.
The only protection left then is that a put is refused if another came first.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import secrets
import sys
import threading
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, ExitStack
from contextvars import ContextVar
from types import FrameType
from typing import Any, NamedTuple
from weakref import WeakValueDictionary, ref

_ENTERING = ("__enter__", "__aenter__")
_PUTTING = ("_checkpointer_put_after_previous",)
_MOST_WITHIN = 16


class RunCaller(NamedTuple):
    """The caller of a checkpointer.

    Attributes:
        loop: The loop of the run that calls; None if no run does.
        driver: The frame of the generator that drives the loop.
        graph: The graph that calls; None if no graph does.
    """

    loop: Any = None
    driver: FrameType | None = None
    graph: Any = None

    @classmethod
    def find(cls) -> RunCaller:
        """Finds the run that begins here, and its graph, on the call stack."""
        loop, driver = None, None
        for frame, owner in _methods():
            if loop is None and frame.f_code.co_name in _ENTERING and _is_loop(owner):
                loop, driver = owner, frame.f_back
            elif _is_graph(owner):
                return cls(loop, driver, owner)
        return cls(loop, driver)


def putting_loop() -> Any:
    """Returns the loop of the run that puts a checkpoint; None if no run does."""
    for frame, owner in _methods():
        if frame.f_code.co_name in _PUTTING and _is_loop(owner):
            return owner
    return None


def calling_graph() -> Any:
    """Returns the graph whose run calls; None if no run does.

    A task may have a thread of its own, on whose stack only the loop of the run is found: it has
    the same channels and nodes, and is returned instead.
    """
    loop = None
    for _, owner in _methods():
        if _is_graph(owner):
            return owner
        if loop is None and _is_loop(owner):
            loop = owner
    return loop


_unwinding: set[asyncio.Task[Any]] = set()
"""What `unwind_fully` has begun; event loops only refer to tasks weakly."""


def unwind_fully(stack: AsyncExitStack) -> None:
    """Lets a loop's exit stack unwind to its end, even if that is cancelled.

    LangGraph unwinds it in a task. AnyIO cancels again whatever a cancelled task waits for, and so
    that task too, mostly before its first step: as when the client of a streaming response of
    Starlette leaves. The loop would then never end.
    """
    unwind = stack.__aexit__

    def begin(*details: Any) -> Coroutine[Any, Any, bool | None]:
        task = asyncio.ensure_future(unwind(*details))
        _unwinding.add(task)
        task.add_done_callback(_unwinding.discard)
        return _end(task)

    async def _end(task: asyncio.Task[bool | None]) -> bool | None:
        return await asyncio.shield(task)

    stack.__aexit__ = begin  # type: ignore[method-assign]


def _methods() -> Iterator[tuple[FrameType, Any]]:
    """Yields the method frames on the call stack, each with its object."""
    for frame in _frames(inspect.currentframe()):
        if frame.f_code.co_varnames[:1] == ("self",):
            yield frame, frame.f_locals.get("self")


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _is_graph(owner: Any) -> bool:
    return hasattr(owner, "get_state_history") and hasattr(owner, "channels")


def _is_loop(owner: Any) -> bool:
    stack = getattr(owner, "stack", None)
    return isinstance(stack, (ExitStack, AsyncExitStack)) and hasattr(owner, "checkpoint_config")


_runs: WeakValueDictionary[str, Run] = WeakValueDictionary()
_within: ContextVar[tuple[str, ...]] = ContextVar("botwire_langgraph_within", default=())


def find(token: str) -> Run | None:
    """Returns the run of this process that a token names; None if another process owns it."""
    found = _runs.get(token)
    return found if found is not None and found.pid == os.getpid() else None


class Run:
    """A run of this process that holds a thread, or waits for it.

    Args:
        caller: The caller that begins the run; its loop is set.
        thread: The thread's id.

    Attributes:
        token: The unique name of the run in the store.
        version: The version of the key of its lease; 0 if it holds none.
    """

    def __init__(self, caller: RunCaller, thread: str) -> None:
        self.token = secrets.token_hex(16)
        self.thread = thread
        self.pid = os.getpid()
        self.version = 0
        self._loop = ref(caller.loop)
        self._driver = caller.driver
        self._is_async = isinstance(caller.loop.stack, AsyncExitStack)
        self._thread = threading.get_ident()
        task = asyncio.current_task() if self._is_async else None
        self._task = None if task is None else ref(task)
        self._event_loop = None if task is None else task.get_loop()
        self._over = False
        _runs[self.token] = self
        _within.set((*_within.get(), self.token)[-_MOST_WITHIN:])

    def end(self) -> None:
        """Marks the run as over."""
        self._over = True
        self._driver = None  # its variables keep the loop alive

    @property
    def is_async(self) -> bool:
        """Whether the run is asynchronous."""
        return self._is_async

    @property
    def is_alive(self) -> bool:
        """Whether the run may still act."""
        loop = self._loop()
        if self._over or loop is None:
            return False
        if self._event_loop is not None and self._event_loop.is_closed():
            return False
        # A loop without this attribute may have failed as it began: LangGraph then unwinds nothing,
        # and the traceback may keep the loop alive.
        if "updated_channels" in vars(loop):
            return True
        if self._is_async:
            task = self._task() if self._task is not None else None
            return task is not None and not task.done()
        return self._is_executing()

    def is_around(self) -> bool:
        """Returns whether the caller is a part of this run, and so must not wait for its end."""
        return self.token in _within.get() and not self.is_left()

    def is_left(self) -> bool:
        """Returns whether the caller drove this run and abandoned it with its stream still open."""
        if any(frame is self._driver for frame in _frames(inspect.currentframe())):
            return False
        if not self._is_async:
            return self._thread == threading.get_ident() and not self._is_executing()
        try:
            task = asyncio.current_task()
        except RuntimeError:  # no event loop runs in this thread
            return False
        return task is not None and self._task is not None and self._task() is task

    def is_settled(self) -> bool:
        """Returns whether the checkpoints put before the run was abandoned are stored."""
        future = getattr(self._loop(), "_put_checkpoint_fut", None)
        return future is None or bool(future.done())

    def _is_executing(self) -> bool:
        """Returns whether some thread is executing this run."""
        try:
            return any(
                frame is self._driver
                for top in sys._current_frames().values()  # noqa: SLF001 - documented
                for frame in _frames(top)
            )
        except AttributeError:
            # Seen on CPython 3.11: an int as the `f_back` of a frame whose thread went on.
            return True  # the next look tells
