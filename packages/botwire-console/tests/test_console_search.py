"""One search box over namespaces, names and texts."""

from __future__ import annotations

import pytest

from botwire import Memory
from tests.browsing import Browser, address, all_rows, squeezed


@pytest.fixture
def filled(memory: Memory) -> Memory:
    memory.set("Zebra-crossing", 1)
    memory.set("animals", {"striped": ["the ZEBRA of Oslo"]})
    memory.history("zebras").append({"role": "user", "content": "hello"})
    titled = memory.history("42")
    titled.set_metadata({"title": "A zebra abroad"})
    titled.append({"role": "user", "content": "nothing to see"})
    memory.history("chat").extend(
        [{"role": "user", "content": f"line {n}"} for n in range(60)]
        + [{"role": "assistant", "content": "I saw a zebra today."}]
    )
    memory.remember("Zebras drink tea.", id="m1")
    return memory


def test_names_titles_values_messages_and_memories(browser: Browser, filled: Memory) -> None:
    page = browser.see("search", ns=filled.namespace, q="zebra")
    where = {"ns": filled.namespace}
    assert set(page.links("key")) == {
        address("key", **where, key="Zebra-crossing"),
        address("key", **where, key="animals"),
    }
    message = address("conversation", **where, name="chat", before=62) + "#item-61"
    assert set(page.links("conversation")) == {
        address("conversation", **where, name="zebras"),
        address("conversation", **where, name="42"),
        message,
    }
    assert page.links("memory") == [address("memory", **where, c="default", id="m1")]
    # Its link leads to the message.
    found = browser.http.get(message.partition("#")[0]).text
    assert 'id="item-61"' in found
    assert "Nothing was found" in browser.see("search", **where, q="no such animal").text


def test_without_a_namespace_all_of_them_are_searched(browser: Browser, filled: Memory) -> None:
    page = browser.see("search", q=filled.namespace[5:])
    assert address("namespace", ns=filled.namespace) in page.links("namespace")
    # A few namespaces at a time, today's busiest first.
    found = all_rows(browser, address("search", q="zebra"), "key")
    assert address("key", ns=filled.namespace, key="animals") in found


def test_what_was_not_looked_at_is_told(browser: Browser, memory: Memory) -> None:
    for n in range(31):
        memory.history(f"chat-{n}").append({"role": "user", "content": "hi"})
    text = squeezed(browser.see("search", ns=memory.namespace, q="absent").text)
    assert "newest messages of the 30 last active conversations" in text
