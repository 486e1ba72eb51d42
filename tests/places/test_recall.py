"""Recall: memories are found wherever memory lives, with both clients."""

from __future__ import annotations

import asyncio
import sys
import types
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from botwire import AsyncMemory, ConfigurationError, EmbedderMismatchError, Memory, Record
from tests.clients import blocking


@pytest.fixture
async def filled(memory: Any) -> Any:
    """A memory that remembers three texts."""
    await memory.remember("Ada drinks green tea", about="/people/ada", tags=["drink"], id="tea")
    await memory.remember("Bob drinks black coffee", about="people/bob/", tags=["drink"], id="bob")
    await memory.remember("The office closes at six", id="office")
    return memory


def ids(found: Any) -> list[str]:
    return [record.id for record in found]


async def test_what_was_remembered_is_recalled(filled: Any) -> None:
    found = await filled.recall("green tea")
    assert ids(found) == ["tea"]
    assert (found[0].text, found[0].scope, found[0].tags) == (
        "Ada drinks green tea", "/people/ada", ("drink",)
    )  # fmt: skip
    assert len(found.scores) == 1
    assert str(found) == "- Ada drinks green tea"
    assert ids(await filled.recall("drinks", about="/people/bob")) == ["bob"]
    assert ids(await filled.recall("drinks", tags=["drink"], limit=1)) in (["tea"], ["bob"])
    assert ids(await filled.recall("drinks", since=datetime.now(UTC) + timedelta(days=1))) == []


async def test_without_a_query_the_newest_come_first(filled: Any) -> None:
    for query in (None, "", " "):
        found = await filled.recall(query, limit=2)
        assert (ids(found), found.scores) == (["office", "bob"], ())


async def test_an_id_names_one_memory(filled: Any) -> None:
    id = await filled.remember("Something else")
    assert await filled.remember("Ada drinks water", id="tea") == "tea"
    assert [record.text for record in await filled.records().get([id, "tea"])] == [
        "Something else", "Ada drinks water"
    ]  # fmt: skip
    assert ids(await filled.recall("green")) == []


async def test_only_what_fits_is_recalled(filled: Any) -> None:
    assert ids(await filled.recall(max_chars=45)) == ["office", "tea"]
    assert ids(await filled.recall(max_chars=0)) == []
    assert "longer than max_chars" in str(await filled.recall(max_chars=3))


async def test_an_empty_answer_says_what_was_searched(filled: Any) -> None:
    found = await filled.recall("peanuts", about="people", tags=["drink", "x"], since=datetime(2020, 1, 2, tzinfo=UTC))  # fmt: skip # noqa: E501
    assert not found
    assert str(found) == (
        "No memory was found: searched 2 memories about /people tagged 'drink' or 'x' "
        "since 2020-01-02T00:00:00+00:00 for the words of 'peanuts'."
    )
    assert "1 memory" in str(await filled.recall("peanuts", about="/people/ada"))


@pytest.mark.parametrize(
    ("call", "arguments", "says"),
    [
        ("remember", {"text": ""}, "blank"),
        ("remember", {"text": b"x"}, "text must be a string"),
        ("remember", {"text": "x", "tags": "drink"}, "tags must be a list"),
        ("remember", {"text": "x", "about": 1}, "path must be a string"),
        ("recall", {"query": 1}, "query must be a string"),
        ("recall", {"tags": "drink"}, "tags must be a list"),
        ("recall", {"limit": -1}, "limit"),
        ("recall", {"max_chars": "9"}, "max_chars"),
    ],
)
async def test_bad_arguments_are_refused(
    memory: Any, call: str, arguments: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says):
        await getattr(memory, call)(**arguments)
    assert await memory.records().count() == 0


async def test_memories_are_records_of_the_default_collection(memory: Any) -> None:
    await memory.records().put([Record("Carol plays chess", scope="/people/carol")])
    assert len(await memory.recall("chess", about="/people")) == 1


@pytest.mark.parametrize(
    ("texts", "query", "found"),
    [
        (["Ada drinks tea", "Ada reads"], "What is Ada drinking?", ["Ada drinks tea", "Ada reads"]),
        (["Ada drinks tea"], "who drank tea", ["Ada drinks tea"]),
        (["running shoes", "a run", "runs"], "runs", ["runs", "running shoes", "a run"]),
        (["Der Hund schläft", "Die Katzen schlafen"], "die Hunde", ["Der Hund schläft"]),
        (["она читает книгу"], "какие книги", ["она читает книгу"]),
        (["il mange des pommes"], "la pomme", ["il mange des pommes"]),
        (["Will lives in Oslo", "it will rain"], "Where does Will live?", None),
        (["the order", "order 4711"], "the order 4711", ["order 4711", "the order"]),
        (["x86 and x64"], "x86", ["x86 and x64"]),
        (["x86 and x64"], "x8", []),
        (["我喜欢茶", "我喜欢咖啡"], "喜欢茶", ["我喜欢茶", "我喜欢咖啡"]),
        (["to be or not to be", "a question"], "to be", ["to be or not to be"]),
        (["ж" * 200], "ж" * 200, ["ж" * 200]),
    ],
)
async def test_words_are_found_in_all_their_forms(
    memory: Any, texts: list[str], query: str, found: list[str] | None
) -> None:
    for i, text in enumerate(texts):
        await memory.remember(text, id=f"m{i}")
    result = [record.text for record in await memory.recall(query)]
    if found is None:
        assert result[0] == texts[0]
    else:
        assert result == found


async def test_an_exact_word_ranks_above_another_form(memory: Any) -> None:
    for i, word in enumerate(["painted", "painting", "paints", "paint"]):
        await memory.remember(f"they {word} it", id=f"{i}")
    for i, word in enumerate(["painted", "painting", "paints", "paint"]):
        result = await memory.recall(word)
        assert result[0].id == str(i)
        assert len(result) == 4
        assert result.scores[0] > result.scores[1]


# --- vectors --------------------------------------------------------------------------------

MEANINGS = {"drink": [1.0, 0.0, 0.1], "sport": [0.0, 1.0, 0.1]}


def by_meaning(texts: list[str]) -> list[list[float]]:
    """An embedder that knows two meanings."""
    drinks = ("tea", "coffee", "beverage")
    return [MEANINGS["drink" if any(w in text for w in drinks) else "sport"] for text in texts]


async def by_meaning_awaited(texts: list[str]) -> list[list[float]]:
    return by_meaning(texts)


def other(texts: list[str]) -> list[list[float]]:
    """Another embedder with vectors of the same length."""
    return by_meaning(texts)


@pytest.fixture
def reopen(memory: Any) -> Any:
    """Opens the same memory again, with an embedder."""

    def again(embed: Any) -> Any:
        if isinstance(memory, AsyncMemory):
            return AsyncMemory(memory.namespace, engine=memory.engine, embed=embed)
        return blocking(Memory(memory.namespace, engine=memory.engine, embed=embed))

    return again


async def test_a_memory_with_an_embedder_finds_meanings(reopen: Any) -> None:
    memory = reopen(by_meaning)
    await memory.remember("Ada has green tea", id="tea")
    await memory.remember("Bob rides a bike", id="bike")
    assert ids(await memory.recall("a hot beverage"))[0] == "tea"
    assert ids(await memory.recall("bike"))[0] == "bike"
    found = await memory.recall("a hot beverage", about="/nobody")
    assert "for the words and meaning of" in str(found)
    assert ids(await reopen(None).recall("beverage")) == []  # no embedder: words only
    assert ids(await reopen(None).recall("bikes")) == ["bike"]


async def test_two_embedders_never_mix(reopen: Any) -> None:
    memory, another = reopen(by_meaning), reopen(other)
    assert ids(await memory.recall("tea")) == []
    await memory.remember("Ada has green tea", id="tea")
    for call in (another.remember("Bob has coffee"), another.recall("tea")):
        with pytest.raises(EmbedderMismatchError, match=r"by_meaning.*other.*another namespace"):
            await call
    assert await memory.records().count() == 1
    await memory.records().clear()
    await another.remember("Bob has coffee", id="coffee")  # no other vectors are left
    with pytest.raises(EmbedderMismatchError):
        await memory.recall("tea")


async def test_the_first_of_two_embedders_wins(reopen: Any) -> None:
    both = [reopen(by_meaning), reopen(other)]

    async def write(memory: Any) -> bool:
        try:
            await memory.remember("Ada has green tea")
        except EmbedderMismatchError:
            return False
        return True

    done = await asyncio.gather(*(write(memory) for memory in both for _ in range(3)))
    assert sorted(done) == [False] * 3 + [True] * 3
    assert await both[0].records().count() == 3


async def test_vectors_of_unknown_origin_are_not_compared(reopen: Any) -> None:
    memory = reopen(by_meaning)
    await memory.records().put([Record("mine", embedding=[1.0, 0.0, 0.0])])
    with pytest.raises(EmbedderMismatchError, match="unknown embedder"):
        await memory.remember("Ada has green tea")
    assert await memory.records().count() == 1


async def test_a_text_without_a_vector_keeps_none_of_the_text_before(reopen: Any) -> None:
    await reopen(by_meaning).remember("Ada has green tea", id="one")
    await reopen(None).remember("Ada rides a bike", id="one")
    (record,) = await reopen(None).records().get(["one"])
    assert record.embedding is None


async def test_an_asynchronous_embedder_needs_an_asynchronous_client(reopen: Any) -> None:
    memory = reopen(by_meaning_awaited)
    if isinstance(memory, AsyncMemory):
        await memory.remember("Ada has green tea", id="tea")
        assert ids(await memory.recall("beverage")) == ["tea"]
    else:
        with pytest.raises(ConfigurationError, match="asynchronous"):
            await memory.remember("Ada has green tea")


@pytest.mark.parametrize(
    ("embed", "says"),
    [
        ("word2vec:x", "fastembed or openai"),
        ("openai", "PROVIDER:MODEL"),
        (3, "must be a function"),
    ],
)
def test_an_embedder_that_is_none_is_refused(embed: Any, says: str) -> None:
    for client in (Memory, AsyncMemory):
        with pytest.raises(ConfigurationError, match=says):
            client("n", url="sqlite:///:memory:", embed=embed)


def test_a_provider_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastembed", None)
    with Memory("n", url="sqlite:///:memory:", embed="fastembed:small") as memory:
        with pytest.raises(ConfigurationError, match=r'pip install "botwire-core\[fastembed\]"'):
            memory.remember("Ada has green tea")
        assert memory.records().count() == 0


def test_embedders_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    class Vector(list[float]):
        def tolist(self) -> list[float]:
            return list(self)

    class TextEmbedding:
        def __init__(self, *, model_name: str) -> None:
            assert model_name == "BAAI/small:1"

        def embed(self, texts: list[str]) -> Any:
            return iter([Vector(vector) for vector in by_meaning(texts)])

    class OpenAI:
        embeddings: Any

        def __init__(self) -> None:
            self.embeddings = self

        def create(self, *, model: str, input: list[str]) -> Any:  # noqa: A002 - its name there
            assert model == "small"
            data = [types.SimpleNamespace(embedding=vector) for vector in by_meaning(input)]
            return types.SimpleNamespace(data=data)

    fastembed = types.SimpleNamespace(TextEmbedding=TextEmbedding)
    monkeypatch.setitem(sys.modules, "fastembed", fastembed)
    monkeypatch.setitem(sys.modules, "openai", types.SimpleNamespace(OpenAI=OpenAI))
    for name in ("fastembed:BAAI/small:1", "openai:small"):
        with Memory("n", url="sqlite:///:memory:", embed=name) as memory:
            memory.remember("Ada has green tea")
            memory.remember("Bob rides a bike")
            assert memory.recall("beverage")[0].text == "Ada has green tea"
            assert memory["$botwire/embedder/default"] == name
