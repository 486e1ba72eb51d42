"""Editing a JSON value under its version, so that no one's change is silently overwritten."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, NoReturn

from botwire.clock import seconds_left, to_datetime
from botwire.errors import APIError, BotWireError, InvalidRequestError
from botwire.exact import Json
from botwire.operations import Author
from botwire_console.rendering import show
from botwire_console.visit import whole
from botwire_server import problems

MOST_EDITED = 200_000
"""The longest JSON text, in characters, that is shown and edited in a page."""

UNCHANGED: Mapping[str, Any] = {
    "conflict": False,
    "draft": None,
    "error": None,
    "lines": (),
    "saved": None,
}
"""What an editor's template gets before anything was submitted."""

_DIFFERING = 2000  # lines of each text to compare


@dataclass(frozen=True)
class Draft:
    """A value that someone wants to store.

    Attributes:
        text: The JSON text.
        version: The version it replaces; 0 if it is new.
        keeping: What to do with the expiry: ``keep``, ``never`` or ``seconds``.
        seconds: Seconds until it expires, if `keeping` is ``seconds``.
    """

    text: str
    version: int
    keeping: str = "keep"
    seconds: int | None = None

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> Draft:
        """Reads the fields of the form."""
        version = whole(fields.get("version", ""), "version")
        if version is None:
            raise InvalidRequestError("the form lacks the version: open the page again")
        seconds = whole(fields.get("seconds", ""), "the seconds")
        return cls(fields.get("value", ""), version, fields.get("keeping", "keep"), seconds)

    def decode(self) -> Json:
        """Returns the value.

        Raises:
            InvalidRequestError: It is not JSON; the message says where.
        """
        try:
            value = json.loads(self.text, parse_constant=_refuse, object_pairs_hook=_unique)
        except json.JSONDecodeError as error:
            raise InvalidRequestError(
                f"this is not JSON: line {error.lineno}, column {error.colno}: {error.msg}"
            ) from None
        except (ValueError, RecursionError) as error:
            raise InvalidRequestError(f"this is not JSON: {error}") from None
        return Json.of(value)

    def ttl(self, expires_at: int | None) -> float | None:
        """Returns the seconds until the value expires.

        Args:
            expires_at: When the current value expires.
        """
        if self.keeping == "seconds":
            if not self.seconds:
                raise InvalidRequestError("give the seconds until it expires, at least 1")
            return float(self.seconds)
        return None if self.keeping == "never" else seconds_left(expires_at)


@dataclass(frozen=True)
class StoredValue:
    """The currently stored value, as the editor shows it.

    Attributes:
        text: The value as indented JSON; None if it is too long, or bytes.
        size: The size of the value in bytes.
        version: Its version; 0 if there is none.
        is_bytes: Whether the value is bytes.
        author: Who wrote it.
        created_at: When it was created.
        updated_at: When it was last written; None if that is not known.
        expires_at: When it expires.
    """

    text: str | None = ""
    size: int = 0
    version: int = 0
    is_bytes: bool = False
    author: Author | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    expires_at: datetime | None = None

    @property
    def can_be_edited(self) -> bool:
        """Whether `text` is the whole value."""
        return self.text is not None


def text_of(value: Json) -> str | None:
    """Returns a value as indented JSON; None if it is too long for a page."""
    if len(value.text) > MOST_EDITED:
        return None
    return pretty(value.value)


def pretty(value: Any) -> str:
    """Returns a value as indented JSON, with invisible characters escaped."""
    shown: str = show(json.dumps(value, ensure_ascii=False, indent=2))
    return shown


def time_of(at: int | None) -> datetime | None:
    """Returns a stored time."""
    return None if at is None else to_datetime(at)


def refusal_of(failure: BotWireError) -> APIError:
    """Returns the error to show beside the text that was not stored."""
    error = problems.translate(failure)
    if isinstance(error, InvalidRequestError):
        return InvalidRequestError(str(error), status=422)  # as all forms of the console answer
    return error


def differences(theirs: str, mine: str) -> Iterator[tuple[str, str]]:
    """Yields the differing lines of two texts, ``-`` theirs and ``+`` mine, with some context."""
    left, right = theirs.splitlines()[:_DIFFERING], mine.splitlines()[:_DIFFERING]
    is_first = True
    # The first two lines are a header; others may look like one.
    for line in islice(difflib.unified_diff(left, right, n=2, lineterm=""), 2, None):
        if not line.startswith("@@"):
            yield line[0], line[1:]
        elif not is_first:
            yield " ", "⋯"
        is_first = False


def _refuse(constant: str) -> NoReturn:
    raise InvalidRequestError(f"this is not JSON: it has no {constant}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns an object; raises if a name occurs twice, because one value would be lost."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidRequestError(f"the name {twice!r:.80} occurs twice in an object")
    return found
