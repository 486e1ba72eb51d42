"""Stores are copied to the files of LlamaIndex's in-memory stores, and such files to stores."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import fsspec
import pytest
from llama_index.core import (
    MockEmbedding,
    StorageContext,
    SummaryIndex,
    VectorStoreIndex,
    load_index_from_storage,
)
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.llms import MockLLM
from llama_index.core.schema import Document, TextNode
from llama_index.core.storage.chat_store import SimpleChatStore
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.storage.kvstore import SimpleKVStore
from llama_index.core.vector_stores import SimpleVectorStore
from llama_index.core.vector_stores.types import VectorStoreQuery

from botwire import ConfigurationError, ConflictError, NotJSONError
from botwire_llamaindex import (
    BotWireChatStore,
    BotWireDocumentStore,
    BotWireIndexStore,
    BotWireKVStore,
    BotWireVectorStore,
)

DOCUMENTS = [Document(text="Ada likes tea.", id_="a"), Document(text="Turing is a cat.", id_="t")]
QUERY = VectorStoreQuery(query_embedding=[1.0, 0.0], similarity_top_k=3)


@pytest.fixture
def empty(place: dict[str, Any], namespace: str) -> Callable[[], dict[str, Any]]:
    """Makes places that hold nothing yet."""
    numbers = count()
    return lambda: place | {"namespace": f"{namespace}-{next(numbers)}"}


def answered(context: StorageContext) -> list[str]:
    found = load_index_from_storage(context).as_query_engine(llm=MockLLM()).query("?").source_nodes
    return [node.text for node in found]


def test_an_index_moves_to_botwire_and_back(
    empty: Callable[[], dict[str, Any]], tmp_path: Path
) -> None:
    old = str(tmp_path / "old")
    SummaryIndex.from_documents(DOCUMENTS).storage_context.persist(old)

    place = empty()
    moved = StorageContext.from_defaults(
        docstore=BotWireDocumentStore.from_persist_dir(old, **place),
        index_store=BotWireIndexStore.from_persist_dir(old, **place),
    )
    assert answered(moved) == ["Ada likes tea.", "Turing is a cat."]
    BotWireIndexStore.from_persist_dir(old, **place)  # nothing new, and nothing happens

    moved.docstore.add_documents([TextNode(text="new", id_="n")])
    back = str(tmp_path / "back")
    moved.persist(back)
    assert (tmp_path / "back" / "docstore.json").stat().st_mode & 0o077 == 0
    moved.vector_stores["default"].persist(f"{back}/default__vector_store.json")
    copied = StorageContext.from_defaults(persist_dir=back)  # LlamaIndex's own stores
    assert answered(copied) == ["Ada likes tea.", "Turing is a cat."]
    assert copied.docstore.get_document("n") == TextNode(text="new", id_="n")


def test_a_copy_never_replaces_what_was_written_since(
    empty: Callable[[], dict[str, Any]], tmp_path: Path
) -> None:
    place, path = empty(), str(tmp_path / "kv.json")
    store = BotWireKVStore(**place)
    store.put_all([("a", {"n": 1}), ("b/c", {"n": 2})], collection="x/y%2F")
    store.put("a", {"n": 3})
    store.persist(path)
    assert BotWireKVStore.from_persist_path(path, **empty()).to_dict() == store.to_dict()
    assert SimpleKVStore.from_persist_path(path).get("b/c", "x/y%2F") == {"n": 2}

    store.put("a", {"n": 4})
    store.delete("b/c", "x/y%2F")
    with pytest.raises(ConflictError, match="'a' in collection 'data'"):
        BotWireKVStore.from_persist_path(path, **place)
    assert store.to_dict() == {"x/y%2F": {"a": {"n": 1}}, "data": {"a": {"n": 4}}}


def test_a_copy_holds_its_own_stores_values_only(empty: Callable[[], dict[str, Any]]) -> None:
    place = empty()
    documents = BotWireDocumentStore(**place)
    documents.add_documents(DOCUMENTS)
    BotWireKVStore(**place).put("mine", {"n": 1})
    copy = documents.to_dict()
    assert sorted(copy) == ["docstore/data", "docstore/metadata"]
    assert SimpleDocumentStore.from_dict(copy).docs == documents.docs
    assert BotWireDocumentStore.from_dict(copy, **empty()).docs == documents.docs
    with pytest.raises(ConfigurationError, match=r"docstore/data.*reads 'other/data'"):
        BotWireDocumentStore.from_dict(copy, name="other", **empty())


def test_what_no_store_has_written_is_refused(
    empty: Callable[[], dict[str, Any]], tmp_path: Path
) -> None:
    place, path = empty(), tmp_path / "kv.json"
    for text in ("[]", '{"data": {"a": 1}}', '{"data": [', '"{}"'):
        path.write_text(text)
        with pytest.raises(ConfigurationError, match="kv"):
            BotWireKVStore.from_persist_path(str(path), **place)
        with pytest.raises(ConfigurationError, match="kv"):
            BotWireVectorStore.from_persist_path(str(path), **place)
    for text in ("[]", '{"store": [1]}', '{"store'):
        path.write_text(text)
        with pytest.raises(ConfigurationError, match="kv"):
            BotWireChatStore.from_persist_path(str(path), **place)
    with pytest.raises(FileNotFoundError):
        BotWireKVStore.from_persist_path(str(tmp_path / "nothing"), **place)
    store = BotWireKVStore(**place)
    store.put("raw", {"bytes": b"\xff"})
    with pytest.raises(NotJSONError, match="bytes"):
        store.persist(str(path))
    assert path.read_text() == text


def test_conversations_move_both_ways(empty: Callable[[], dict[str, Any]], tmp_path: Path) -> None:
    place, path = empty(), str(tmp_path / "new" / "chat.json")
    assert BotWireChatStore.from_persist_path(path, **place).get_keys() == []
    store = BotWireChatStore(**place)
    turn = [ChatMessage(role="user", content="é"), ChatMessage(role="assistant", content="ok")]
    store.add_messages("ada", turn)
    store.persist(path)
    assert SimpleChatStore.from_persist_path(path).get_messages("ada") == turn

    # As a program does that loads at its beginning what it saved at its end.
    later = BotWireChatStore.from_persist_path(path, **place)
    later.add_messages("ada", turn)
    assert BotWireChatStore.from_persist_path(path, **place).get_messages("ada") == turn * 2
    other = empty()
    BotWireChatStore(**other).add_message("ada", turn[0])
    assert BotWireChatStore.from_persist_path(path, **other).get_messages("ada") == turn
    BotWireChatStore(**other).set_messages("ada", turn[1:])
    with pytest.raises(ConflictError, match="'ada' has other messages"):
        BotWireChatStore.from_persist_path(path, **other)
    Path(path).write_text(json.dumps(Path(path).read_text()))  # as older releases wrote it
    assert BotWireChatStore.from_persist_path(path, **empty()).get_messages("ada") == turn


def test_vectors_move_with_their_texts(empty: Callable[[], dict[str, Any]], tmp_path: Path) -> None:
    old = str(tmp_path / "old")
    embedding = MockEmbedding(embed_dim=2)
    context = StorageContext.from_defaults(vector_store=SimpleVectorStore())
    index = VectorStoreIndex.from_documents(DOCUMENTS, context, embed_model=embedding)
    index.storage_context.persist(old)

    place = empty()
    store = BotWireVectorStore.from_persist_dir(old, **place)
    BotWireVectorStore.from_persist_dir(old, **place)
    texts = sorted(node.get_content() for node in store.query(QUERY).nodes or ())
    assert texts == ["Ada likes tea.", "Turing is a cat."]
    moved = VectorStoreIndex.from_vector_store(store, embed_model=embedding)
    assert len(moved.as_retriever(similarity_top_k=3).retrieve("?")) == 2

    new = tmp_path / "new"
    store.persist(f"{new}/default__vector_store.json")
    store.persist(f"{new}/image__vector_store.json")
    assert len(SimpleVectorStore.from_persist_dir(str(new)).query(QUERY).ids or ()) == 2
    both = BotWireVectorStore.from_namespaced_persist_dir(str(new), **empty())
    assert {name: len(one.get_nodes()) for name, one in both.items()} == {"default": 2, "image": 2}
    assert both["image"].collection == "image"
    first = store.get_nodes()[0]
    assert both["image"].get_nodes([first.node_id]) == [first]

    store.add([TextNode(id_=first.node_id, text="changed", embedding=[0.5, 0.5])])
    with pytest.raises(ConflictError, match="differs from the one to load"):
        BotWireVectorStore.from_persist_dir(old, **place)
    Path(old, "docstore.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="lacks"):
        BotWireVectorStore.from_persist_dir(old, **empty())


def test_any_file_system(empty: Callable[[], dict[str, Any]]) -> None:
    fs = fsspec.filesystem("memory")
    place = empty()
    documents = BotWireDocumentStore(**place)
    documents.add_documents(DOCUMENTS)
    documents.persist("/storage/docstore.json", fs)
    assert SimpleDocumentStore.from_persist_dir("/storage", fs=fs).docs == documents.docs
    assert (
        BotWireDocumentStore.from_persist_dir("/storage", fs=fs, **empty()).docs == documents.docs
    )
