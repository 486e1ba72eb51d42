"""Declarations: operations, their SQL handlers, and URL schemes of engines."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from botwire import AsyncMemory, ConfigurationError, InvalidRequestError, Memory, wire
from botwire import operations as ops
from botwire.engines import opening
from botwire.engines.sql import handlers
from botwire.engines.sqlite import MEMORY, SQLiteEngine
from botwire.places import known_schemes


@pytest.fixture
def renamed() -> Iterator[type]:
    """A user's own operation, declared for one test."""

    @ops.operation
    class RenameThing(ops.Operation[ops.Count]):
        """Renames; returns a count."""

        old: ops.Key
        times: tuple[ops.Time, ...] = ()

    yield RenameThing
    del ops.OPERATIONS["rename_thing"], ops.BY_CLASS[RenameThing]


def test_all_follows_from_the_class(renamed: type) -> None:
    operation = renamed("k", (0,))
    batch = ops.Batch("n", (operation,))
    document = {"op": "rename_thing", "old": "k", "times": ["1970-01-01T00:00:00.000000Z"]}
    assert json.loads(wire.encode_batch(batch))["operations"] == [document]
    assert wire.decode_operation(document, "it") == operation
    with pytest.raises(ConfigurationError, match="must not be empty"):
        renamed("")
    with pytest.raises(InvalidRequestError, match=r"it\.times\[1\] must be a time"):
        wire.decode_operation({**document, "times": [*document["times"], "soon"]}, "it")


def test_what_is_declared_wrongly_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match=r"NoResult must name its result"):

        @ops.operation
        class NoResult(ops.Operation):  # type: ignore[type-arg]
            key: ops.Key

    with pytest.raises(TypeError, match="has no form in JSON"):

        @ops.operation
        class NoForm(ops.Operation[int]):
            key: set[str]

    assert not {"no_result", "no_form"} & ops.OPERATIONS.keys()


def test_what_was_not_declared_or_means_nothing_is_named(renamed: type) -> None:
    @dataclass(frozen=True, slots=True)
    class Plain(ops.Operation[int]):
        key: ops.Key = "k"

    with pytest.raises(ConfigurationError, match="Plain is not declared"):
        wire.encode_batch(ops.Batch("n", (Plain(),)))
    with pytest.raises(ConfigurationError, match="RenameThing has no handler in SQL"):
        SQLiteEngine(MEMORY).apply(ops.Batch("n", (renamed("k"),)))


def test_an_engine_is_imported_only_if_it_knows_every_operation(
    renamed: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    handlers.check_complete()  # a user's own operation may be for their own engine
    monkeypatch.delitem(handlers._HANDLERS, ops.PutKey)
    with pytest.raises(ConfigurationError, match="PutKey has no handler in SQL"):
        handlers.check_complete()


def test_a_scheme_of_ones_own_opens_both_clients() -> None:
    engine = SQLiteEngine(MEMORY)
    with pytest.raises(ConfigurationError, match="shelf://x"):
        Memory("n", url="shelf://x")
    try:
        opening.register_scheme("Shelf", opening.Scheme(lambda place: engine))
        Memory("n", url="shelf://x").set("k", 1)
        assert asyncio.run(AsyncMemory("n", url="SHELF://x").get("k")) == 1
    finally:
        opening._registered.pop("shelf")
        known_schemes.discard("shelf")
    with pytest.raises(ConfigurationError, match="built into BotWire"):
        opening.register_scheme("HTTP", opening.Scheme(lambda place: engine))


@pytest.mark.parametrize("limit", [-1, "9", True])
def test_a_bad_limit_of_a_list_is_ours(limit: object) -> None:
    with pytest.raises(ConfigurationError, match="limit"):
        Memory("n", url="sqlite://").records().list(limit=limit)  # type: ignore[arg-type]


def test_pages_end_where_enough_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = SQLiteEngine(MEMORY)
    history = Memory("n", engine=engine).history("h")
    history.extend(range(2500))
    asked: list[int] = []
    apply = engine.apply

    def count(batch: ops.Batch) -> ops.Results:
        asked.append(batch.operations[0].limit)  # type: ignore[attr-defined]
        return apply(batch)

    monkeypatch.setattr(engine, "apply", count)
    assert history.tail(1200) == list(range(1300, 2500))
    assert [item.value for item in history.read(limit=1000)] == list(range(1000))
    assert (history.tail(0), asked) == ([], [1000, 200, 1000])
