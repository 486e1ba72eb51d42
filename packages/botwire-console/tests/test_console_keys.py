"""Keys: the tree, one entry, and two people editing it."""

from __future__ import annotations

import json

from botwire import Author, Memory
from tests.browsing import Browser, address, all_rows, parse, squeezed


def test_a_tree_of_names(memory: Memory, namespace: str, browser: Browser) -> None:
    memory.set_many(dict.fromkeys(["a", "b/1", "b/2/x", "b/2/y", "c:1", "c:2", "d/", "/"], 1))
    page = browser.see("keys", ns=namespace)
    assert page.links("keys") == [
        address("keys", ns=namespace, prefix="b/"),
        address("keys", ns=namespace, prefix="c:"),
    ]
    assert {address("key", ns=namespace, key=key) for key in ("a", "d/", "/")} <= set(
        page.links("key")
    )
    below = browser.see("keys", ns=namespace, prefix="b/")
    assert address("keys", ns=namespace, prefix="b/2/") in below.links("keys")
    assert address("key", ns=namespace, key="b/1") in below.links("key")


def test_every_key_is_on_exactly_one_page(memory: Memory, namespace: str, browser: Browser) -> None:
    keys = [f"k{n:03}" for n in range(120)]
    keys += [f"f{n:02}/{part}" for n in range(60) for part in ("x", "y\U0010ffff", "y\U0010ffff/z")]
    memory.set_many(dict.fromkeys(keys, 1))
    first = address("keys", ns=namespace)
    assert all_rows(browser, first, "key") == [
        address("key", ns=namespace, key=f"k{n:03}") for n in range(120)
    ]
    assert all_rows(browser, first, "keys") == [
        address("keys", ns=namespace, prefix=f"f{n:02}/") for n in range(60)
    ]


def test_a_large_namespace_is_read_page_by_page(
    memory: Memory, namespace: str, browser: Browser
) -> None:
    for part in range(4):
        memory.set_many({f"big/{part}{n:04}": n for n in range(1000)})
    memory.set("last", 1)
    page = browser.see("keys", ns=namespace)  # the folder is skipped, not read
    assert page.links("key") == [address("key", ns=namespace, key="last")]
    assert len(browser.see("keys", ns=namespace, prefix="big/").links("key")) == 50


def test_an_entry_shows_all_that_is_known(
    server_url: str, namespace: str, browser: Browser
) -> None:
    author = Author("support", run="42")
    with Memory(namespace, url=server_url, author=author) as memory:
        memory.set("k", {"n": 10**40, "text": "é\u202e\ud800"}, ttl=3600)
    text = squeezed(browser.see("key", ns=namespace, key="k").text)
    for shown in ("version 1", "support, run 42", "expires", str(10**40), "é\\u202e\\ud800"):
        assert shown in text
    assert "curl" in text
    assert "memory.entry('k')" in text
    with Memory(namespace, url=server_url) as memory:
        memory.set("bytes", b"\x00")
        memory.set("long", "x" * 300_000)
    assert "of bytes" in browser.see("key", ns=namespace, key="bytes").text
    assert "too long" in browser.see("key", ns=namespace, key="long").text


def test_what_is_saved_is_what_was_typed(memory: Memory, namespace: str, browser: Browser) -> None:
    value = {"n": 10**40, "f": 1e-7, "text": "é\r\n\u202e\ud800\U0001f600", "l": [None, True, ""]}
    memory.set("k", value, ttl=3600)
    expires_at = memory.entry("k").expires_at  # type: ignore[union-attr]
    here = address("key", ns=namespace, key="k")
    text = browser.see("key", ns=namespace, key="k").text
    shown = text[text.index("{") : text.rindex("}") + 1]
    given = json.JSONDecoder().raw_decode(shown)[0]
    assert given == value
    answer = browser.post(here, version=1, value=json.dumps({**given, "new": 1}), keeping="keep")
    assert answer.status_code == 303
    entry = memory.entry("k")
    assert entry is not None
    assert entry.value == {**value, "new": 1}
    assert entry.author == Author("console")
    assert entry.expires_at is not None
    assert expires_at is not None
    assert abs((entry.expires_at - expires_at).total_seconds()) < 1
    assert "Saved" in browser.see("key", ns=namespace, key="k", saved=entry.version).text
    browser.post(here, version=entry.version, value="2", keeping="never")
    assert memory.entry("k").expires_at is None  # type: ignore[union-attr]
    browser.post(here, version=memory.entry("k").version, value="3", keeping="seconds", seconds=60)  # type: ignore[union-attr]
    assert memory.entry("k").expires_at is not None  # type: ignore[union-attr]


def test_what_is_no_json_is_not_saved_and_not_lost(
    memory: Memory, namespace: str, browser: Browser
) -> None:
    here = address("key", ns=namespace, key="k")
    for text, why in (
        ('{"a": }', "line 1, column 7"),
        ("NaN", "NaN"),
        ('{"a": 1, "a": 2}', "twice"),
        ("", "line 1"),
        ("[" * 5000, "JSON"),
        ("9" * 5000, "JSON"),
        ("[1e400]", "inf"),
    ):
        answer = browser.post(here, version=0, value=text)
        assert answer.status_code == 422, text[:20]
        assert why in answer.text
        assert text[:100].replace('"', "&#34;") in answer.text
    assert memory.get("k") is None


def test_forms_lead_to_the_namespace_they_were_in(server_url: str, browser: Browser) -> None:
    for name in ("plain", "a b%41", "odd\u200b\nname", "\ud800"):
        with Memory(name, url=server_url) as memory:
            memory.set(f"{name}/k", "found")
        page = browser.see("key", ns=name, prefix=f"{name}/")
        for action in ("search", "key"):
            fields = dict(page.form(f"/console/{action}"))
            if action == "key":
                fields["key"] = "new"
            else:
                fields["q"] = "found"
            # A browser sends a line end in a field as two characters.
            sent = {one: str(value).replace("\n", "\r\n") for one, value in fields.items()}
            answer = browser.http.get(f"/console/{action}", params=sent)
            if action == "key":
                assert answer.headers["Location"] == address("key", ns=name, key=f"{name}/new")
            else:
                assert address("key", ns=name, key=f"{name}/k") in parse(answer).links("key")


def test_two_people_edit_one_key(memory: Memory, namespace: str, browser: Browser) -> None:
    memory.set("k", {"theme": "dark", "size": 1})
    here = address("key", ns=namespace, key="k")
    versions = [browser.version("key", ns=namespace, key="k") for _ in range(2)]
    assert browser.post(here, version=versions[0], value='{"theme": "light"}').status_code == 303
    mine = '{"theme": "dark", "size": 2}'
    conflict = browser.post(here, version=versions[1], value=mine)
    assert conflict.status_code == 409
    assert memory.get("k") == {"theme": "light"}
    text = squeezed(conflict.text)
    assert "Someone else wrote first" in text
    assert "light" in text  # theirs
    assert "&#34;size&#34;: 2" in text  # mine is still in the form
    # Saving again is a decision about the version that was shown.
    memory.set("k", {"theme": "third"})
    assert browser.post(here, version=2, value=mine).status_code == 409
    assert browser.post(here, version=3, value=mine).status_code == 303
    assert memory.get("k") == {"theme": "dark", "size": 2}


def test_a_delete_of_another_version_deletes_nothing(
    memory: Memory, namespace: str, browser: Browser
) -> None:
    memory.set("folder/k", 1)
    memory.set("folder/k", 2)
    here = address("key/delete", ns=namespace, key="folder/k")
    assert browser.post(here, version=1).status_code == 409
    assert memory.get("folder/k") == 2
    answer = browser.post(here, version=2)
    assert answer.headers["Location"] == address("keys", ns=namespace, prefix="folder/")
    assert memory.get("folder/k") is None
    # One edited it while the other deleted it.
    edit = browser.post(address("key", ns=namespace, key="folder/k"), version=2, value="3")
    assert edit.status_code == 409
    assert "deleted meanwhile" in edit.text


def test_an_empty_store_says_what_to_do(namespace: str, browser: Browser) -> None:
    for view in ("namespace", "keys", "conversations"):
        assert "memory.history(" in (text := browser.see(view, ns=namespace).text) or (
            "memory.set(" in text
        )
