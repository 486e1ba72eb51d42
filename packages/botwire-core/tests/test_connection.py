"""References to a place contain no secret, and lead back to the place."""

from __future__ import annotations

import inspect
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any, Unpack

import pytest

from botwire import Author, ConfigurationError, Memory
from botwire.connection import (
    Acting,
    Connected,
    Connection,
    ConnectionOptions,
    check_named,
    takes_connection,
)
from botwire.places import Place

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


def test_neither_a_place_nor_an_error_shows_a_password() -> None:
    place = Place("postgresql://ada:s3cret@db.test/memory?password=s3cret", "bw_s3cret")
    assert repr(place) == "Place(url='postgresql://ada@db.test/memory?password=', timeout=10.0)"
    for url in ("ada:s3cret@db.test/memory", "mysql://ada:s3cret@db.test/memory"):
        with pytest.raises(ConfigurationError) as refusal:
            Connection("ada", url=url)
        assert "s3cret" not in str(refusal.value)


def test_a_place_that_is_named_needs_no_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr("platformdirs.user_data_path", lambda *_, **__: tmp_path / "file" / "data")
    monkeypatch.delenv("BOTWIRE_URL", raising=False)
    connection = Connection("ada", url=f"sqlite:///{tmp_path / 'memory.db'}")
    assert connection.reference() == {"namespace": "ada", "url": connection.url}
    monkeypatch.setenv("BOTWIRE_URL", "no URL")
    assert connection.reference() == {"namespace": "ada", "url": connection.url}


def test_memory_of_a_process_is_not_found_again_empty() -> None:
    reference = Connection("ada", url="sqlite://").reference()
    with pytest.raises(ConfigurationError, match="use a file"):
        Connection.from_reference(reference)


LISTED = ["client", "url", "api_key", "timeout", "author"]


class Base:
    """A framework's own class, whose constructor takes an argument."""

    def __init__(self, label: str) -> None:
        self.label = label

    def __repr__(self) -> str:
        return "framework"


class Store(Connected, Base, framework="some", shows="_prefix label"):
    def __init__(
        self,
        namespace: str | None = None,
        *,
        prefix: str = "",
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        Base.__init__(self, "mine")
        super().__init__(namespace, **connection)
        self._prefix = prefix


class Plain(Connected, framework="plain"):
    """A class without arguments of its own."""


def test_a_constructor_lists_and_passes_on_where_memory_lives() -> None:
    assert list(inspect.signature(Store).parameters) == ["namespace", "prefix", *LISTED]
    assert list(inspect.signature(Plain).parameters) == ["namespace", *LISTED]
    place = Store("ada", url=URL, api_key="bw_mine", timeout=3).connection.memory.place
    assert place is not None
    assert (place.url, place.api_key, place.timeout) == (URL, "bw_mine", 3)
    # The class that users know is named, with what it takes.
    with pytest.raises(TypeError, match=r"^Store\(\) .* 'urll': did you mean 'url'\?"):
        Store("ada", urll=URL)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="did you mean 'prefix'"):
        Store("ada", prefx="p")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"^Plain\(\) .* 'x'; it takes namespace, client, url"):
        Plain("ada", x=1)  # type: ignore[call-arg]


def test_a_class_that_derives_from_an_adapter_inherits_its_arguments() -> None:
    class Own(Store):
        def __init__(self, namespace: str, **options: Any) -> None:
            super().__init__(namespace, **options)

    listed = inspect.signature(Own).parameters
    assert list(listed) == ["namespace", "prefix", *LISTED]
    assert listed["prefix"].default == ""
    own = Own("ada", url="sqlite://", prefix="p/")
    assert own.connection.memory.author == Author(framework="some")
    assert repr(own) == "Own(namespace='ada', prefix='p/', label='mine')"


def test_a_class_that_writes_out_its_arguments_keeps_its_signature() -> None:
    class Own(Plain):
        def __init__(self, where: str) -> None:
            super().__init__("ada", url=where)

    assert list(inspect.signature(Own).parameters) == ["where"]
    assert repr(Own("sqlite://")) == "Own(namespace='ada')"


def test_a_class_names_its_framework_and_says_nothing_secret() -> None:
    store = Store("ada", url=URL, api_key="bw_mine")
    assert store.connection.author == Author(framework="some")
    assert Plain(url="sqlite://").connection.author == Author(framework="plain")
    assert repr(store) == "Store(namespace='ada', prefix='', label='mine')"
    assert Connected("ada", url="sqlite://").connection.author is None


def test_a_class_inherits_what_its_base_says_of_itself() -> None:
    class Acts(Store, acting=lambda: Acting("ada", "run-1"), gather_reads=True):
        pass

    class Shows(Acts, shows="label"):
        pass

    shows = Shows("n", url="sqlite://")
    assert shows.connection.memory.author == Author(framework="some", agent="ada", run="run-1")
    assert repr(shows) == "Shows(namespace='n', label='mine')"


@pytest.mark.parametrize("made", [Store, Plain, Connected])
def test_wrong_arguments_are_refused_by_every_class_alike(made: type[Connected]) -> None:
    with pytest.raises(ConfigurationError, match="client already has a place"):
        made("ada", client=Memory("n", url="sqlite://"), url=URL)
    with pytest.raises(ConfigurationError, match="not str"):
        made(client="http://host")  # type: ignore[arg-type]


def test_what_has_no_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BOTWIRE_NAMESPACE", raising=False)
    with pytest.raises(ConfigurationError, match=r"Store needs .* share files: "):
        check_named(Store, (None, None), "path", "files")
    check_named(Store, (None, "/a"), "path", "files")
    monkeypatch.setenv("BOTWIRE_NAMESPACE", "ada")
    check_named(Store, (None, None), "path", "files")


def test_a_function_lists_where_memory_lives() -> None:
    @takes_connection
    def memories(namespace: str, *, limit: int = 5, **connection: Unpack[ConnectionOptions]) -> str:
        return Connection(namespace, **connection).namespace

    assert list(inspect.signature(memories).parameters) == ["namespace", "limit", *LISTED]
    assert memories("ada", url="sqlite://") == "ada"
    with pytest.raises(TypeError, match=r"^memories\(\) .* 'limt': did you mean 'limit'\?"):
        memories("ada", limt=1)  # type: ignore[call-arg]


async def test_a_coroutine_function_does_too() -> None:
    @takes_connection
    async def memories(namespace: str, **connection: Unpack[ConnectionOptions]) -> str:
        return Connection(namespace, **connection).namespace

    assert inspect.iscoroutinefunction(memories)
    assert await memories("ada", url="sqlite://") == "ada"
    with pytest.raises(TypeError, match=r"^memories\(\) .* 'uri': did you mean 'url'\?"):
        await memories("ada", uri="sqlite://")  # type: ignore[call-arg]
