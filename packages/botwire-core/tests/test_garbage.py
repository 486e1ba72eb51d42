"""The garbage collector is paused while messages are made, and never for longer."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator

import pytest

from botwire import operations as ops
from botwire.exact import Json
from botwire.garbage import collection_paused
from botwire.messages import Message, Native, read_items
from botwire.models import Item


@pytest.fixture(autouse=True)
def _collecting() -> Iterator[None]:
    assert gc.isenabled()
    yield
    assert gc.isenabled()


def test_it_is_paused_while_messages_are_made() -> None:
    value = Json.of(Message("user", "hi", native=Native("f", 1, {})).to_item())
    items = [Item(ops.HistoryItem(seq, None, value, 0)) for seq in (1, 2)]
    found = read_items(
        items,
        framework="f",
        formats=(1,),
        from_native=lambda _: gc.isenabled(),
        from_portable=lambda _: True,
    )
    assert found == [(1, False), (2, False)]


def test_it_resumes_after_an_error_and_after_a_pause_inside() -> None:
    @collection_paused
    def inside() -> bool:
        return gc.isenabled()

    @collection_paused
    def outside() -> None:
        assert not inside()
        assert not gc.isenabled()
        raise KeyError

    with pytest.raises(KeyError):
        outside()
    assert gc.isenabled()


def test_it_stays_off_if_the_program_has_switched_it_off() -> None:
    gc.disable()
    try:
        assert not collection_paused(gc.isenabled)()
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_it_runs_in_a_process_that_is_forked_while_another_thread_pauses_it() -> None:
    paused, done = threading.Event(), threading.Event()

    @collection_paused
    def pause() -> None:
        paused.set()
        done.wait()

    thread = threading.Thread(target=pause)
    thread.start()
    paused.wait()
    child = os.fork()
    if child == 0:
        os._exit(0 if gc.isenabled() else 1)
    done.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0
