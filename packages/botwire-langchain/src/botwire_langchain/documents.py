"""Documents to records and back, filters of LangChain to ours, and a varied choice of matches."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

from langchain_core.documents import Document

from botwire import ConfigurationError, EmbedderMismatchError, Record
from botwire.arguments import check_mapping, check_type
from botwire.client.encoding import encode_each, encode_list
from botwire.filters import compile_filter
from botwire.matching import Test
from botwire.names import check_id, shown
from botwire.splitting import latest
from botwire.tagged import from_json, to_json
from botwire.vectors import Vector

Filter = Mapping[str, Any] | Callable[[Document], bool]
"""A condition on metadata, or a function that returns whether a document passes."""

_ORDERS = ("$gt", "$gte", "$lt", "$lte")


def to_records(
    texts: Iterable[str],
    metadatas: Iterable[Mapping[str, Any]] | None,
    ids: Iterable[str | None] | None,
) -> list[Record]:
    """Returns the records of texts, without embeddings.

    Raises:
        ConfigurationError: An argument is not valid, or the lists differ in length.
        NotJSONError: Metadata would not come back as it was; the message says where.
    """
    given = encode_each(texts, str, "texts")
    # LangChain takes empty lists to mean none.
    some_metadatas = encode_list(metadatas or (), "metadatas", "dicts")
    some_ids = encode_list(ids or (), "ids")
    for listed, what in ((some_metadatas, "metadatas"), (some_ids, "ids")):
        if listed and len(listed) != len(given):
            raise ConfigurationError(
                f"{len(given)} texts were given with {len(listed)} {what}: give one per text"
            )
    records = []
    for i, text in enumerate(given):
        path = f"metadatas[{i}]"
        metadata = some_metadatas[i] if some_metadatas else None
        stored = to_json(dict(check_mapping(metadata or {}, path)), path)
        id_ = (some_ids[i] if some_ids else None) or uuid4().hex
        records.append(Record(text, check_id(id_), stored))
    return records


def embedded(records: Sequence[Record], vectors: Sequence[Sequence[float]]) -> list[Record]:
    """Returns records with their embeddings; of several with the same id, the last.

    Raises:
        ConfigurationError: There is not one vector of numbers per record, or they differ in
            dimension.
    """
    given = encode_list(vectors, "what the embedding model returned", "vectors")
    read = [Vector.of(one, f"the embedding of texts[{i}]").values for i, one in enumerate(given)]
    dimensions = sorted({len(vector) for vector in read})
    if len(read) != len(records) or len(dimensions) > 1:
        raise ConfigurationError(
            f"the embedding model returned {len(read)} vectors of dimension "
            f"{' and '.join(map(str, dimensions))} for {len(records)} texts: it must return one "
            "per text, all of one dimension"
        )
    pairs = zip(records, read, strict=True)
    return latest(replace(record, embedding=vector) for record, vector in pairs)


def check_dimension(
    collection: str, stored: int | None, vectors: Sequence[Sequence[float]]
) -> None:
    """Raises `EmbedderMismatchError` if vectors have another dimension than the stored ones."""
    given = len(vectors[0])
    if stored not in (None, given):
        raise EmbedderMismatchError(
            f"the documents of collection {collection!r:.80} have embeddings of dimension "
            f"{stored}, and this one has dimension {given}: use the model that made them, another "
            "collection, or clear() this one"
        )


def to_document(record: Record) -> Document:
    """Returns the document of a record."""
    metadata = from_json(dict(record.metadata))
    return Document(id=record.id, page_content=record.text, metadata=metadata)


def to_filter(given: Filter | None) -> tuple[dict[str, Any] | None, Test | None]:
    """Returns a BotWire filter and a further test that records must pass, each None if unneeded.

    Raises:
        ConfigurationError: It is no filter, or an operator is not known.
    """
    if given is None:
        return None, None
    if callable(given):
        passes = given
        return None, lambda record: bool(passes(to_document(record)))
    check_type(given, Mapping, "filter", "a dict, or a function of a document")
    condition = _translated(given, "filter")
    compile_filter(condition)
    return condition, None


def _translated(condition: Mapping[Any, Any], path: str) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for name, part in condition.items():
        where = f"{path}[{shown(name, 60)}]"
        if name in ("$and", "$or") and isinstance(part, (list, tuple)):
            found[name] = [
                _translated(one, f"{where}[{i}]") if isinstance(one, Mapping) else one
                for i, one in enumerate(part)
            ]
        elif name == "$not" and isinstance(part, Mapping):
            found[name] = _translated(part, where)
        elif str(name).startswith("$"):
            found[name] = part
        else:
            found[name] = _operators(part, where)
    return found


def _operators(part: Any, path: str) -> dict[str, Any]:
    """Returns the condition on a field: operators, or a value that it must equal."""
    if not (isinstance(part, Mapping) and any(str(name).startswith("$") for name in part)):
        return {"$eq": to_json(part, path)}
    found: dict[str, Any] = {}
    for name, operand in part.items():
        where = f"{path}[{shown(name, 60)}]"
        if name == "$between":
            if not isinstance(operand, (list, tuple)) or len(operand) != 2:
                raise ConfigurationError(f"{where} must be the lowest and the highest value")
            if found.keys() & {"$gte", "$lte"} or part.keys() & {"$gte", "$lte"}:
                raise ConfigurationError(f"{path} has $between: leave out $gte and $lte")
            low, high = operand
            found["$gte"], found["$lte"] = _ordered(low, where), _ordered(high, where)
        elif name in _ORDERS:
            found[name] = _ordered(operand, where)
        elif name in ("$in", "$nin") and isinstance(operand, (list, tuple, set, frozenset)):
            found[name] = [to_json(one, where) for one in operand]
        elif name in ("$eq", "$ne"):
            found[name] = to_json(operand, where)
        elif name == "$not":
            found[name] = _operators(operand, where)
        else:
            found[name] = operand
    return found


def _ordered(operand: Any, path: str) -> Any:
    if isinstance(operand, bool) or not isinstance(operand, (int, float, str)):
        raise ConfigurationError(
            f"{path} compares numbers or texts, not {type(operand).__name__}: store a time as a "
            "number, or as text in ISO 8601"
        )
    return operand


def diverse(
    query: Sequence[float], vectors: Sequence[Sequence[float]], k: int, lambda_mult: float
) -> list[int]:
    """Returns the indexes of vectors that are near a query and far from one another.

    This is maximal marginal relevance, as in LangChain: the similarity to the query, weighted with
    `lambda_mult`, minus the greatest similarity to those already chosen, weighted with the rest.
    """
    unit = [_unit(vector) for vector in vectors]
    wanted = _unit(query)
    near = [_dot(wanted, vector) for vector in unit]
    redundant = [0.0] * len(unit)
    left = list(range(len(unit)))
    chosen: list[int] = []
    while left and len(chosen) < k:
        factor = lambda_mult if chosen else 1.0
        best = max(left, key=lambda i: factor * near[i] - (1 - factor) * redundant[i])
        left.remove(best)
        for i in left:
            similar = _dot(unit[i], unit[best])
            redundant[i] = max(redundant[i], similar) if chosen else similar
        chosen.append(best)
    return chosen


def _unit(vector: Sequence[float]) -> list[float]:
    length = math.sqrt(_dot(vector, vector))
    return [number / length for number in vector] if length else [0.0] * len(vector)


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return math.fsum(map(operator.mul, one, other))
