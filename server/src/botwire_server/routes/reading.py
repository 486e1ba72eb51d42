"""What routes share: reading bodies, filters and idempotency keys."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import Request
from starlette.types import Scope

from botwire import names, pieces, wire
from botwire import operations as ops
from botwire.errors import InvalidRequestError, NotJSONError
from botwire_server.request_work import AT_ONCE, by_turns
from botwire_server.scopes import HEADERS

T = TypeVar("T")

REQUEST_ID = "[ -~]*[!-~][ -~]*"
"""The pattern of an `Idempotency-Key`, for the check and for the description."""
_REQUEST_ID = re.compile(REQUEST_ID)
_ID_HEADER = wire.IDEMPOTENCY_HEADER.lower().encode()


async def when_short(scope: Scope, size: int, call: Callable[[], T]) -> T:
    """Runs a function at once if it is short, else in a thread when it is the caller's turn.

    Args:
        scope: The scope of the request.
        size: The approximate number of bytes that the function processes.
        call: The function.
    """
    return call() if size <= AT_ONCE else await by_turns(scope, call)


async def read_json(request: Request) -> Any:
    """Returns the decoded body of a request; large values in it are `botwire.exact.Json`.

    Raises:
        InvalidRequestError: The body is not JSON.
    """
    body = await request.body()
    return await when_short(request.scope, len(body), lambda: decode_json(body))


def decode_filter(given: str | None) -> Any:
    """Returns the filter in a query as decoded JSON; None if there is none."""
    return given and decode_json(given.encode("utf-8", "surrogatepass"), "the filter")


def decode_json(body: bytes, what: str = "the body") -> Any:
    """Returns decoded JSON.

    Args:
        body: The text in UTF-8.
        what: Its name in errors.

    Raises:
        InvalidRequestError: The text is not JSON.
    """
    try:
        return pieces.decode(body.decode())
    except NotJSONError as error:
        raise InvalidRequestError(str(error)) from None
    except RecursionError:
        raise InvalidRequestError(f"{what} is nested too deeply") from None
    except UnicodeDecodeError as error:
        why = f"it is not UTF-8 at byte {error.start}"
    except json.JSONDecodeError as error:
        why = str(error)
    except ValueError as error:
        # Python's limit of digits (sys.set_int_max_str_digits), NaN, or a repeated key.
        is_long = "digits" in str(error) and not isinstance(error, pieces.DuplicateKeyError)
        why = "an integer has too many digits" if is_long else str(error)
    raise InvalidRequestError(f"{what} is not JSON: {why}")


async def read_object(request: Request, *, optional: bool = False) -> dict[str, Any]:
    """Returns the body, which must be an object; an empty one if the body is optional and empty."""
    if optional and not await request.body():
        return {}
    body = await read_json(request)
    if not isinstance(body, dict):
        raise InvalidRequestError("the body must be an object")
    return body


async def read_operation(
    request: Request, op: str, *, optional: bool = False, **fields: Any
) -> ops.AnyOperation:
    """Returns an operation with the fields of the body and those given elsewhere."""
    body = await read_object(request, optional=optional)
    size = len(await request.body())
    return await when_short(request.scope, size, lambda: make_operation(op, fields, body))


def make_operation(op: str, fields: dict[str, Any], body: dict[str, Any]) -> ops.AnyOperation:
    """Returns an operation with the fields of a body and those given elsewhere."""
    taken = {"op", *fields} & body.keys()
    if taken:
        raise InvalidRequestError(f"the body must not contain {min(taken)!r}: it is set elsewhere")
    return wire.decode_operation({"op": op, **fields, **body}, "the body")


def idempotency_id(scope: Scope) -> str | None:
    """Returns the id under which a write can be retried, or None."""
    header = scope[HEADERS].get(_ID_HEADER)
    if header is None:
        return None
    given = header.decode("latin-1")
    if not _REQUEST_ID.fullmatch(given):
        raise InvalidRequestError(
            f"the {wire.IDEMPOTENCY_HEADER} must be printable ASCII characters, and not blank"
        )
    return names.check_id(given)


def digest(scope: Scope, body: bytes) -> str:
    """Returns a hash of everything that determines what a request does."""
    headers = scope[HEADERS]
    parts = (
        body,
        scope["method"].encode(),
        scope["path"].encode(),
        scope["query_string"],
        headers.get(b"content-type", b""),
        headers.get(b"if-match", b""),
        headers.get(b"if-none-match", b""),
        headers.get(wire.AUTHOR_HEADER.lower().encode(), b""),
    )
    return hashlib.blake2b(b"\0".join(parts), digest_size=16).hexdigest()
