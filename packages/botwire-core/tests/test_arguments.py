"""A wrong argument is refused by an error that names it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import pytest

from botwire import AsyncMemory, ConfigurationError, Memory
from botwire.arguments import check_mapping, check_seconds, check_type
from botwire.client.encoding import encode_pairs
from botwire.embedders import check_embedder
from botwire.engines.sqlite import MEMORY, AsyncSQLiteEngine, SQLiteEngine
from botwire.retention import Retention


class Team: ...


SECONDS = "timeout must be a number of seconds above 0, not "
WRONG: dict[str, Callable[[], Any]] = {
    "key must be a dict, not int: 5": lambda: check_mapping(5, "key"),
    "team must be a Team, not NoneType: None": lambda: check_type(None, Team, "team"),
    "idx must be an int, not str: 'x'": lambda: check_type("x", int, "idx"),
    "x must be a string or an int, not list: []": lambda: check_type([], (str, int), "x"),
    "x must be text, not bytes": lambda: check_type(b"", str, "x", "text"),
    SECONDS + "'x'": lambda: check_seconds("x", "timeout"),
    SECONDS + "True": lambda: check_seconds(True, "timeout"),
    SECONDS + "nan": lambda: check_seconds(math.nan, "timeout"),
    SECONDS + "-1": lambda: check_seconds(-1, "timeout"),
    "p must be a list of pairs of a and b, not int": lambda: encode_pairs(
        5,  # type: ignore[arg-type]
        "p",
        "a and b",
    ),
    "pairs[1] must be a pair of a and b, not 'xy'": lambda: encode_pairs(
        [(1, 2), "xy"], "pairs", "a and b"
    ),
    "embedder must be a function that returns a vector": lambda: check_embedder("openai"),
}


@pytest.mark.parametrize("says", WRONG)
def test_a_wrong_argument_is_named(says: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(says)):
        WRONG[says]()


def test_a_right_argument_is_returned() -> None:
    assert check_mapping({"a": 1}, "key") == {"a": 1}
    assert check_type("x", (str, bytes), "x") == "x"
    assert check_seconds(math.inf, "timeout") == math.inf
    assert encode_pairs({"a": 1}.items(), "pairs", "a and b") == (("a", 1),)
    check_embedder(None)
    check_embedder(len)


@pytest.mark.parametrize("poll", [0, -1, "x", None])
async def test_a_watch_that_would_never_wait_is_refused(poll: Any) -> None:
    says = "poll must be a number of seconds above 0"
    with pytest.raises(ConfigurationError, match=says):
        next(Memory("n", url="sqlite://").watch(poll=poll))
    with pytest.raises(ConfigurationError, match=says):
        await anext(AsyncMemory("n", url="sqlite://").watch(poll=poll))


def _in_transaction(use: Callable[[Any], Any]) -> Any:
    with Memory("n", url="sqlite://").transaction() as tx:
        return use(tx)


CALLS: dict[str, Callable[[], Any]] = {
    "key must be a string": lambda: Memory("n", url="sqlite://").update([], len),  # type: ignore[arg-type]
    "a key must be a string": lambda: _in_transaction(lambda tx: tx.get({})),
    "seqs must be a list": lambda: Memory("n", url="sqlite://").history("h").delete_many(5),  # type: ignore[arg-type]
    "seqs must be a list of": lambda: _in_transaction(lambda tx: tx.history("h").delete_many(None)),
    "text must be a string": lambda: Memory("n", url="sqlite://").records().recall(None),  # type: ignore[arg-type]
    "limit must be at least 0": lambda: Memory("n", url="sqlite://").records().recall(limit=-1),
    "place must be a Place": lambda: Memory("n", place="sqlite://"),  # type: ignore[arg-type]
    "engine must be an Engine": lambda: Memory("n", engine=SQLiteEngine),  # type: ignore[arg-type]
    "apply, sweep and close": lambda: Memory("n", engine=AsyncSQLiteEngine(MEMORY)),  # type: ignore[arg-type]
    "engine must be an AsyncEngine": lambda: AsyncMemory("n", engine="sqlite://"),  # type: ignore[arg-type]
    "an Engine .*, not 'sqlite://'": lambda: Retention(engine="sqlite://"),  # type: ignore[arg-type]
    "apply, sweep and aclose": lambda: AsyncMemory("n", engine=SQLiteEngine(MEMORY)),  # type: ignore[arg-type]
    "would never be applied": lambda: Memory("n", url="sqlite://").transaction().set("k", 1),
}


@pytest.mark.parametrize("says", CALLS)
def test_no_call_raises_an_error_of_python_or_does_nothing(says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        CALLS[says]()
