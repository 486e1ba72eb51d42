"""Documents and indexes come back in the next process."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import StorageContext, SummaryIndex, load_index_from_storage
from llama_index.core.llms import MockLLM
from llama_index.core.schema import Document, NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.storage.docstore import SimpleDocumentStore

from botwire import ConfigurationError, Memory, NotJSONError, PayloadTooLargeError
from botwire_llamaindex import BotWireDocumentStore, BotWireIndexStore, BotWireKVStore
from conftest import read_url, running
from tests.zygote import Zygote

pytestmark = pytest.mark.anyio


async def test_both_halves_of_every_pair(place: dict[str, Any]) -> None:
    store = BotWireKVStore(**place)
    when = {"when": datetime(2026, 11, 24, tzinfo=UTC), "raw": b"\xff"}
    store.put("a/b*", when, collection="x/y")
    await store.aput("c", {}, collection="x/y")
    # The position of the separator matters: another collection and key, the same letters.
    store.put("y/a/b*", {"n": 1}, collection="x")
    store.put("c", {"n": 2}, collection="x%2Fy")
    assert store.get("a/b*", collection="x/y") == await store.aget("a/b*", collection="x/y") == when
    assert store.get_all("x/y") == await store.aget_all("x/y") == {"a/b*": when, "c": {}}
    assert await store.aget_all("x") == {"y/a/b*": {"n": 1}}
    assert store.get("nothing") is await store.aget("nothing") is None
    assert store.delete("c", "x/y")
    assert not await store.adelete("c", "x/y")
    assert await store.adelete("c", "x%2Fy")
    pairs = [(f"k{i}", {"i": i}) for i in range(250)]
    store.put_all(pairs, batch_size=100)
    await store.aput_all(pairs, collection="again", batch_size=1000)
    assert store.get_all() == await store.aget_all("again") == dict(pairs)


async def test_a_bad_batch_writes_nothing(place: dict[str, Any]) -> None:
    store = BotWireKVStore(**place)
    with pytest.raises(NotJSONError, match=r"'bad'.*'x'"):
        store.put_all([("good", {}), ("bad", {"x": object()})])
    with pytest.raises(ConfigurationError, match="batch_size"):
        await store.aput_all([("good", {})], batch_size=0)
    assert store.get_all() == {}


async def test_what_is_larger_than_a_request_is_split(place: dict[str, Any]) -> None:
    text = "x" * 200_000
    nodes = [TextNode(text=text, id_=f"n{i}") for i in range(100)]
    BotWireDocumentStore(**place).add_documents(nodes, batch_size=1000)
    await BotWireDocumentStore(name="awaited", **place).async_add_documents(nodes, batch_size=1000)
    for name in (None, "awaited"):
        assert len(BotWireDocumentStore(name=name, **place).docs) == 100
    store = BotWireKVStore(**place)
    store.put_all([(f"k{i}", {"text": text}) for i in range(100)], batch_size=1000)
    assert len(await store.aget_all()) == 100


async def test_a_server_that_takes_less_is_given_less(tmp_path: Path) -> None:
    with running(tmp_path / "memory.db", "--max-body", "50000") as process:
        url = read_url(process)
        store = BotWireKVStore("small", url=url)
        pairs = [(f"k{i}", {"text": "x" * 20_000}) for i in range(9)]
        store.put_all(pairs, batch_size=100)
        await store.aput_all(pairs, "again", batch_size=100)
        assert store.get_all() == await store.aget_all("again") == dict(pairs)
        with pytest.raises(PayloadTooLargeError):
            store.put("one", {"text": "x" * 60_000})
        with pytest.raises(PayloadTooLargeError):
            await store.aput("one", {"text": "x" * 60_000})
        process.terminate()


RELOAD = """
import sys
from llama_index.core import StorageContext, load_index_from_storage
from llama_index.core.llms import MockLLM
from botwire_llamaindex import BotWireDocumentStore, BotWireIndexStore

place = {"namespace": sys.argv[1], "url": sys.argv[2]}
context = StorageContext.from_defaults(
    docstore=BotWireDocumentStore(**place), index_store=BotWireIndexStore(**place)
)
index = load_index_from_storage(context)
print(index.as_query_engine(llm=MockLLM()).query("?").source_nodes[0].text)
"""


async def test_an_index_is_loaded_in_another_process(zygote: Zygote, place: dict[str, Any]) -> None:
    context = StorageContext.from_defaults(
        docstore=BotWireDocumentStore(**place), index_store=BotWireIndexStore(**place)
    )
    document = Document(text="Ada likes tea.", id_="doc")
    index = SummaryIndex.from_documents([document], storage_context=context)
    index.insert_nodes([TextNode(text="Turing is a cat.", id_="n")])
    said = zygote.read(RELOAD, place["namespace"], place["url"])
    assert said.strip() == "Ada likes tea."

    again = load_index_from_storage(context)
    found = again.as_query_engine(llm=MockLLM()).query("?").source_nodes
    assert [node.text for node in found] == ["Ada likes tea.", "Turing is a cat."]
    store = BotWireDocumentStore(**place)
    store.delete_ref_doc("doc")
    assert list(store.docs) == ["n"]
    await store.adelete_document("n")
    kept = BotWireKVStore(**place)
    assert [key for key in kept.connection.memory.list_keys() if "docstore" in key] == []


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_document_is_deleted_as_in_llamaindex_but_not_node_by_node(
    place: dict[str, Any], is_async: bool
) -> None:
    def node(id: str, document: str) -> TextNode:
        source = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=document)}
        return TextNode(id_=id, text=id, relationships=source)

    ours, stock = BotWireDocumentStore(**place), SimpleDocumentStore()
    for store in (ours, stock):
        # Each alone: LlamaIndex's own store loses nodes of one document that come together.
        for number in range(30):
            store.add_documents([node(f"n{number}", "long")])
        store.add_documents([node("other", "other")])
        store.add_documents([node("n7", "other")])  # moved; both documents name it now
        store.add_documents([node("n8", "emptied")])
    with Memory(**place) as memory:
        before = memory.revision()
        for store in (ours, stock):
            if is_async:
                await store.adelete_ref_doc("long")
                await store.adelete_ref_doc("missing", raise_error=False)
                with pytest.raises(ValueError, match="missing"):
                    await store.adelete_ref_doc("missing")
            else:
                store.delete_ref_doc("long")
                store.delete_ref_doc("missing", raise_error=False)
                with pytest.raises(ValueError, match="missing"):
                    store.delete_ref_doc("missing")
        changes = memory.changes(since=before)
    assert ours.docs == stock.docs
    assert ours.docs.keys() == {"other"}
    assert ours.get_all_ref_doc_info() == stock.get_all_ref_doc_info()
    assert ours.get_all_document_hashes() == stock.get_all_document_hashes()
    # The list of nodes that are left is stored for a node that was moved, and for no other.
    assert sum(change.action == "put" for change in changes) <= 2


async def test_stores_of_other_names_are_apart(place: dict[str, Any]) -> None:
    one, other = (BotWireDocumentStore(name=name, **place) for name in ("a", "a/b"))
    one.add_documents([TextNode(text="1", id_=f"n{i}") for i in range(5)])
    await other.async_add_documents([TextNode(text="2", id_="n0")])
    assert len(one.docs) == 5
    assert [node.get_content() for node in other.docs.values()] == ["2"]
