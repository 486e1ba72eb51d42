"""The recall debugger: which memories an agent would get for a question, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from starlette.responses import Response

from botwire import operations as ops
from botwire.embedders import Embedder
from botwire.errors import ConfigurationError, InvalidRequestError, NotFoundError
from botwire.models import Recall, plain
from botwire.vectors import Vector
from botwire_console.recalling import DEFAULT_LIMIT, Question, judge, read_vector
from botwire_console.recipes import batch_recipe, recipe
from botwire_console.views.memories import DEFAULT, collection_of
from botwire_console.visit import Recipe, Visit

_EMBEDDER = "$botwire/embedder/"  # the prefix of the key that names a collection's embedder


async def show(visit: Visit) -> Response:
    """Shows what a question recalls, with the scores of words and vectors."""
    namespace, collection = visit.namespace, collection_of(visit)
    limit, most = visit.number("limit"), visit.number("max_chars")
    try:
        question = Question.of(visit.query, limit, most)
        vector = await _vector(visit, collection)
        context = await _answer(visit, question, collection, vector)
        error = None
    except (ConfigurationError, InvalidRequestError, NotFoundError) as caught:
        context, error = {"asked": False}, caught
    return await visit.page(
        "recall.html",
        status=422 if error else 200,
        ns=namespace,
        c=collection,
        default=DEFAULT_LIMIT,
        error=error,
        recipe=_recipe(visit, namespace, collection),
        **context,
    )


async def _answer(
    visit: Visit, question: Question, collection: str, vector: Vector | None
) -> dict[str, Any]:
    namespace = visit.namespace
    searches = question.searches(collection, vector)
    stats = (ops.StatRecords(collection), ops.StatRecords(collection, question.where))
    key = ops.GetKeys((_EMBEDDER + collection,))
    ((entry,), everything, selected), results = (
        await visit.apply_all(namespace, key, *stats),
        await visit.apply_all(namespace, *searches.values()) if searches else [],
    )
    found = dict(zip(searches, results, strict=True))
    name = None if entry is None else plain(entry.value)
    recalled = None
    if collection == DEFAULT and (vector is None or isinstance(name, str)):
        recalled = await _recall(visit, question, vector, name)
        given: Sequence[str] = [record.id for record in recalled.records]
    elif searches:
        first = searches["both"]
        (matches,) = await visit.apply_all(
            namespace,
            ops.SearchRecords(
                collection, first.vector, first.text, question.where, question.limit,
                embeddings=False,
            ),
        )  # fmt: skip
        given = [match.record.id for match in matches]
    else:
        given = []
    return {
        "asked": bool(searches) or "q" in visit.query,
        "embedder": name if isinstance(name, str) else None,
        "everything": everything,
        "selected": selected,
        "recalled": recalled,
        "has_vector": vector is not None,
        "candidates": judge(question, found, given) if searches else [],
        "question": asdict(question),
    }


async def _recall(visit: Visit, question: Question, vector: Vector | None, name: object) -> Recall:
    """Returns exactly what `memory.recall` would return to an agent."""
    embedder: Embedder | None = None
    if vector is not None:
        numbers = vector.values

        def embedder(texts: list[str]) -> list[list[float]]:
            return [numbers for _ in texts]

        embedder.embedder_name = name  # type: ignore[attr-defined] # as the collection knows it
    memory = visit.memory(visit.namespace, embedder)
    return await memory.recall(
        question.query or None,
        about=question.about,
        tags=question.tags,
        since=question.since,
        limit=question.limit,
        max_chars=question.max_chars,
    )


async def _vector(visit: Visit, collection: str) -> Vector | None:
    """Returns the vector of the question: the given one, or that of a memory."""
    like = visit.query.get("like", "")
    if not like:
        return await visit.work(lambda: read_vector(visit.query.get("vector", "")))
    (entry,) = await visit.apply(visit.namespace, ops.GetRecords(collection, (like,)))
    if entry is None or entry.embedding is None:
        raise NotFoundError(f"there is no memory {like!r:.80} with an embedding")
    vector: Vector = entry.embedding
    return vector


def _recipe(visit: Visit, namespace: str, collection: str) -> Recipe:
    search = ops.SearchRecords(
        collection, text=visit.query.get("q", ""), limit=DEFAULT_LIMIT, embeddings=False
    )
    shell = batch_recipe(visit, namespace, search, "")
    return Recipe(shell.curl, recipe(visit, namespace, "", _call(visit)).python)


def _call(visit: Visit) -> str:
    given = [repr(visit.query.get("q", ""))]
    given += [
        f"{name}={value if name != 'about' else repr(value)}"
        for name in ("about", "limit", "max_chars")
        if (value := visit.query.get(name))
    ]
    if tags := visit.query.get("tags"):
        given.append(f"tags={[tag.strip() for tag in tags.split(',')]!r}")
    return f"print(memory.recall({', '.join(given)}))"
