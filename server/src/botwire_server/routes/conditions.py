"""Conditional requests (RFC 9110, section 13): an ETag is the version of a key or a record.

On a read, ``If-None-Match`` saves the body (304). On a write, a condition that does not hold is
answered with 412; the same condition in the body or the query (``if_version``, ``if_last``) with
409. Both are the problem ``conflict``. Writes that cannot be conditional refuse these headers:
ignoring them would overwrite someone's data silently.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from fastapi import Request, Response

from botwire.errors import ConflictError, InvalidRequestError
from botwire_server.bodies import PACKED_TAG
from botwire_server.problems import Responses, describe_as
from botwire_server.routes.describing import answers_with

_ONE = r'\s*(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"\s*'
_TAGS = re.compile(f"{_ONE}(?:,{_ONE})*")
_TAG = re.compile(r'(W/)?"([^"]*)"')
_HEADER = r'^(\*|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*)$'

NEVER = 2**63 - 1
"""A version that nothing ever has."""

HEADERS: list[dict[str, Any]] = [
    {
        "name": "If-Match",
        "in": "header",
        "description": "Only if the ETag is this one; `*`: only if it exists.",
        "schema": {"type": "string", "pattern": _HEADER, "examples": ['"7"']},
    },
    {
        "name": "If-None-Match",
        "in": "header",
        "description": "Only if the ETag differs; `*`: only if it does not exist.",
        "schema": {"type": "string", "pattern": _HEADER, "examples": ["*"]},
    },
]
"""The description of these headers, for routes that accept them."""
FAILED = describe_as(412, ConflictError, "The condition does not hold")
UNMODIFIED: Responses = {304: {"description": "You have the current version."}}
VERSION: Responses = answers_with(
    {
        "type": "object",
        "properties": {"version": {"type": "integer", "minimum": 1}},
        "required": ["version"],
    },
    {"version": 7},
)


class Conditions(NamedTuple):
    """Versions that the current one must and must not be; None: no condition, ``"*"``: any."""

    match: frozenset[str] | None
    none_match: frozenset[str] | None

    def match_holds(self, version: int) -> bool:
        """Returns whether the condition of If-Match holds for a version."""
        return self.match is None or _names(self.match, version)

    def hold(self, version: int) -> bool:
        """Returns whether the conditions hold for a version; 0: it does not exist."""
        if self.none_match is not None and _names(self.none_match, version):
            return False
        return self.match_holds(version)


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
    # Weak tags never match in If-Match (section 13.1.1).
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
        raise InvalidRequestError(f'{name} must be * or a list of entity tags such as "7"')
    ending = PACKED_TAG.decode()
    return frozenset(
        tag.removesuffix(ending) for is_weak, tag in _TAG.findall(text) if weak or not is_weak
    )


def refuse_conditions(request: Request) -> None:
    """Raises `InvalidRequestError` if a request that cannot be conditional has conditions."""
    if read_conditions(request) is not None:
        raise InvalidRequestError(
            "this request cannot be conditional: omit If-Match and If-None-Match"
        )


def failed(version: int) -> ConflictError:
    """Returns the error for conditions that do not hold for the current version."""
    found = f'the ETag is "{version}"' if version else "it does not exist"
    return ConflictError(f"the condition does not hold, as {found}: read it again", status=412)


def tagged(response: Response, version: int) -> Response:
    """Returns the response with the version as its ETag."""
    response.headers["ETag"] = f'"{version}"'
    return response


def answer_version(version: int) -> Response:
    """Returns the new version of what was written, which is also its new ETag."""
    return tagged(Response(f'{{"version":{version}}}', media_type="application/json"), version)
