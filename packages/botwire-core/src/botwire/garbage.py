"""Pauses the garbage collector while many objects are created at once.

Python looks for unreachable cycles after every few hundred new objects, and now and then among all
objects of the process. While thousands of messages are created, none of which can be garbage yet,
this takes several times as long as creating them.
"""

from __future__ import annotations

import functools
import gc
import os
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_pausing: set[int] = set()  # threads; with a flag, one could clear it for another


def collection_paused(function: Callable[P, T]) -> Callable[P, T]:
    """Decorates a function: while it runs, the garbage collector pauses for all threads.

    The function may wait for the store, but for nothing that can take longer, because cycles that
    become garbage stay in memory until it returns. Pausing for each page of a conversation is not
    enough: between pages, the collector would still look through all objects now and then.
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        if not gc.isenabled():  # the program has switched it off, or another call pauses it
            return function(*args, **kwargs)
        thread = threading.get_ident()
        try:
            _pausing.add(thread)
            gc.disable()
            return function(*args, **kwargs)
        finally:
            gc.enable()
            _pausing.discard(thread)

    return call


def _resume_in_child() -> None:
    """Ends the pauses of threads that a forked process does not have."""
    if _pausing:
        _pausing.clear()
        gc.enable()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_resume_in_child)
