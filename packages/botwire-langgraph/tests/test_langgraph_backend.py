"""Files of deep agents: the stock backend's contract, and edits that it loses."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("deepagents", reason="it needs newer releases than the oldest tested here")

from deepagents.backends import StoreBackend
from langgraph.store.memory import InMemoryStore

from botwire import ConfigurationError, Memory, TransportError
from botwire_langgraph import BotWireBackend, BotWireStore
from tests.zygote import Zygote

_EDITOR = """
import sys
from botwire_langgraph import BotWireBackend

name, namespace, url = sys.argv[1:4]
backend = BotWireBackend(namespace, url=url)
for number in range(10):
    line = f"{name}-{number}"
    result = backend.edit("/notes.md", "END", line + "\\nEND")
    assert result.error is None, result
"""


def test_two_agents_that_edit_one_file_both_land(place: Any, deepagents: Zygote) -> None:
    BotWireBackend(**place).write("/notes.md", "END")
    where = (place["namespace"], place["url"])
    with (
        deepagents.start(_EDITOR, "a", *where) as one,
        deepagents.start(_EDITOR, "b", *where) as other,
    ):
        assert [one.wait(), other.wait()] == [0, 0], one.stderr + other.stderr
    data = BotWireBackend(**place).read("/notes.md").file_data
    assert data is not None
    lines = data["content"].split("\n")
    assert set(lines) == {f"{name}-{number}" for name in "ab" for number in range(10)} | {"END"}


FILES = {
    "/a.md": "one\ntwo",
    "/src/main.py": "import os\nprint('one')\n",
    "/src/deep/er/x.py": "one = 1",
    "/src.py": "",
    "/.env": "KEY=one",
    "/src/.hidden/y.py": "two",
    "/b[1]*.txt": "[one]",
}


def paths(found: Any) -> list[str]:
    return sorted(one["path"] for one in found or ())


def lines(result: Any) -> list[tuple[str, int, str]]:
    return sorted((one["path"], one["line"], one["text"]) for one in result.matches or ())


def test_it_finds_what_the_stock_backend_finds(place: Any) -> None:
    ours = BotWireBackend(**place)
    stock = StoreBackend(store=InMemoryStore(), namespace=lambda _: ("files",))
    backends: tuple[Any, Any] = (ours, stock)
    for path, text in FILES.items():
        for backend in backends:
            assert backend.write(path, text).error is None
    for path in ("/", "/src", "/src/", "/src/deep", "/sr", "/a.md", "/nothing"):
        listed = [paths(backend.ls(path).entries) for backend in backends]
        assert listed[0] == listed[1], path
    for pattern in ("*.py", "**/*.py", "/*.py", "src/*", "*", ".env", "*.{md,py}", "../x", "b[[]*"):
        for path in (None, "/", "/src", "/src/main.py", "/nothing"):
            globbed = [backend.glob(pattern, path) for backend in backends]
            assert paths(globbed[0].matches) == paths(globbed[1].matches), (pattern, path)
            assert globbed[0].error == globbed[1].error
    for pattern in ("one", "[one]", "two", "nothing", "o.e"):
        for path in (None, "/src", "/src/main.py", "/nothing"):
            for glob in (None, "*.py", "../x"):
                searched = [backend.grep(pattern, path, glob) for backend in backends]
                assert lines(searched[0]) == lines(searched[1]), (pattern, path, glob)
                assert searched[0].error == searched[1].error
    for most in (0, 1, 4, 5, 6):
        results = [backend.grep("one", max_count=most) for backend in backends]
        assert len(results[0].matches) == len(results[1].matches)
        assert results[0].truncated == results[1].truncated
    for offset, limit in ((0, 2000), (1, 1), (-3, 1), (5, 1), (0, 0), (0, -1)):
        for path in FILES:
            read = [backend.read(path, offset, limit) for backend in backends]
            for one in read:
                if one.file_data:
                    one.file_data = {"content": one.file_data["content"]}
            assert read[0] == read[1], (path, offset, limit)


def test_edits_answer_as_the_stock_backend_does(place: Any) -> None:
    backends: tuple[Any, Any] = (
        BotWireBackend(**place),
        StoreBackend(store=InMemoryStore(), namespace=lambda _: ("files",)),
    )
    for backend in backends:
        backend.write("/a", "x x\ny")
        backend.upload_files([("/b.bin", b"\xff\x00")])
    for arguments in (
        ("/a", "x", "z"),
        ("/a", "y\n", "z"),
        ("/a", "", "z"),
        ("/a", "q", "z"),
        ("/none", "q", "z"),
        ("/b.bin", "q", "z"),
        ("/a", "x", "z", True),
        ("/a", "y", "w"),
    ):
        results = [backend.edit(*arguments) for backend in backends]
        assert results[0] == results[1], arguments
    for path in ("/none", "/a", "/a"):
        assert backends[0].delete(path) == backends[1].delete(path)


def test_the_awaited_half_does_the_same(place: Any) -> None:
    async def use() -> None:
        backend = BotWireBackend(**place)
        assert (await backend.awrite("/d/a", "one")).error is None
        await asyncio.gather(
            *(backend.aedit("/d/a", "one", f"one\n{number}") for number in range(5))
        )
        data = (await backend.aread("/d/a")).file_data
        assert data is not None
        assert sorted(data["content"].split("\n")) == [*map(str, range(5)), "one"]
        await backend.aupload_files([("/d/b.bin", b"\xff"), ("/d/c", b"text"), ("no", b"")])
        got = await backend.adownload_files(["/d/b.bin", "/d/c", "/no", "/d/b.bin"])
        assert [one.content for one in got] == [b"\xff", b"text", None, b"\xff"]
        assert paths((await backend.als("/d")).entries) == ["/d/a", "/d/b.bin", "/d/c"]
        assert paths((await backend.aglob("*.bin")).matches) == ["/d/b.bin"]
        assert lines(await backend.agrep("one")) == [("/d/a", 1, "one")]
        assert (await backend.adelete("/d")).error is None
        assert (await backend.als("/")).entries == []

    asyncio.run(use())


def test_listing_and_globbing_read_no_file_and_skip_folders(place: Any) -> None:
    class Counting:
        """An engine that counts requests."""

        def __init__(self, engine: Any) -> None:
            self.engine, self.asked = engine, []

        def __getattr__(self, name: str) -> Any:
            return getattr(self.engine, name)

        def apply(self, batch: Any) -> Any:
            self.asked += [type(operation).__name__ for operation in batch.operations]
            return self.engine.apply(batch)

    memory = Memory(**place)
    memory.set_many({f"files/big/{number:04}": "x" for number in range(2500)})
    memory.set_many({"files/a": "1", "files/z/1": "2", "files/big0": "3"})
    counting = Counting(memory.engine)
    backend = BotWireBackend(client=Memory(place["namespace"], engine=counting))
    assert paths(backend.ls("/").entries) == ["/a", "/big/", "/big0", "/z/"]
    assert counting.asked == ["ListKeys", "ListKeys"]
    assert len(backend.glob("[0-2]???").matches or ()) == 2500
    assert set(counting.asked) == {"ListKeys"}
    found = backend.grep("x", "/big", max_count=10)
    assert (len(found.matches or ()), found.truncated) == (10, True)
    assert counting.asked.count("GetKeys") == 1  # the first fifty files


def test_users_are_kept_apart_and_bad_paths_are_refused(
    place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = BotWireBackend(**place)
    for path in ("a", "/a/../b", "/a/", "/" + "x" * 2000):
        assert backend.write(path, "x").error
        assert backend.upload_files([(path, b"x")])[0].error == "invalid_path"
    assert backend.ls("/").entries == []
    backend.write("/secret", "x")
    other = BotWireBackend(place["namespace"] + "-other", url=place["url"])
    assert other.ls("/").entries == []
    assert other.read("/secret").error
    none: Any = None
    for call, says in (
        (lambda: backend.write(none, "x"), "a file path must be a string, not NoneType"),
        (lambda: backend.write("/x", none), "a file's content must be a string, not NoneType"),
        (lambda: backend.read(none), "a file path must be a string"),
        (lambda: backend.edit("/secret", none, "y"), "a text to replace must be a string"),
        (lambda: backend.grep(none), "a text to find must be a string"),
        (lambda: backend.glob(none), "a pattern must be a string"),
        (lambda: backend.upload_files([("/x", b""), none]), "must be a pair of a path and bytes"),
        (lambda: backend.download_files(none), "paths must be a list of strings, not NoneType"),
        (lambda: BotWireBackend(prefix=none), "a prefix must be a string"),
    ):
        with pytest.raises(ConfigurationError, match=says):
            call()
    assert backend.read("/x").error
    with pytest.raises(ConfigurationError, match="not both"):
        BotWireBackend("a", namespace_of=lambda _: "b")
    with pytest.raises(ConfigurationError, match="for one namespace use namespace="):
        BotWireBackend(namespace_of="a")  # type: ignore[arg-type]
    monkeypatch.delenv("BOTWIRE_NAMESPACE", raising=False)
    with pytest.raises(ConfigurationError, match="would share their files"):
        BotWireBackend()
    monkeypatch.setenv("BOTWIRE_NAMESPACE", "b")
    assert BotWireBackend().connection.namespace == "b"
    with pytest.raises(ConfigurationError, match="from a run"):
        BotWireBackend(url=place["url"], namespace_of=lambda _: "b").ls("/")
    with pytest.raises(TransportError):
        BotWireBackend("a", url="http://127.0.0.1:9", timeout=0.1).ls("/")


def test_the_stock_backend_keeps_files_in_a_botwire_store(place: Any, tmp_path: Path) -> None:
    for _ in range(2):
        backend = StoreBackend(store=BotWireStore(**place), namespace=lambda _: ("files",))
        if not backend.ls("/").entries:
            backend.write("/memories/AGENTS.md", "Ada likes tea.")
    backend.edit("/memories/AGENTS.md", "tea", "coffee")
    backend.upload_files([("/a.bin", b"\xff\x00")])
    again = StoreBackend(store=BotWireStore(**place), namespace=lambda _: ("files",))
    assert lines(again.grep("coffee")) == [("/memories/AGENTS.md", 1, "Ada likes coffee.")]
    assert again.download_files(["/a.bin"])[0].content == b"\xff\x00"
