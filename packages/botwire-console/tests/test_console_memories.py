"""Memories, and why an agent gets some of them."""

from __future__ import annotations

import json
import re

from botwire import Memory, Record
from tests.browsing import Browser, address, all_rows, squeezed


def test_memories_by_page_tag_and_scope(browser: Browser, memory: Memory) -> None:
    for n in range(45):
        memory.remember(f"fact {n}", about="/odd" if n % 2 else "/even", tags=[f"t{n % 3}"])
    first = address("memories", ns=memory.namespace)
    assert len(set(all_rows(browser, first, "memory"))) == 45
    assert len(browser.see("memories", ns=memory.namespace, tag="t1").links("memory")) == 15
    assert len(browser.see("memories", ns=memory.namespace, about="/odd").links("memory")) == 22


def test_a_memory_is_corrected_under_its_version(browser: Browser, memory: Memory) -> None:
    memory.remember("Ada drinks tea", id="m", tags=["a"], ttl=3600)
    where = {"ns": memory.namespace, "c": "default", "id": "m"}
    version = browser.version("memory", **where)
    document = {"text": "Ada drinks coffee", "about": "/ada", "tags": ["b"], "metadata": {"n": 1}}
    here = address("memory", **where)
    assert browser.post(here, version=version, value=json.dumps(document)).status_code == 303
    (record,) = memory.records().list()
    assert (record.text, record.scope, record.tags) == ("Ada drinks coffee", "/ada", ("b",))
    assert record.metadata == {"n": 1}
    assert record.expires_at is not None
    conflict = browser.post(here, version=version, value=json.dumps({**document, "text": "mine"}))
    assert conflict.status_code == 409
    assert "Someone else wrote first" in conflict.text
    for wrong in ("{}", "[1]", json.dumps({**document, "tags": "b"})):
        assert browser.post(here, version=version, value=wrong).status_code == 422
    assert memory.records().list()[0].text == "Ada drinks coffee"
    assert browser.post(address("memory/delete", **where)).status_code == 303
    assert memory.records().list() == []
    assert browser.get("memory", **where).status_code == 404


def test_recall_shows_what_an_agent_is_given(browser: Browser, memory: Memory) -> None:
    memory.remember("Ada drinks green tea", about="/people/ada", tags=["taste"])
    memory.remember("Tea grows in Assam", about="/plants")
    memory.remember("Tea is served at five, as it always was in this house", about="/people/ada")
    memory.remember("Bob has no cat", about="/people/bob")
    asked = {"q": "green tea", "about": "/people", "tags": "taste", "limit": 1}
    page = browser.see("recall", ns=memory.namespace, **asked)
    given = memory.recall("green tea", about="/people", tags=["taste"], limit=1)
    text = squeezed(page.text)
    assert str(given) in page.text
    assert "4 memories" in text
    assert "1 pass the filters" in text
    assert "about /plants, not /people" in text
    assert "has the tags none: not taste" in text
    assert "Bob has no cat" not in text
    text = squeezed(browser.see("recall", ns=memory.namespace, q="tea", limit=1).text)
    assert text.count("beyond the limit of 1") == 2
    text = squeezed(browser.see("recall", ns=memory.namespace, q="tea", max_chars=25).text)
    assert re.search(r"53 characters, and \d+ are left of max_chars", text)
    text = squeezed(browser.see("recall", ns=memory.namespace, q="tea", since="2199-01-01").text)
    assert "created before 2199-01-01" in text
    assert "No memory was found" in text
    assert browser.get("recall", ns=memory.namespace, q="tea", since="soon").status_code == 422


def test_recall_scores_words_and_vectors_apart(
    browser: Browser, server_url: str, namespace: str
) -> None:
    def embed(texts: list[str]) -> list[list[float]]:
        return [[1.0, 0.0] if "tea" in text else [0.0, 1.0] for text in texts]

    with Memory(namespace, url=server_url, embed=embed) as memory:
        memory.remember("green tea", id="tea")
        memory.remember("a hot drink", id="drink")
        memory.records().put([Record("tea leaves", id="bare")])
        given = str(memory.recall("tea"))
    where = {"ns": namespace, "q": "tea"}
    page = browser.see("recall", **where)
    assert "give the vector of the question" in squeezed(page.text)
    for vector in ({"vector": "[1, 0]"}, {"like": "tea"}):
        page = browser.see("recall", **where, **vector)
        assert given in page.text
        cells = page.texts("td")  # score, by words, by vector, given
        names = page.texts("th")[5:]
        scores = {name: cells[4 * n + 1 : 4 * n + 3] for n, name in enumerate(names)}
        assert scores["green tea"][1] == "1.000"
        assert scores["tea leaves"][1] == "none"
        assert scores["a hot drink"] == ["none", "0.000"]
    for wrong in ({"vector": "[1, true]"}, {"vector": "x"}, {"like": "none"}, {"vector": "[1]"}):
        assert browser.get("recall", **where, **wrong).status_code == 422
