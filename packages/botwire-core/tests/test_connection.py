"""References to a place: they hold no secret, and find it again."""

from __future__ import annotations

import inspect
import json
import pickle
import subprocess
import sys
from typing import Unpack

import pytest

from botwire import ConfigurationError, Memory
from botwire.connection import Connection, ConnectionOptions, takes_connection

URL = "https://memory.test"

ELSEWHERE = """
import json, sys
from botwire.connection import Connection

place = Connection.from_reference(json.loads(sys.argv[1])).memory.place
print(place.url, place.api_key)
"""


def test_a_reference_finds_the_key_in_its_own_process_and_the_environments_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = Memory("ada", url=URL, api_key="bw_mine", timeout=3)
    connection = Connection(client=client)
    reference = connection.reference()
    assert reference == {"namespace": "ada", "url": URL}
    for again in (
        Connection.from_reference(reference),
        pickle.loads(pickle.dumps(connection)),
    ):
        assert again.memory.place == client.place
        assert again.async_memory.place == client.place
    assert b"bw_mine" not in pickle.dumps(connection)
    # Another namespace has a key of its own.
    other = Connection.from_reference({"namespace": "bob", "url": URL})
    assert other.memory.place is not None
    assert other.memory.place.api_key is None

    monkeypatch.setenv("BOTWIRE_API_KEY", "bw_theirs")
    command = [sys.executable, "-c", ELSEWHERE, json.dumps(reference)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [URL, "bw_theirs"]


def test_a_password_is_no_part_of_a_reference_and_comes_back() -> None:
    url = "postgresql://ada:secret@db.test/memory"
    connection = Connection("ada", url=url)
    assert "secret" not in json.dumps(connection.reference())
    again = Connection.from_reference(connection.reference())
    assert again.memory.place is not None
    assert again.memory.place.url == url


def test_memory_of_a_process_is_not_found_again_empty() -> None:
    reference = Connection("ada", url="sqlite://").reference()
    with pytest.raises(ConfigurationError, match="use a file"):
        Connection.from_reference(reference)


def test_a_constructor_shows_and_passes_on_where_memory_lives() -> None:
    class Store:
        @takes_connection
        def __init__(
            self,
            namespace: str | None = None,
            *,
            prefix: str = "",
            **connection: Unpack[ConnectionOptions],
        ) -> None:
            self.connection = Connection(namespace, **connection)

    assert list(inspect.signature(Store).parameters) == [
        "namespace", "prefix", "client", "url", "api_key", "timeout", "author",
    ]  # fmt: skip
    place = Store("ada", url=URL, api_key="bw_mine", timeout=3).connection.memory.place
    assert place is not None
    assert (place.url, place.api_key, place.timeout) == (URL, "bw_mine", 3)
    with pytest.raises(TypeError, match="'urll'"):
        Store("ada", urll=URL)  # type: ignore[call-arg]
