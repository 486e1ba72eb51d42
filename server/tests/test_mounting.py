"""Applications of other packages below the server's paths."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from botwire.engines.opening import open_async_engine
from botwire.places import find_place
from botwire_server.app import create_app
from botwire_server.mount_host import MountState

PACKAGE = """
from contextlib import asynccontextmanager
from botwire.mounts import Mount

def answering(text):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": text})
    return app

def whole(host):
    return Mount(answering(b"mine"), public={"/.well-known/mine": answering(b"everyone's")})

def broken(host):
    raise RuntimeError("a fault of this package")

@asynccontextmanager
async def failing():
    raise OSError("no room")
    yield

def unstartable(host):
    return Mount(answering(b"mine"), failing)
"""
ENTRY_POINTS = """\
[botwire.mounts]
broken = botwire_of_a_test:broken
missing = no_such_module_of_a_test:mount
unstartable = botwire_of_a_test:unstartable
whole = botwire_of_a_test:whole
"""


@asynccontextmanager
async def served(database: Path) -> AsyncIterator[httpx.AsyncClient]:
    engine = open_async_engine(find_place(f"sqlite:///{database}"))
    app = create_app(engine)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as http,
    ):
        yield http


async def test_a_package_that_cannot_be_loaded_stops_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    info = tmp_path / "botwire_of_a_test-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: botwire-of-a-test\nVersion: 1\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    (tmp_path / "botwire_of_a_test.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(str(tmp_path))
    async with served(tmp_path / "memory.db") as http:
        assert (await http.get("/whole/below")).text == "mine"
        assert (await http.get("/.well-known/mine")).text == "everyone's"
        assert (await http.get("/.well-known/mine/below")).status_code == 404
        assert (await http.get("/v1/namespaces/n/keys")).status_code == 200
        for path, fault in (
            ("/broken", "a fault of this package"),
            ("/missing", "no_such_module_of_a_test"),
            ("/unstartable", "no room"),
        ):
            assert (await http.get(path)).status_code == 404
            assert f"nothing is served at {path}" in caplog.text
            assert fault in caplog.text


async def test_what_a_mount_keeps_is_taken_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'memory.db'}"
    engine, other = (open_async_engine(find_place(url)) for _ in range(2))
    state = MountState(engine, "mounts/mine/")
    await state.set("codes/1", {"a": [1, None]}, ttl=60)
    await state.set("other/1", None, ttl=60)
    assert (await state.get("codes/1"), await state.count("codes/")) == ({"a": [1, None]}, 1)
    assert await MountState(engine, "mounts/others/").get("codes/1") is None
    takers = [MountState(one, "mounts/mine/").take("codes/1") for one in (engine, other) * 5]
    taken = await asyncio.gather(*takers)
    assert [one for one in taken if one is not None] == [{"a": [1, None]}]
    await state.delete("other/1")
    assert await state.count("") == 0
    await engine.aclose()
    await other.aclose()
