"""The administrators' views: API keys, usage, health."""

from __future__ import annotations

import asyncio
from pathlib import Path

from botwire import Memory
from botwire.clock import DAY, now
from botwire.engines.opening import open_async_engine, open_engine
from botwire.places import find_place
from botwire.retention import Policy, Retention
from botwire_server.sweeping import note_size
from tests.browsing import Browser, address, parse, squeezed

Administered = tuple[str, str, Path]


def test_a_key_is_made_used_and_revoked(administered: Administered) -> None:
    url, secret, _ = administered
    admin = Browser(url, secret)
    fields = {"label": "for <ada>", "right": "write", "namespaces": "ada, team-*", "days": 30}
    answer = admin.post("api-keys", **fields, writes=500)
    assert answer.status_code == 201
    page = parse(answer)
    (made,) = [one["value"] for one in page.all("input") if "secret" in one.get("class", "")]
    assert made not in admin.get("api-keys").text  # shown once
    with Memory("ada", url=url, api_key=made) as memory:
        memory.set("k", 1)
    id = made.split("_")[1]
    assert (
        admin.http.get(
            "/v1/namespaces/other/keys", headers={"Authorization": f"Bearer {made}"}
        ).status_code
        == 403
    )
    text = squeezed(admin.see("api-keys").text)
    for shown in (id, "for <ada>", "team-*", "500 writes a day"):
        assert shown in text
    assert admin.post("api-keys/revoke", id=id).status_code == 303
    assert "revoked" in admin.see("api-keys").text
    while (
        admin.http.get(
            "/v1/namespaces/ada/keys", headers={"Authorization": f"Bearer {made}"}
        ).status_code
        != 401
    ):
        pass  # a server may accept a revoked key for a second
    audit = squeezed(admin.see("audit").text)
    assert "key.revoke" in audit
    assert "key.create" in audit
    assert secret.split("_")[1] in audit  # who did it
    for wrong in ({"namespaces": ""}, {"right": "all"}, {"days": "soon"}):
        assert admin.post("api-keys", **{**fields, **wrong}).status_code == 422
    assert admin.post("api-keys/revoke", id="0" * 12).status_code == 404


def test_sizes_quotas_expiry_and_retention(administered: Administered) -> None:
    url, secret, _ = administered
    admin = Browser(url, secret)
    with Memory("busy", url=url, api_key=secret) as memory:
        for n in range(5):
            memory.set(f"k{n}", "x" * 100 * n, ttl=3600)
        memory.remember("fact")
        memory.history("chat").extend(list(range(20)))
    with Memory("calm", url=url, api_key=secret) as memory:
        memory.set("k", "x" * 9000)
    engine = open_engine(find_place(url, secret))
    with Retention(engine=engine) as retention:
        retention.set(Policy("short", "bus*", count=15))
        retention.hold("case-7", "calm", reason="litigation")
    engine.close()
    page = admin.see("usage", plan=1)
    links = page.links("usage")
    assert links.index(address("usage", ns="calm")) < links.index(address("usage", ns="busy"))
    text = squeezed(page.text)
    for shown in ("case-7", "everything: litigation", "15 newest", "1,000 writes a day"):
        assert shown in text
    assert "would delete 5 messages" in text
    assert len(page.all("progress")) >= 4
    page = admin.see("usage", ns="busy")
    assert page.links("key")[0] == address("key", ns="busy", key="k0")  # expires first
    assert address("key", ns="busy", key="k4") in page.links("key")
    text = squeezed(page.text)
    assert "of 1,000" in text
    assert page.texts("td")[:3] == ["1", "+1", "+1"]  # memories: all, in a day, in a week
    assert "15 newest" in text
    assert "case-7" not in text  # it does not cover this namespace
    with Memory("busy", url=url, api_key=secret) as memory:
        assert len(memory.history("chat").read()) == 20


def test_health_counts_conflicts_and_tells_backups(
    administered: Administered, tmp_path: Path
) -> None:
    url, secret, database = administered
    admin = Browser(url, secret)
    here = address("key", ns="health", key="k")
    assert admin.post(here, version=7, value="1").status_code == 409
    text = squeezed(admin.see("health").text)
    assert "SQLite" in text
    assert "none by botwire backup" in text
    assert "conflict" in text
    assert "The store takes writes" in text
    from botwire.engines.sqlite import SQLiteEngine
    from botwire.transfer import admin as administration

    engine = SQLiteEngine(database)
    administration.backup(engine, tmp_path / "copy.db")
    engine.close()
    assert "none by botwire backup" not in admin.see("health").text


def test_the_growth_of_the_store_is_a_line(administered: Administered) -> None:
    url, secret, database = administered
    engine = open_async_engine(find_place(f"sqlite:///{database}"))

    async def measure() -> None:
        for days in (20, 10):
            await note_size(engine, now() - days * DAY)
        await engine.aclose()

    asyncio.run(measure())
    page = Browser(url, secret).see("usage")
    (line,) = page.all("polyline")
    assert len(line["points"].split()) >= 3
    assert "On disk:" in page.text
