"""Changes, past versions of keys, and restoring them."""

from __future__ import annotations

from datetime import timedelta

from botwire import Author, Memory
from tests.browsing import Browser, address, parse, squeezed


def test_the_versions_of_a_key(server_url: str, namespace: str, browser: Browser) -> None:
    with Memory(namespace, url=server_url, author=Author("ada")) as memory:
        memory.set("k", {"n": 1})
        page = browser.see("key/versions", ns=namespace, key="k")
        assert "keeps no past" in squeezed(page.text)
        assert not page.all("form", action=address("key/put-back", ns=namespace, key="k"))
        memory.keep_past(timedelta(days=1))
        memory.set("k", {"n": 2})
        memory.set("k", b"\x00")
        page = browser.see("key/versions", ns=namespace, key="k")
        text = squeezed(page.text)
        for shown in ('{ "n": 1 }', '{ "n": 2 }', "bytes", "by ada", "now"):
            assert shown in text
        assert text.index('"n": 2') < text.index('"n": 1')
        last = memory.versions("k")[1]
        answer = browser.post(address("key/put-back", ns=namespace, key="k"), until=last.until)
        assert answer.status_code == 303
        assert memory.get("k") == {"n": 2}
        memory.delete("k")
        here = address("key/put-back", ns=namespace, key="k")
        browser.post(here, until=memory.versions("k")[0].until)
        assert memory.get("k") == {"n": 2}
        assert browser.post(here).status_code == 400


def test_the_versions_are_paged(memory: Memory, namespace: str, browser: Browser) -> None:
    memory.keep_past(3600)
    for n in range(60):
        memory.set("k", n)
    page = browser.see("key/versions", ns=namespace, key="k")
    following = page.all("a", **{"class": "more"})[0]["href"]
    assert "version 10 until 11" in squeezed(parse(browser.http.get(following)).text)


def test_a_change_is_seen_and_undone(memory: Memory, namespace: str, browser: Browser) -> None:
    memory.set("before", 1)
    assert "keeps no past" in squeezed(browser.see("changes", ns=namespace).text)
    memory.keep_past(3600)
    memory.by("support").history("chat").append("hello")
    memory.set("k", 1)
    memory.set("k", 2)
    text = squeezed(browser.see("changes", ns=namespace).text)
    assert "history · append · by support" in text
    here = address("changes/undo", ns=namespace)
    first, second = memory.versions("k")[1], memory.versions("k")[0]
    answer = browser.post(here, revision=first.version)
    assert answer.status_code == 409
    assert "changed again" in answer.text
    assert browser.post(here, revision=second.version).status_code == 303
    assert memory.get("k") == 1
    assert browser.post(here, revision=10**9).status_code == 404
    assert browser.post(here).status_code == 400
    assert memory.history("chat").tail(1) == ["hello"]


def test_many_changes_are_paged(memory: Memory, namespace: str, browser: Browser) -> None:
    memory.set_many({f"k{n:03}": n for n in range(130)})
    last = memory.revision()
    page = browser.see("changes", ns=namespace)
    assert address("key", ns=namespace, key="k129") in page.links("key")
    following = page.all("a", **{"class": "more"})[0]["href"]
    assert following == address("changes", ns=namespace, up_to=last - 50)
    page = parse(browser.http.get(following))
    shown = page.links("key")
    assert address("key", ns=namespace, key="k079") in shown
    assert address("key", ns=namespace, key="k080") not in shown


def test_who_may_only_read_undoes_nothing(
    keyed: tuple[str, dict[str, str]],
) -> None:
    url, keys = keyed
    with Memory("ada", url=url, api_key=keys["admin"]) as memory:
        memory.keep_past(3600)
        memory.set("undo", 1)
        memory.set("undo", 2)
    reader, writer = Browser(url, keys["reader"]), Browser(url, keys["ada"])
    for view, names in (("changes", {}), ("key/versions", {"key": "undo"})):
        forms = [
            len(one.see(view, ns="ada", **names).all("form", method="post"))
            for one in (reader, writer)
        ]
        assert forms[0] == 1  # to sign out
        assert forms[1] > 1
    assert reader.post(address("changes/undo", ns="ada"), revision=2).status_code == 403
    assert reader.get("changes", ns="bob-secret").status_code == 403
