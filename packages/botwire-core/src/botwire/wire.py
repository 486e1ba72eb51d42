"""Encodes batches and their results as JSON, and decodes them, for client and server.

A batch is ``{"namespace": …, "operations": [{"op": "put_key", "key": …, "value": …}, …]}``, its
answer ``{"results": […]}``. An operation has the fields of its class; an omitted field has its
default. A stored value is spliced into the text without being decoded or encoded. Bytes are sent as
base64 under ``bytes`` instead of ``value``, times as ISO 8601 in UTC.

A client that accepts `APART` gets the items of histories in a form that takes half as long to write
and to read: their values are not decoded, and may never be.

Results are recorded in the same form, to answer a retried request (see `Batch.idempotency_id`).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from botwire import operations as ops
from botwire import work
from botwire.errors import (
    ConfigurationError,
    InvalidRequestError,
    PayloadTooLargeError,
    ProtocolError,
)
from botwire.exact import Json
from botwire.operations.annotations import field_of
from botwire.operations.authors import Author
from botwire.operations.codecs import Codec, MismatchError, quote

BATCH_PATH = "/v1/batch"
"""The path to which clients post batches."""
CHANNEL_PATH = "/v1/channel"
"""The path of the WebSocket over which clients send batches."""
IDEMPOTENCY_HEADER = "Idempotency-Key"
"""The header that carries `Batch.idempotency_id` (draft-ietf-httpapi-idempotency-key-header)."""
AUTHOR_HEADER = "BotWire-Author"
"""The header in which a client of the REST routes names its author: a name, or `Author` as JSON."""
REQUEST_ID_HEADER = "X-Request-ID"
"""The header with the server's id of a request, which also appears in its logs."""
APART = "application/vnd.botwire.apart"
"""The media type of an answer that has the values of items apart; see `encode_apart`."""

_codecs: dict[type[Any], Codec] = {}


def codec_of(cls: type[Any]) -> Codec:
    """Returns the codec of a result class, such as an entry, an item or a page."""
    if cls not in _codecs:
        _codecs[cls] = field_of(cls).codec
    return _codecs[cls]


def operation_name(operation: ops.AnyOperation) -> str:
    """Returns an operation's name on the wire, for example ``put_key``."""
    return ops.declaration_of(operation).name


def encode_batch(batch: ops.Batch) -> str:
    """Returns the request body for a batch."""
    texts = [ops.declaration_of(operation).encode(operation) for operation in batch.operations]
    author = "" if not batch.author else f'"author":{codec_of(Author).encode(batch.author)},'
    at = "" if batch.at is None else f'"at":{codec_of(ops.Moment).encode(batch.at)},'
    return f'{{"namespace":{quote(batch.namespace)},{author}{at}"operations":[{",".join(texts)}]}}'


def decode_batch(
    document: object,
    idempotency_id: str | None = None,
    digest: str | None = None,
    *,
    most: int | None = None,
) -> ops.Batch:
    """Decodes and validates a request body written by `encode_batch`.

    Args:
        document: The body, decoded by `json.loads`.
        idempotency_id: The value of the `IDEMPOTENCY_HEADER`, if given.
        digest: The digest of the request; see `Batch.digest`.
        most: How many operations are allowed; None: any number.

    Raises:
        InvalidRequestError: The body is not a batch; the detail says where and why.
        PayloadTooLargeError: The batch has too many operations.
    """
    body = _object(document, "the body", ("namespace", "operations"), ("author", "at"))
    author = None if body.get("author") is None else decode_author(body["author"])
    at = None
    if body.get("at") is not None:
        at = _strictly(codec_of(ops.Moment).decode, body["at"], "at")
    listed = body["operations"]
    if not isinstance(listed, list):
        raise InvalidRequestError("operations must be a list")
    if most is not None and len(listed) > most:
        raise PayloadTooLargeError(
            f"a batch may have at most {most} operations here, and this one has {len(listed)}: "
            "split it"
        )
    decoded = tuple(_decode_each(listed))
    try:
        return ops.Batch(body["namespace"], decoded, idempotency_id, digest, author=author, at=at)
    except ConfigurationError as error:
        raise InvalidRequestError(str(error)) from None


def decode_author(document: object, where: str = "author") -> Author | None:
    """Decodes and validates the author that a client sends; a string is an agent's name.

    Args:
        document: The decoded JSON.
        where: The name of the document in errors.

    Raises:
        InvalidRequestError: It is not an author, or it names an API key, which only a server may
            do.
    """
    try:
        if isinstance(document, str):
            return ops.read_author(document)
        author: Author = _strictly(codec_of(Author).decode, document, where)
        return ops.read_author(author)
    except ConfigurationError as error:
        raise InvalidRequestError(f"{where}: {error}") from None


def _decode_each(listed: Sequence[object]) -> Iterator[ops.AnyOperation]:
    for i, part in enumerate(listed):
        work.look()
        yield decode_operation(part, f"operations[{i}]")


def decode_operation(document: object, where: str) -> ops.AnyOperation:
    """Decodes and validates one operation.

    Args:
        document: The decoded object, with the operation's name under ``op``.
        where: The name of the object in errors.

    Raises:
        InvalidRequestError: The object is not an operation; the detail says where and why.
    """
    if not isinstance(document, dict):
        raise InvalidRequestError(f"{where} must be an object")
    name = document.get("op")
    declaration = ops.OPERATIONS.get(name) if isinstance(name, str) else None
    if declaration is None:
        known = difflib.get_close_matches(str(name)[:60], ops.OPERATIONS, 3) or ["put_key"]
        raise InvalidRequestError(
            f"{where}.op must be the name of an operation, such as {' or '.join(known)}, not "
            f"{name!r:.60}: /openapi.json describes all of them"
        )
    given = {name: part for name, part in document.items() if name != "op"}
    decoded: ops.AnyOperation = _strictly(declaration.decode, given, where)
    return decoded


def decode_stored(make: type[Any], document: object) -> Any:
    """Decodes and validates an object that the codec of its class wrote.

    Raises:
        InvalidRequestError: The document is not such an object; the detail says why.
    """
    return _strictly(codec_of(make).decode, document, "it")


def _strictly(decode: Callable[[Any, str | None], Any], document: object, where: str) -> Any:
    try:
        return decode(document, where)
    except MismatchError as bad:
        status = 422 if bad.too_complex else None
        raise InvalidRequestError(str(bad), status=status) from None


def encode_results(
    operations: Sequence[ops.AnyOperation], results: ops.Results, digest: str | None = None
) -> str:
    """Returns the response body for a batch.

    Args:
        operations: The batch's operations.
        results: The result of each operation.
        digest: The batch's digest (see `Batch.digest`), to record it with the results.
    """
    texts = [
        ops.declaration_of(operation).result.encode(result)
        for operation, result in zip(operations, results, strict=True)
    ]
    of = "" if digest is None else f'"digest":"{digest}",'
    return f'{{{of}"results":[{",".join(texts)}]}}'


def encode_apart(operations: Sequence[ops.AnyOperation], results: ops.Results) -> str:
    """Returns the response body for a batch, with the values of items apart; see `APART`.

    Its first line is like the body of `encode_results`, except that an item of `ReadHistory` is a
    list: number, id, size of the value, time in microseconds, version, and the index of the author
    among the `authors` of the page. The values follow, one directly after the other.
    """
    values: list[str] = []
    texts = [
        _encode_page(result, values)
        if isinstance(operation, ops.ReadHistory)
        else ops.declaration_of(operation).result.encode(result)
        for operation, result in zip(operations, results, strict=True)
    ]
    return f'{{"results":[{",".join(texts)}]}}\n{"".join(values)}'


def _encode_page(page: ops.ItemPage, values: list[str]) -> str:
    authors: dict[Author, int] = {}
    items = []
    for seq, id, value, created_at, version, author in page.items:
        text = value.text
        values.append(text)
        name = "null" if id is None else quote(id)
        by = "null" if author is None else authors.setdefault(author, len(authors))
        items.append(f"[{seq},{name},{len(text)},{created_at},{version},{by}]")
    more = "true" if page.more else "false"
    listed = ",".join(map(codec_of(Author).encode, authors))
    return f'{{"items":[{",".join(items)}],"more":{more},"authors":[{listed}]}}'


def decode_results(
    operations: Sequence[ops.AnyOperation], document: object, values: str | None = None
) -> ops.Results:
    """Decodes a response body written by `encode_results` or `encode_apart`.

    Args:
        operations: The batch's operations.
        document: The body, decoded; of `encode_apart`, the first line.
        values: What follows that line; None if the body is one of `encode_results`.

    Raises:
        ProtocolError: The body is not the answer to these operations.
    """
    results = document.get("results") if isinstance(document, dict) else None
    if not isinstance(results, list) or len(results) != len(operations):
        raise ProtocolError("the answer does not have one result per operation")
    decoded: list[Any] = []
    at = 0
    for i, (operation, part) in enumerate(zip(operations, results, strict=True)):
        try:
            if values is not None and isinstance(operation, ops.ReadHistory):
                page, at = _decode_page(part, values, at)
                decoded.append(page)
            else:
                decoded.append(ops.declaration_of(operation).result.decode(part, None))
        except (MismatchError, ConfigurationError) as bad:
            raise ProtocolError(f"results[{i}] of the answer must be or hold {bad}") from None
    return decoded


def _decode_page(part: Any, values: str, at: int) -> tuple[ops.ItemPage, int]:
    """Returns a page whose first value begins at a position, and where its last one ends."""
    items = []
    try:
        authors = [codec_of(Author).decode(author, None) for author in part["authors"]]
        for seq, id, size, created_at, version, by in part["items"]:
            value = Json.from_text(values[at : at + size])
            author = None if by is None else authors[by]
            items.append(ops.HistoryItem(seq, id, value, created_at, version, author))
            at += size
        more = part["more"]
    except (LookupError, TypeError, ValueError):
        at = len(values) + 1
    if at > len(values):
        raise MismatchError("a page of items, with their values apart")
    return ops.ItemPage(tuple(items), more), at


def _object(
    document: object, where: str, fields: tuple[str, ...], optional: tuple[str, ...]
) -> dict[str, Any]:
    if not isinstance(document, dict) or document.keys() - set(optional) != set(fields):
        raise InvalidRequestError(
            f"{where} must be an object with {' and '.join(fields)}, and perhaps "
            f"{' and '.join(optional)}"
        )
    return document
