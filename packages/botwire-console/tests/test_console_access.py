"""Who sees what: sessions, rights, origins."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import httpx
import pytest

from botwire import Memory
from botwire.engines.opening import open_async_engine
from botwire.places import find_place
from botwire_server.api_keys import KeyStore
from conftest import make_key, read_url, running
from tests.browsing import Browser, address, parse, squeezed

Keyed = tuple[str, dict[str, str]]
PAGES = [
    ("namespace", {}),
    ("keys", {}),
    ("key", {"key": "prefs"}),
    ("conversations", {}),
    ("conversation", {"name": "chat"}),
    ("item", {"name": "chat", "seq": 1}),
    ("live", {}),
    ("changes", {}),
    ("key/versions", {"key": "prefs"}),
    ("memories", {}),
    ("memory", {"id": "m"}),
    ("recall", {"q": "I am"}),
    ("search", {"q": "prefs"}),
    ("threads", {}),
    ("thread", {"thread": "none"}),
    ("usage", {}),
]
FOR_ADMINISTRATORS = ("usage", "api-keys", "audit", "health")


def test_a_stranger_gets_nothing_but_the_form(keyed: Keyed) -> None:
    url, _ = keyed
    stranger = Browser(url)
    for view, names in [("", {}), *((view, {"ns": "ada", **names}) for view, names in PAGES)]:
        answer = stranger.get(view, **names)
        assert answer.status_code == 401
        page = parse(answer)
        assert page.all("input", type="password")
        assert "bob-secret" not in answer.text
        assert page.all("input", name="next")[0]["value"] == address(view, **names).rstrip("?")
    assert stranger.get("static/console.css").status_code == 200
    assert stranger.post(address("key", ns="ada", key="prefs"), value="1").status_code == 401


def test_a_key_is_exchanged_for_a_cookie(keyed: Keyed) -> None:
    url, keys = keyed
    stranger = Browser(url)
    wrong = stranger.post("sign-in", key="bw_nothing", next="/console")
    assert wrong.status_code == 401
    assert "unknown" in parse(wrong).text
    following = address("keys", ns="ada")
    answer = stranger.post("sign-in", key=keys["reader"], next=following)
    assert (answer.status_code, answer.headers["Location"]) == (303, following)
    cookie = answer.headers["Set-Cookie"]
    for part in ("HttpOnly", "Path=/console", "SameSite=strict"):
        assert part in cookie
    secret = keys["reader"].rpartition("_")[2]
    assert secret not in cookie
    assert secret not in stranger.get("keys", ns="ada").text
    # It opens the console, and nothing else.
    assert stranger.get("keys", ns="ada").status_code == 200
    assert stranger.http.get("/v1/namespaces/ada/keys").status_code == 401
    token = re.search(r"=([^;]+)", cookie)
    assert token is not None
    direct = httpx.get(
        f"{url}/v1/namespaces/ada/keys", headers={"Cookie": f"botwire_console={token[1]}"}
    )
    assert direct.status_code == 401
    out = stranger.post("sign-out")
    assert out.status_code == 303
    assert stranger.get("keys", ns="ada").status_code == 401


def test_a_form_sent_after_the_session_ended_writes_nothing_and_says_so(keyed: Keyed) -> None:
    url, keys = keyed
    stranger = Browser(url)
    for view in ("key", "key/delete"):
        answer = stranger.post(address(view, ns="ada", key="prefs"), version=1, value="2")
        assert answer.status_code == 401
        page = parse(answer)
        assert "nothing was written" in page.text
        # Signing in here leads to a page that exists.
        (following,) = page.all("input", name="next")
        signed_in = stranger.post("sign-in", key=keys["all"], next=following["value"])
        assert stranger.http.get(signed_in.headers["Location"]).status_code == 200
        stranger.post("sign-out")


@pytest.mark.parametrize(
    "following", ["https://evil.example", "//evil.example", "/console\\@evil", "javascript:x", ""]
)
def test_signing_in_leads_to_no_other_site(keyed: Keyed, following: str) -> None:
    url, keys = keyed
    answer = Browser(url).post("sign-in", key=keys["reader"], next=following)
    assert answer.headers["Location"].startswith("/console")
    assert "evil" not in answer.headers["Location"].partition("/console")[0]


def test_a_forged_or_old_session_opens_nothing(keyed: Keyed) -> None:
    url, keys = keyed
    browser = Browser(url, keys["reader"])
    token = browser.http.cookies["botwire_console"]
    id, until, signature = token.split(".")
    admin = keys["admin"].split("_")[1]
    for forged in (
        f"{admin}.{until}.{signature}",
        f"{id}.{int(until) + 1}.{signature}",
        f"{id}.1.{signature}",
        f"{id}.{until}.{'0' * 64}",
        "x",
        "",
    ):
        answer = httpx.get(f"{url}/console", headers={"Cookie": f"botwire_console={forged}"})
        assert answer.status_code == 401, forged


def test_a_session_survives_a_restart_and_ends_with_its_key(tmp_path: Path) -> None:
    database = tmp_path / "memory.db"
    key, secret = make_key(f"sqlite:///{database}")
    with running(database) as process:
        browser = Browser(read_url(process), secret)
        process.terminate()
    cookie = {"Cookie": f"botwire_console={browser.http.cookies['botwire_console']}"}

    def look(url: str) -> int:
        return httpx.get(url + address("keys", ns="a"), headers=cookie).status_code

    with running(database) as process:
        url = read_url(process)
        assert look(url) == 200
        revoke_key(f"sqlite:///{database}", key.id)
        while look(url) != 401:  # a server may accept a revoked key for a second
            pass
        process.terminate()


def revoke_key(database: str, id: str) -> None:
    async def revoke() -> None:
        engine = open_async_engine(find_place(database))
        try:
            await KeyStore(engine).revoke(id, who="a test")
        finally:
            await engine.aclose()

    asyncio.run(revoke())


def test_a_reader_sees_no_button_that_writes(keyed: Keyed) -> None:
    url, keys = keyed
    reader, writer = Browser(url, keys["reader"]), Browser(url, keys["ada"])
    writing = 0
    for view, names in PAGES:
        for browser in (reader, writer):
            page = browser.see(view, ns="ada", **names)
            forms = [one["action"] for one in page.all("form", method="post")]
            forms.remove("/console/sign-out")
            # Readers may export what is selected.
            forms = [one for one in forms if not one.startswith("/console/selection?")]
            if browser is reader:
                assert not forms, view
                assert "Delete" not in page.text
                assert "New key" not in page.text
                assert "API keys" not in page.text
            else:
                writing += len(forms)
    assert writing >= 4
    for path in ("key", "key/delete"):
        refused = reader.post(address(path, ns="ada", key="prefs"), version=1, value="1")
        assert refused.status_code == 403
    for path in ("item", "item/delete"):
        answer = reader.post(address(path, ns="ada", name="chat", seq=1), version=2, value="1")
        assert answer.status_code == 403
    for path in ("memory", "memory/delete"):
        answer = reader.post(address(path, ns="ada", id="m"), version=1, value="1")
        assert answer.status_code == 403
    for path in ("selection", "selection/delete"):
        answer = reader.post(address(path, ns="ada", kind="keys"), n="prefs", v=1)
        assert answer.status_code in (403, 409)
    with Memory("ada", url=url, api_key=keys["all"]) as memory:
        assert memory.get("prefs") == {"of": "ada"}


@pytest.mark.parametrize("who", ["ada", "reader", "team", "all"])
def test_what_is_about_the_whole_store_is_for_administrators(keyed: Keyed, who: str) -> None:
    url, keys = keyed
    browser = Browser(url, keys[who])
    for view in FOR_ADMINISTRATORS:
        answer = browser.get(view)
        assert answer.status_code == 403
        assert "bob-secret" not in answer.text
    for path in ("api-keys", "api-keys/revoke", "namespaces/selection", "namespaces/forget"):
        assert browser.post(path, n="ada", id="0" * 12).status_code == 403
    admin = Browser(url, keys["admin"])
    for view in FOR_ADMINISTRATORS:
        admin.see(view)


@pytest.mark.parametrize("who", ["ada", "reader", "team"])
def test_a_search_finds_nothing_of_other_namespaces(keyed: Keyed, who: str) -> None:
    url, keys = keyed
    browser = Browser(url, keys[who])
    for words in ("prefs", "I am", "secret", "bob"):
        text = browser.see("search", q=words).text
        assert "bob-secret" not in text
        assert "I am bob" not in text
    assert "I am ada" in browser.see("search", q="I am").text
    # A typed name gets the same answer whether it exists or not.
    if who == "team":
        for name in ("team-1", "team-nothing"):
            page = browser.see("search", q=name)
            assert page.links("namespace") == [address("namespace", ns=name)]


@pytest.mark.parametrize("who", ["ada", "reader", "team"])
def test_other_namespaces_leave_no_trace(keyed: Keyed, who: str) -> None:
    url, keys = keyed
    browser = Browser(url, keys[who])
    first = browser.get()
    if first.status_code == 303:
        first = browser.http.get(first.headers["Location"])
    assert first.status_code == 200
    assert "bob-secret" not in first.text
    # An existing and a missing one are refused in the same words.
    for view, names in PAGES:
        answers = [browser.get(view, ns=name, **names) for name in ("bob-secret", "bob-nothing")]
        assert [answer.status_code for answer in answers] == [403, 403]
        texts = [squeezed(parse(answer).text) for answer in answers]
        assert texts[0] == texts[1]
        assert "I am" not in texts[0]


def test_an_administrator_sees_all_namespaces(keyed: Keyed) -> None:
    url, keys = keyed
    text = Browser(url, keys["admin"]).see().text
    assert "bob-secret" in text
    assert "team-1" in text
    text = Browser(url, keys["all"]).see().text  # may read each, but not list them
    assert "bob-secret" not in text
    assert "Open a namespace" in text


def test_only_pages_of_the_console_write(keyed: Keyed) -> None:
    url, keys = keyed
    browser = Browser(url, keys["ada"])
    path = address("key", ns="ada", key="csrf")
    for headers in (
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": url, "Sec-Fetch-Site": "cross-site"},
    ):
        answer = browser.http.post(path, data={"version": "0", "value": "1"}, headers=headers)
        assert answer.status_code == 403, headers
        stranger = httpx.post(f"{url}/console/sign-in", data={"key": keys["ada"]}, headers=headers)
        assert stranger.status_code == 403
        assert "Set-Cookie" not in stranger.headers
    assert browser.get("key/delete", ns="ada", key="prefs").status_code == 404
    with Memory("ada", url=url, api_key=keys["all"]) as memory:
        assert memory.get("csrf") is None
        assert memory.get("prefs") is not None


def test_a_link_from_another_site_leads_in(keyed: Keyed) -> None:
    url, _ = keyed
    answer = httpx.get(url + address("keys", ns="ada"), headers={"Sec-Fetch-Site": "cross-site"})
    assert parse(answer).all("meta", **{"http-equiv": "refresh"})


def test_quotas_and_the_audit_log_are_as_everywhere(keyed: Keyed) -> None:
    url, keys = keyed
    browser = Browser(url, keys["two writes"])
    written = [
        browser.post(address("key", ns="quota", key=f"k{n}"), version=0, value="[1]")
        for n in range(3)
    ]
    assert [answer.status_code for answer in written] == [303, 303, 429]
    page = parse(written[-1])
    assert "[1]" in "".join(page.texts("textarea"))  # what was typed is not lost
    assert "quota" in page.text
    version = browser.version("key", ns="quota", key="k0")
    gone = browser.post(address("key/delete", ns="quota", key="k0"), version=version)
    assert gone.status_code == 303
    with Memory("quota", url=url, api_key=keys["all"]) as memory:
        author = memory.entry("k1").author  # type: ignore[union-attr]
        assert author is not None
        assert (author.agent, author.key) == ("console", keys["two writes"].split("_")[1])


def test_without_keys_only_this_machine_looks_in(server_url: str) -> None:
    answer = httpx.get(f"{server_url}/console", headers={"Host": "evil.example"})
    assert answer.status_code == 401
    page = parse(answer)
    assert not page.all("form")
    assert "own machine" in page.text
