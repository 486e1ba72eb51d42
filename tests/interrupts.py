"""Interrupts at every moment at which Python can raise one."""

from __future__ import annotations

import contextlib
import dis
import gc
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any


class Stop(BaseException):
    """An exception raised by a handler, like KeyboardInterrupt."""


@contextlib.contextmanager
def cutting_in(after: int, act: Any, within: str = "engines") -> Iterator[list[int]]:
    """Acts at the n-th point at which Python handles signals in the code of some files.

    No garbage is collected meanwhile: it would act in the finalizer of another test's engine.
    """
    before: dict[FrameType, str] = {}
    count = [0]

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        if within not in frame.f_code.co_filename:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            name = dis.opname[frame.f_code.co_code[frame.f_lasti]]
            # A call that raises goes straight to its handler: Python handles no signal there, and
            # an exception at that point would leave the thread's state unbalanced.
            # A specialised PRECALL calls by itself, and no CALL follows (Python 3.11).
            is_behind_call = before.get(frame, "").startswith(("CALL", "PRECALL")) and (
                name not in ("CALL", "PUSH_EXC_INFO")
            )
            if is_behind_call or name in ("RESUME", "JUMP_BACKWARD"):
                count[0] += 1
                if count[0] == after:
                    sys.settrace(None)
                    act()
            before[frame] = name
        return trace

    traced, collects = sys.gettrace(), gc.isenabled()
    gc.disable()
    sys.settrace(trace)
    try:
        yield count
    finally:
        sys.settrace(traced)
        if collects:
            gc.enable()
        assert not isinstance(sys.exc_info()[1], StopIteration)  # nothing is left behind
