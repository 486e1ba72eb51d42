"""What a namespace, a key, a history's name or an id may be.

Any non-empty string is a name: slashes, dots, spaces, control characters, emoji, a lone surrogate.
Engines store names as bytes (UTF-8, surrogates passed through), so that order, prefixes and
equality are those of code points on every engine, whatever collation a database has.
"""

from __future__ import annotations

import functools
import hashlib
import re
import reprlib
from urllib.parse import quote

from botwire.errors import ConfigurationError

MAX_NAMESPACE_BYTES = 256
"""Longest namespace. Namespace, name and id together must fit a PostgreSQL index row (2,704)."""
MAX_NAME_BYTES = 1024
"""Longest key, history name, collection name or scope path, in bytes of UTF-8."""
MAX_ID_BYTES = 512
"""Longest id of an item or record, in bytes of UTF-8."""

SYSTEM_NAMESPACE = "$botwire"
"""Where a server keeps what is its own, such as API keys. It and all below it (``$botwire/…``) are
nobody's memory: clients refuse them, and a server does there what an administrator may ask."""

_BRIEF = reprlib.Repr()  # a few parts of a few levels

# Two surrogates that form a pair: JSON cannot tell them from the one character they encode.
_SURROGATE_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


def to_bytes(name: str) -> bytes:
    """Returns the form of a name that engines store and compare."""
    return name.encode("utf-8", "surrogatepass")


def from_bytes(raw: bytes) -> str:
    """Returns the name that [`to_bytes`][botwire.names.to_bytes] was given."""
    return raw.decode("utf-8", "surrogatepass")


def prefix_end(prefix: bytes) -> bytes | None:
    """Returns the first name after all that start with `prefix`, or None when there is none."""
    end = prefix.rstrip(b"\xff")
    return end[:-1] + bytes([end[-1] + 1]) if end else None


MAX_PART = 160
"""Longest part of a name that `join_parts` keeps as it is, in bytes; six fit a key."""


def join_parts(*parts: str) -> str:
    """Returns a name made of parts, in which a slash only ever separates.

    Each part is percent-encoded, so one name is never the beginning of another whose parts are
    others, and the names that begin with these parts and a slash are those below them. A part that
    is too long is replaced by its hash.
    """
    return "/".join(map(_part, parts))


def encode_part(part: str) -> str:
    """Returns a part as it stands in a name of `join_parts`, however long it is."""
    # A tilde, which begins a hash, is the one sign beside letters that quote() would leave.
    return quote(part, safe="", errors="surrogatepass").replace("~", "%7E")


@functools.lru_cache(maxsize=4096)
def _part(part: str) -> str:
    encoded = encode_part(part)
    if len(encoded) <= MAX_PART:
        return encoded
    return "~" + hashlib.sha256(to_bytes(part)).hexdigest()


def is_reserved(namespace: str) -> bool:
    """Says whether a namespace is the system's or below it."""
    return namespace == SYSTEM_NAMESPACE or namespace.startswith(SYSTEM_NAMESPACE + "/")


def check_namespace(namespace: object) -> str:
    """Returns `namespace` if it can be somebody's; raises `ConfigurationError` otherwise."""
    checked = check_any_namespace(namespace)
    if is_reserved(checked):
        raise ConfigurationError(f"the namespace {checked!r} is BotWire's own: choose another")
    return checked


def check_any_namespace(namespace: object) -> str:
    """Returns `namespace` if it is one, reserved or not; raises `ConfigurationError` otherwise."""
    return _check(namespace, "namespace", MAX_NAMESPACE_BYTES)


def check_key(key: object) -> str:
    """Returns `key` if it is a valid one; raises `ConfigurationError` otherwise."""
    return _check(key, "key", MAX_NAME_BYTES)


def check_history(name: object) -> str:
    """Returns `name` if it can name a history; raises `ConfigurationError` otherwise."""
    return _check(name, "history name", MAX_NAME_BYTES)


def check_collection(name: object) -> str:
    """Returns `name` if it can name a collection; raises `ConfigurationError` otherwise."""
    return _check(name, "collection name", MAX_NAME_BYTES)


def check_scope(path: object) -> str:
    """Returns `path` if it can be a scope path; raises `ConfigurationError` otherwise."""
    return _check(path, "scope path", MAX_NAME_BYTES)


def check_tag(tag: object) -> str:
    """Returns `tag` if it can be a tag; raises `ConfigurationError` otherwise."""
    return _check(tag, "tag", MAX_ID_BYTES)


def check_id(id: object) -> str:
    """Returns `id` if it can identify an item or record; raises `ConfigurationError` otherwise."""
    return _check(id, "id", MAX_ID_BYTES)


def check_prefix(prefix: object) -> str:
    """Returns `prefix` if names can start with it; the empty one is allowed."""
    return prefix if prefix == "" else _check(prefix, "prefix", MAX_NAME_BYTES)


def shown(value: object, length: int = 80) -> str:
    """Returns the beginning of a value's `repr`, which takes no longer for a large value."""
    if isinstance(value, (str, bytes)):
        return f"{value[:length]!r:.{length}}"
    return f"{_BRIEF.repr(value):.{length}}"


def _check(name: object, what: str, limit: int) -> str:
    if not isinstance(name, str):
        raise ConfigurationError(f"a {what} is a string, not {type(name).__name__}: {shown(name)}")
    if not name:
        raise ConfigurationError(f"a {what} must not be empty")
    if len(name) > limit:  # its bytes, which are more, need not be counted
        raise ConfigurationError(
            f"a {what} is at most {limit} bytes of UTF-8; {name[:40]!r}… has {len(name)} characters"
        )
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        if _SURROGATE_PAIR.search(name):
            raise ConfigurationError(
                f"the {what} {name!r:.80} holds a surrogate pair as two code points: "
                "write the character itself"
            ) from None
        size = len(to_bytes(name))
    if size > limit:
        raise ConfigurationError(
            f"a {what} is at most {limit} bytes of UTF-8; {name[:40]!r}… has {size}"
        )
    return name
