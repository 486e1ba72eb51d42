"""A vector store and a memory block on BotWire's own records."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest
from llama_index.core import Document, MockEmbedding, StorageContext, VectorStoreIndex
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.memory import Memory, VectorMemoryBlock
from llama_index.core.schema import ImageNode, NodeRelationship, TextNode
from llama_index.core.vector_stores import SimpleVectorStore
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)
from sqlalchemy.ext.asyncio import AsyncEngine
from workflows.context.serializers import JsonSerializer

import botwire
from botwire import ConfigurationError, NotJSONError
from botwire_llamaindex import BotWireMemory, BotWireMemoryBlock, BotWireVectorStore

pytestmark = pytest.mark.anyio


def node(id_: str, vector: list[float], document: str = "", **metadata: Any) -> TextNode:
    made = TextNode(id_=id_, text=f"text of {id_}", embedding=vector, metadata=metadata)
    if document:
        made.relationships[NodeRelationship.SOURCE] = Document(id_=document).as_related_node_info()
    return made


def nodes() -> list[TextNode]:
    return [
        node("a", [1, 0], "d1", topic="tea", year=2020, tags=["hot", "green"]),
        node("b", [0.8, 0.6], "d1", topic="coffee", year=2024, tags=["hot"]),
        node("c", [0, 1], "d2", topic="Tea time", year=None),
        node("d", [-1, 0], "d2"),
    ]


def ids(found: Any) -> list[str]:
    return list(found.ids)


async def test_nodes_are_found_by_their_vectors_and_come_back_whole(place: dict[str, Any]) -> None:
    store = BotWireVectorStore(**place)
    assert store.add(nodes()[:2]) == ["a", "b"]
    assert await store.async_add(nodes()[2:]) == ["c", "d"]
    query = VectorStoreQuery(query_embedding=[1, 0], similarity_top_k=2)
    found = BotWireVectorStore(**place).query(query)
    assert ids(found) == ids(await store.aquery(query)) == ["a", "b"]
    assert found.similarities == pytest.approx([1, 0.8])
    first = found.nodes[0]
    assert (first.get_content(), first.metadata, first.ref_doc_id) == (
        "text of a", nodes()[0].metadata, "d1"
    )  # fmt: skip
    assert ids(store.query(VectorStoreQuery([1, 0], 5, node_ids=["c", "d"]))) == ["c", "d"]
    assert ids(store.query(VectorStoreQuery([1, 0], 5, doc_ids=["d2"]))) == ["c", "d"]
    again = node("a", [0, 1])
    store.add([again])  # replacing the existing one
    assert store.get_nodes(["a"]) == await store.aget_nodes(["a"]) == [again]
    image = ImageNode(id_="i", image="aGk=", embedding=[1, 1])
    store.add([image])
    assert store.get_nodes(["i"]) == [image]


def test_numbers_that_json_lacks_come_back(place: dict[str, Any]) -> None:
    odd = {"a": float("nan"), "b": {"c": [None, float("-inf")]}, "n": None, "doc_id": "mine"}
    given = TextNode(id_="n", text="t", embedding=[1, 0], metadata=odd)
    store = BotWireVectorStore(**place)
    store.add([given])
    (found,) = store.get_nodes(["n"])
    assert repr(found.metadata) == repr(odd)


def test_metadata_that_llamaindex_cannot_serialize_is_refused_by_name(
    place: dict[str, Any],
) -> None:
    store = BotWireVectorStore(**place)
    for value in (b"\xff", object()):
        with pytest.raises(NotJSONError, match=r"nodes\[1\] \('bad'\) cannot be serialized"):
            store.add([node("good", [1, 0]), node("bad", [1, 0], seen=value)])
    assert store.get_nodes() == []


@pytest.mark.parametrize("condition", list(FilterCondition))
async def test_filters_match_what_they_match_in_llamaindex(
    place: dict[str, Any], condition: FilterCondition
) -> None:
    store, stock = BotWireVectorStore(**place), SimpleVectorStore()
    store.add(nodes())
    stock.add(nodes())
    plain = [
        ("topic", "==", "tea"), ("topic", "!=", "tea"), ("year", ">", 2020), ("year", "<=", 2020),
        ("topic", "in", ["tea", "coffee"]), ("topic", "nin", ["tea"]), ("year", "is_empty", None),
        ("topic", "text_match_insensitive", "tea"), ("tags", "contains", "green"),
        ("tags", "any", ["green", "cold"]), ("tags", "all", ["hot", "green"]),
        ("doc_id", "==", "d2"),
    ]  # fmt: skip
    for other in (("year", ">=", 2020), ("tags", "contains", "hot")):
        for one in plain:
            filters = MetadataFilters(
                filters=[
                    MetadataFilter(key=key, operator=FilterOperator(name), value=value)
                    for key, name, value in (one, other)
                ],
                condition=condition,
            )
            query = VectorStoreQuery([1, 0], 4, filters=filters)
            assert ids(store.query(query)) == ids(stock.query(query)), (one, other)
            assert ids(await store.aquery(query)) == ids(stock.query(query)), (one, other)


def test_filters_find_booleans_and_no_nulls_as_in_llamaindex(place: dict[str, Any]) -> None:
    store, stock = BotWireVectorStore(**place), SimpleVectorStore()
    given: list[Any] = [True, False, None, 1, 0, 2, "1", ["a"]]
    flags = [
        TextNode(id_=f"n{number}", embedding=[1.0, number / 10], metadata={"flag": flag})
        for number, flag in enumerate(given)
    ]
    flags.append(TextNode(id_="without", embedding=[0.0, 1.0]))
    store.add(flags)
    stock.add(flags)
    for name, value in (
        ("==", 1), ("==", 0), ("==", 1.0), ("!=", 1), ("!=", 0), ("==", "1"), ("==", None),
        ("in", [1, 2]), ("in", [0.0]), ("nin", [0, 2]), ("in", None), ("nin", None), ("all", []),
    ):  # fmt: skip
        filters = [MetadataFilter(key="flag", operator=FilterOperator(name), value=value)]
        query = VectorStoreQuery([1, 0], 9, filters=MetadataFilters(filters=filters))
        try:
            expected = sorted(ids(stock.query(query)))
        except TypeError:  # LlamaIndex's own store compares a number's parts
            continue
        assert sorted(ids(store.query(query))) == expected, (name, value)


def test_filters_compare_booleans_as_llamaindex_does(place: dict[str, Any]) -> None:
    store, stock = BotWireVectorStore(**place), SimpleVectorStore()
    flags = [
        TextNode(id_=f"n{number}", embedding=[1.0, number / 10], metadata={"flag": flag})
        for number, flag in enumerate([True, False, None, 1, 0, 2, -1, 0.5])
    ]
    store.add(flags)
    stock.add(flags)
    for name in (">", ">=", "<", "<="):
        for value in (-1, 0, 0.5, 1, 2):
            filters = [MetadataFilter(key="flag", operator=FilterOperator(name), value=value)]
            query = VectorStoreQuery([1, 0], 9, filters=MetadataFilters(filters=[*filters]))
            assert sorted(ids(store.query(query))) == sorted(ids(stock.query(query))), (name, value)


@pytest.mark.parametrize("operator", [">", ">=", "<", "<="])
def test_a_filter_that_can_compare_nothing_is_refused(place: dict[str, Any], operator: str) -> None:
    store = BotWireVectorStore(**place)
    for value in (["a"], [], None):
        one = MetadataFilter(key="flag", operator=FilterOperator(operator), value=value)
        filters = MetadataFilters(filters=[one])
        for call in (store.get_nodes, store.delete_nodes):
            with pytest.raises(ConfigurationError, match=f"'flag': {operator} compares numbers"):
                call(filters=filters)


def test_a_list_is_in_no_dict(place: dict[str, Any]) -> None:
    store = BotWireVectorStore(**place)
    store.add([node("a", [1, 0], tags={"x": 1}), node("b", [1, 0], tags=[["x"]])])
    one = MetadataFilter(key="tags", operator=FilterOperator.CONTAINS, value=["x"])
    assert [n.node_id for n in store.get_nodes(filters=MetadataFilters(filters=[one]))] == ["b"]


async def test_filters_can_be_nested_and_are_applied_before_the_limit(
    place: dict[str, Any],
) -> None:
    store = BotWireVectorStore(**place)
    near = [node(f"n{i}", [1, 0], topic="tea", tags=["cold"]) for i in range(250)]
    store.add([*near, *nodes()])
    hot = MetadataFilter(key="tags", operator=FilterOperator.CONTAINS, value="hot")
    drinks = [MetadataFilter(key="topic", value=topic) for topic in ("tea", "coffee")]
    either = MetadataFilters(filters=[*drinks], condition=FilterCondition.OR)
    query = VectorStoreQuery([0, 1], 1, filters=MetadataFilters(filters=[hot, either]))
    assert ids(store.query(query)) == ids(await store.aquery(query)) == ["b"]


async def test_nodes_are_deleted_by_document_id_and_filter(place: dict[str, Any]) -> None:
    store = BotWireVectorStore(**place)
    hot = MetadataFilters(
        filters=[MetadataFilter(key="tags", operator=FilterOperator.CONTAINS, value="green")]
    )
    coffee = MetadataFilters(filters=[MetadataFilter(key="topic", value="coffee")])

    def left() -> list[str]:
        return sorted(one.node_id for one in store.get_nodes())

    for deletes, expected in (
        (lambda: store.adelete("d1"), ["c", "d"]),
        (lambda: store.adelete_nodes(["a", "nothing"]), ["b", "c", "d"]),
        (lambda: store.adelete_nodes(filters=hot), ["b", "c", "d"]),
        (lambda: store.adelete_nodes(["a"], coffee), ["a", "b", "c", "d"]),
        (lambda: store.adelete_nodes([]), ["a", "b", "c", "d"]),
        (lambda: asyncio.to_thread(store.delete, "d2"), ["a", "b"]),
        (lambda: asyncio.to_thread(store.delete_nodes, ["a", "b"], coffee), ["a", "c", "d"]),
        (lambda: asyncio.to_thread(store.delete_nodes, None, hot), ["b", "c", "d"]),
        (store.aclear, []),
    ):
        store.add(nodes())
        await deletes()
        assert left() == expected
    store.add(nodes())
    for none in (None, MetadataFilters(filters=[])):
        with pytest.raises(ConfigurationError, match=r"clear\(\) deletes all"):
            store.delete_nodes(filters=none)
    assert len(left()) == 4
    store.clear()
    store.add([node("z", [1, 2, 3])])  # of another dimension
    assert left() == ["z"]


async def test_of_nodes_with_one_id_the_last_is_stored(place: dict[str, Any]) -> None:
    twice = [node("a", [1, 0]), node("b", [1, 1]), node("a", [0, 1])]
    for call in (BotWireVectorStore.add, BotWireVectorStore.async_add):
        store = BotWireVectorStore(collection=call.__name__, **place)
        given: Any = call(store, twice)
        # An index takes the ids to be those of its nodes, one by one.
        assert (given if isinstance(given, list) else await given) == ["a", "b", "a"]
        found = {one.node_id: one.embedding for one in store.get_nodes()}
        assert found == {"a": [0, 1], "b": [1, 1]}


async def test_words_and_both(place: dict[str, Any]) -> None:
    store = BotWireVectorStore(**place)
    store.add(nodes())
    for mode, alpha, first in (
        (VectorStoreQueryMode.TEXT_SEARCH, None, "c"),
        (VectorStoreQueryMode.HYBRID, 0, "c"),
        (VectorStoreQueryMode.HYBRID, 1, "a"),
    ):
        query = VectorStoreQuery([1, 0], 4, query_str="c", mode=mode, alpha=alpha)
        assert ids(store.query(query))[0] == first
    with pytest.raises(ConfigurationError, match="mmr is not supported"):
        store.query(VectorStoreQuery([1, 0], mode=VectorStoreQueryMode.MMR))
    with pytest.raises(ConfigurationError, match="needs query_embedding"):
        await store.aquery(VectorStoreQuery(query_str="c"))
    with pytest.raises(ConfigurationError, match=r"nodes\[1\].*no embedding"):
        store.add([node("n", [1, 0]), TextNode(text="none")])
    assert store.get_nodes(["n"]) == []


async def test_an_index_finds_what_another_object_has_put_in(place: dict[str, Any]) -> None:
    def index() -> VectorStoreIndex:
        store = BotWireVectorStore.from_dict(BotWireVectorStore(**place).to_dict())
        return VectorStoreIndex.from_vector_store(store, embed_model=MockEmbedding(4))

    context = StorageContext.from_defaults(vector_store=BotWireVectorStore(**place))
    documents = [Document(text="Ada likes tea.", id_="d")]
    VectorStoreIndex.from_documents(
        documents, storage_context=context, embed_model=MockEmbedding(4)
    )
    found = await index().as_retriever().aretrieve("tea?")
    assert [one.get_content() for one in found] == ["Ada likes tea."]
    index().delete_ref_doc("d")
    assert index().as_retriever().retrieve("tea?") == []
    assert BotWireVectorStore(place["namespace"] + "-other", url=place["url"]).get_nodes() == []


def memory_of(
    block: Any, place: dict[str, Any], user: str, session: str, cls: Any = BotWireMemory
) -> Any:
    return cls.from_defaults(
        session_id=session, token_limit=100, chat_history_token_ratio=0.2, token_flush_size=5,
        tokenizer_fn=str.split, memory_blocks=[block],
        namespace=place["namespace"] + user, url=place["url"],
    )  # fmt: skip


async def talk(memory: BotWireMemory, fact: str) -> None:
    await memory.aput(ChatMessage(role="user", content=fact))
    for i in range(4):
        await memory.aput(ChatMessage(role="user", content=f"small talk number {i} of several"))


async def recalled(memory: BotWireMemory, question: str) -> str:
    return " ".join(one.content or "" for one in await memory.aget(question))


@pytest.mark.parametrize("embedded", [False, True])
async def test_a_block_recalls_its_own_conversation_only(
    place: dict[str, Any], embedded: bool
) -> None:
    embedding = MockEmbedding(4) if embedded else None
    block = BotWireMemoryBlock(embed_model=embedding, similarity_top_k=50)
    await talk(memory_of(block, place, "ada", "s"), "My passport has number A77")
    await talk(memory_of(block, place, "bob", "s"), "My passport has number B88")
    again = memory_of(BotWireMemoryBlock(embed_model=embedding), place, "ada", "s")
    assert "A77" in await recalled(again, "passport number?")
    assert "B88" not in await recalled(again, "passport number?")
    other = memory_of(block, place, "ada", "another")
    assert "A77" not in await recalled(other, "passport number?")
    # Deleting a user's namespace deletes everything in it.
    kept = botwire.Memory(place["namespace"] + "ada", url=place["url"])
    assert any("A77" in one.text for one in kept.records("llamaindex/recalled").list())
    await again.areset()
    assert "A77" not in await recalled(again, "passport number?")
    assert kept.records("llamaindex/recalled").list() == []


async def test_a_block_recalls_all_conversations_of_a_user_if_it_is_told_to(
    place: dict[str, Any],
) -> None:
    shared = BotWireMemoryBlock(place["namespace"], url=place["url"], per="user")
    for block in (BotWireMemoryBlock(per="user"), shared):
        await talk(memory_of(block, place, "ada", "monday"), "My passport has number A77")
        await talk(memory_of(block, place, "bob", "monday"), "My passport has number B88")
        tuesday = memory_of(block, place, "ada", "tuesday")
        assert "A77" in await recalled(tuesday, "passport number?")
        assert "B88" not in await recalled(tuesday, "passport number?")


async def test_a_block_serves_llamaindexs_own_memory(
    place: dict[str, Any], database: AsyncEngine
) -> None:
    block = BotWireMemoryBlock(**place)
    memories = [
        Memory.from_defaults(
            session_id=session, token_limit=100, chat_history_token_ratio=0.2, token_flush_size=5,
            tokenizer_fn=str.split, memory_blocks=[block], async_engine=database,
        )
        for session in ("a", "b")
    ]  # fmt: skip
    await talk(memories[0], "My passport has number A77")
    assert "A77" in await recalled(memories[0], "passport number?")
    assert "A77" not in await recalled(memories[1], "passport number?")
    with pytest.raises(ConfigurationError, match="apart by session"):
        await block.aput([ChatMessage(role="user", content="whose?")])
    everyone = BotWireMemoryBlock(per="user", **place)
    await everyone.aput([ChatMessage(role="user", content="The office is in Oslo.")])
    found = await everyone.aget([ChatMessage(role="user", content="Which office?")])
    assert found == "user: The office is in Oslo."


@pytest.mark.parametrize("embedded", [False, True])
async def test_a_block_takes_what_is_said_twice(place: dict[str, Any], embedded: bool) -> None:
    block = BotWireMemoryBlock(embed_model=MockEmbedding(4) if embedded else None)
    memory = memory_of(block, place, "ada", "s")
    ok = ChatMessage(role="user", content="Yes, go on with the tea.")
    for _ in range(12):
        await memory.aput_messages([ok, ok, ChatMessage(role="assistant", content="It is hot.")])
    assert (await recalled(memory, "tea?")).count("user: Yes, go on with the tea.") == 1
    assert len(memory.get_all()) == 36


async def test_a_block_that_a_workflow_has_saved_finds_its_messages_again(
    place: dict[str, Any],
) -> None:
    block = BotWireMemoryBlock(per="user", similarity_top_k=2, **place)
    await block.aput([ChatMessage(role="user", content="The office is in Oslo.")])
    owned = memory_of(BotWireMemoryBlock(), place, "ada", "s")
    await talk(owned, "My passport has number A77")
    for said, saved in (("office", block), ("A77", owned.memory_blocks[0])):
        for again in (
            type(saved).model_validate_json(saved.model_dump_json()),
            JsonSerializer().deserialize(JsonSerializer().serialize(saved)),
            copy.deepcopy(saved),
        ):
            assert again.model_dump() == saved.model_dump()
            found = await again.aget([ChatMessage(role="user", content="office passport number")])
            assert said in found
    unplaced = BotWireMemoryBlock(name="b")
    assert BotWireMemoryBlock.model_validate(unplaced.model_dump()) == unplaced


async def test_a_vector_memory_block_needs_no_other_database(place: dict[str, Any]) -> None:
    def block() -> VectorMemoryBlock:
        return VectorMemoryBlock(
            vector_store=BotWireVectorStore(**place), embed_model=MockEmbedding(4)
        )

    await talk(memory_of(block(), place, "ada", "s"), "My passport has number A77")
    assert "A77" in await recalled(memory_of(block(), place, "ada", "s"), "number?")
    assert "A77" not in await recalled(memory_of(block(), place, "bob", "s"), "number?")
