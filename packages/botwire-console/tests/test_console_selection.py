"""Bulk selections: a dry run, deleting with a receipt, and an export."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from botwire import ConflictError, Memory, Record, transfer
from botwire.engines.sqlite import SQLiteEngine
from botwire.operations import Batch
from botwire_console.selecting import KINDS, BulkSelection
from tests.browsing import Browser, Parsed, address, parse

ODD = ["a\nb", " x ", "a/1", "a/2\r", "é&=", "\ud800"]


def boxes(page: Parsed, field: str = "n") -> list[str]:
    return [one["value"] for one in page.all("input", name=field)]


def plan(browser: Browser, memory: Memory, kind: str, **fields: object) -> Parsed:
    answer = browser.post(address("selection", ns=memory.namespace, kind=kind), **fields)
    assert answer.status_code == 200, answer.text
    return parse(answer)


def confirm(browser: Browser, memory: Memory, kind: str, page: Parsed) -> Parsed:
    body = [(one["name"], one["value"]) for one in page.all("input") if one["name"] in ("n", "v")]
    content = "&".join(f"{name}={value.replace('%', '%25')}" for name, value in body)
    answer = browser.http.post(
        address("selection/delete", ns=memory.namespace, kind=kind),
        content=content,
        headers={"Origin": browser.url, "Content-Type": "application/x-www-form-urlencoded"},
    )
    return parse(answer)


def test_keys_of_any_name_and_folders(browser: Browser, memory: Memory) -> None:
    for name in ODD:
        memory.set(name, name)
    memory.set("stays", 1)
    tree = browser.see("keys", ns=memory.namespace)
    chosen = [one for one in boxes(tree) if one != "stays"]
    page = plan(browser, memory, "keys", n=chosen, f=boxes(tree, "f"))
    assert len(boxes(page)) == len(ODD)
    assert memory.count() == len(ODD) + 1  # a dry run
    receipt = json.loads(confirm(browser, memory, "keys", page).texts("pre")[0])
    assert {one["name"] for one in receipt["deleted"]} == set(ODD)
    assert receipt["past"] == "none kept"
    assert memory.list_keys() == ["stays"]


def test_none_is_deleted_if_one_changed_since_the_dry_run(browser: Browser, memory: Memory) -> None:
    memory.set("a", 1)
    memory.set("b", 1)
    memory.history("chat").append("x")
    keys = plan(browser, memory, "keys", n=["a", "b"])
    chats = plan(browser, memory, "conversations", n="chat")
    memory.set("b", 2)
    memory.history("chat").append("y")
    assert "changed or deleted meanwhile" in confirm(browser, memory, "keys", keys).text
    assert "changed" in confirm(browser, memory, "conversations", chats).text
    assert memory.list_keys() == ["a", "b"]
    assert len(memory.history("chat").read()) == 2


def test_conversations_and_memories(browser: Browser, memory: Memory) -> None:
    for name in ("one", "two", "three"):
        memory.history(name).append("x")
        memory.records().put([Record(name, id=name)])
    for kind in ("conversations", "memories"):
        page = plan(browser, memory, kind, n=["one", "two"])
        assert "2 deleted" in confirm(browser, memory, kind, page).text
    assert [one.name for one in memory.list_histories()] == ["three"]
    assert [one.id for one in memory.records().list()] == ["three"]


@pytest.mark.parametrize("kind", KINDS)
async def test_the_deleting_transaction_compares(kind: str) -> None:
    """Nobody writes between the comparison and the deletion."""
    with Memory("n", url="sqlite://") as memory:

        def write(text: str) -> None:
            memory.set("a", text)
            memory.history("a").append(text)
            memory.records().put([Record(text, id="a", embedding=[1.0])])

        class Here:
            """A visit of the console to this memory."""

            async def apply_all(self, namespace: str, *operations: Any) -> Any:
                return memory.engine.apply(Batch(namespace, operations))

            async def apply(self, namespace: str, operation: Any) -> Any:
                return (await self.apply_all(namespace, operation))[0]

        here: Any = Here()
        selection = BulkSelection("n", kind, "default", ("a",))
        write("one")
        seen = await selection.read(here)
        write("two")
        with pytest.raises(ConflictError):
            await here.apply_all("n", *selection.deletion(seen))
        (kept,) = memory.records().get(["a"])
        assert kept is not None
        assert (memory.get("a"), memory.history("a").count(), kept.text) == ("two", 2, "two")
        await here.apply_all("n", *selection.deletion(await selection.read(here)))
        assert await selection.read(here) == []


@pytest.mark.parametrize("kind", KINDS)
def test_an_export_can_be_imported(browser: Browser, memory: Memory, kind: str) -> None:
    memory.set_many({"a": 1, "b": b"\x00", "c": 3})
    for name in ("a", "b", "c"):
        memory.history(name).extend([name, 2])
        memory.records().put([Record(name, id=name, embedding=[1.0])])
    answer = browser.post(
        address("selection", ns=memory.namespace, kind=kind), n=["a", "b"], do="export"
    )
    assert answer.headers["Content-Disposition"] == "attachment; filename=export.jsonl"
    engine = SQLiteEngine(":memory:")
    transfer.load(engine, io.BytesIO(answer.content))
    copy = Memory(memory.namespace, engine=engine)
    if kind == "keys":
        assert copy.get_many(copy.list_keys()) == {"a": 1, "b": b"\x00"}
    elif kind == "conversations":
        assert [one.name for one in copy.list_histories()] == ["a", "b"]
        assert [item.value for item in copy.history("a").read()] == ["a", 2]
    else:
        assert {one.id for one in copy.records().list()} == {"a", "b"}
    engine.close()


def test_whole_namespaces_are_forgotten_with_a_receipt(
    administered: tuple[str, str, Path], namespace: str
) -> None:
    url, secret, _ = administered
    browser = Browser(url, secret)
    with Memory(namespace, url=url, api_key=secret) as memory:
        memory.keep_past(3600)
        memory.set("k", 1)
        memory.history("chat").append("x")
        page = parse(browser.post("namespaces/selection", n=namespace))
        assert "1 keys · 1 messages" in page.text
        assert memory.get("k") == 1  # a dry run
        answer = browser.post("namespaces/forget", n=boxes(page))
        (receipt,) = json.loads(parse(answer).texts("pre")[0])
        assert receipt["namespace"] == namespace
        assert receipt["erased"]["keys"] == 1
        assert receipt["erased"]["items"] == 1
        assert receipt["rewritten"] is False
        assert memory.get("k") is None
        assert memory.past().keep is None


def test_nothing_selected_is_told(browser: Browser, memory: Memory) -> None:
    answer = browser.post(address("selection", ns=memory.namespace, kind="keys"))
    assert answer.status_code == 400
    assert "nothing is selected" in re.sub(r"\s+", " ", answer.text)
