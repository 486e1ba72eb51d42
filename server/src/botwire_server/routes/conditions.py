"""Conditional requests (RFC 9110, section 13): an ETag is the version of a key or a record.

On a read, ``If-None-Match`` saves the body (304). On a write, a condition that does not hold is
412; the same condition said in the body or the query (``if_version``, ``if_last``) is 409. Both
are the problem ``conflict``. A write that cannot be made conditional refuses these headers: to
ignore them would overwrite somebody in silence.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from fastapi import Request, Response

from botwire import operations as ops
from botwire.errors import ConflictError, InvalidRequestError
from botwire_server.bodies import PACKED_TAG
from botwire_server.problems import Responses, describe_as
from botwire_server.routes.parts import answers_with

_ONE = r'\s*(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"\s*'
_TAGS = re.compile(f"{_ONE}(?:,{_ONE})*")
_TAG = re.compile(r'(W/)?"([^"]*)"')
_HEADER = r'^(\*|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*)$'
_NEVER = 2**63 - 1  # no key ever has this version
_ATTEMPTS = 100

HEADERS: list[dict[str, Any]] = [
    {
        "name": "If-Match",
        "in": "header",
        "description": "Only if it has this ETag; `*`: only if it is there.",
        "schema": {"type": "string", "pattern": _HEADER, "examples": ['"7"']},
    },
    {
        "name": "If-None-Match",
        "in": "header",
        "description": "Only if it has not this ETag; `*`: only if it is not there.",
        "schema": {"type": "string", "pattern": _HEADER, "examples": ["*"]},
    },
]
"""How a route that takes conditions describes them."""
FAILED = describe_as(412, ConflictError, "The condition does not hold")
UNMODIFIED: Responses = {304: {"description": "You have this version."}}
VERSION: Responses = answers_with(
    {
        "type": "object",
        "properties": {"version": {"type": "integer", "minimum": 1}},
        "required": ["version"],
    },
    {"version": 7},
)


class Conditions(NamedTuple):
    """What the present version must be, and must not be; None is no condition, ``"*"`` any."""

    match: frozenset[str] | None
    none_match: frozenset[str] | None

    def hold(self, version: int) -> bool:
        """Says whether they hold for a version; 0 is that of what is not there."""
        if self.match is not None and not _names(self.match, version):
            return False
        return self.none_match is None or not _names(self.none_match, version)


def _names(tags: frozenset[str], version: int) -> bool:
    return version > 0 and ("*" in tags or str(version) in tags)


def read_conditions(request: Request) -> Conditions | None:
    """Returns the conditions of a request, or None if it has none.

    Raises:
        InvalidRequestError: A header is not a list of entity tags.
    """
    match = request.headers.get("if-match")
    none_match = request.headers.get("if-none-match")
    if match is None and none_match is None:
        return None
    # A weak tag never matches where a write depends on it (section 13.1.1).
    return Conditions(
        _read_tags("If-Match", match, weak=False),
        _read_tags("If-None-Match", none_match, weak=True),
    )


def _read_tags(name: str, text: str | None, *, weak: bool) -> frozenset[str] | None:
    if text is None:
        return None
    if text.strip() == "*":
        return frozenset("*")
    if not _TAGS.fullmatch(text):
        raise InvalidRequestError(f'{name} is * or a list of entity tags such as "7"')
    ending = PACKED_TAG.decode()
    return frozenset(
        tag.removesuffix(ending) for is_weak, tag in _TAG.findall(text) if weak or not is_weak
    )


def refuse_conditions(request: Request) -> None:
    """Refuses conditions on a write that cannot depend on them."""
    if read_conditions(request) is not None:
        raise InvalidRequestError(
            "this request cannot be conditional: send it without If-Match and If-None-Match"
        )


def tagged(response: Response, version: int) -> Response:
    """Returns the response with the version as its ETag."""
    response.headers["ETag"] = f'"{version}"'
    return response


def answer_version(version: int) -> Response:
    """Answers the new version of what was written, which is its new ETag too."""
    return tagged(Response(f'{{"version":{version}}}', media_type="application/json"), version)


def answer_read(request: Request, version: int, response: Response) -> Response:
    """Answers a read of something that is there, or 304 if the caller has this version."""
    conditions = read_conditions(request)
    if conditions is not None and not conditions.hold(version):
        if conditions.match is not None and not _names(conditions.match, version):
            raise _failed(version)
        return tagged(Response(status_code=304), version)
    return tagged(response, version)


async def apply_write(
    request: Request,
    apply: Callable[[ops.AnyOperation], Awaitable[Any]],
    make: Callable[[int | None], ops.AnyOperation],
    current: Callable[[], Awaitable[int]],
) -> Any:
    """Applies a write under the conditions of its request.

    Args:
        request: The request.
        apply: Applies an operation.
        make: Makes the operation, given the version that it must find; None is any.
        current: Reads the present version; 0 if there is none.

    Returns:
        What the operation answers.

    Raises:
        ConflictError: They do not hold; of status 412.
    """
    conditions = read_conditions(request)
    if conditions is None:
        return await apply(make(None))
    for _ in range(_ATTEMPTS):
        version = await current()
        holds = conditions.hold(version)
        try:
            # The engine decides in any case: a request that is sent again is answered from its
            # records, although its conditions, which held, no longer do.
            return await apply(make(version if holds else _NEVER))
        except ConflictError:
            if not holds:
                raise _failed(version) from None
    raise _failed(version)


def _failed(version: int) -> ConflictError:
    found = f'its ETag is "{version}"' if version else "there is none"
    return ConflictError(f"the condition does not hold: {found}; read it again", status=412)
