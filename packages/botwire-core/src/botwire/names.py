"""Checks names (of namespaces, keys, histories, collections), ids, tags and scope paths.

Any non-empty string is a valid name: slashes, dots, spaces, control characters, emoji, a lone
surrogate. Engines store names as bytes (UTF-8, surrogates passed through). So names are ordered and
compared by code points on every engine, whatever the database's collation.
"""

from __future__ import annotations

import functools
import hashlib
import re
import reprlib
from urllib.parse import quote, unquote
from uuid import NAMESPACE_URL, UUID

from botwire.errors import ConfigurationError

MAX_NAMESPACE_BYTES = 256
"""Longest namespace. Namespace, name and id must fit a PostgreSQL index row (2,704 bytes)."""
MAX_NAME_BYTES = 1024
"""Longest key, history name, collection name or scope path, in bytes of UTF-8."""
MAX_ID_BYTES = 512
"""Longest id of an item or record, in bytes of UTF-8."""
MAX_AUTHOR_BYTES = 128
"""Longest agent, framework or run of an author, in bytes of UTF-8."""

SYSTEM_NAMESPACE = "$botwire"
"""The namespace for a server's own data, such as API keys. It and all below it (``$botwire/…``) are
reserved: clients refuse them, and a server requires the right to administer."""

_BRIEF = reprlib.Repr()  # abbreviates long and deep values

# A surrogate pair as two code points: JSON cannot tell it from the one character it encodes.
_SURROGATE_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


def uuid_of(name: str) -> UUID:
    """Returns the UUID that always stands for a name: `uuid.uuid5`, for lone surrogates too."""
    digest = hashlib.sha1(NAMESPACE_URL.bytes + to_bytes(name), usedforsecurity=False).digest()
    return UUID(bytes=digest[:16], version=5)


def to_bytes(name: str) -> bytes:
    """Returns a name as bytes, as engines store and compare it."""
    return name.encode("utf-8", "surrogatepass")


def from_bytes(raw: bytes) -> str:
    """Returns the name for stored bytes."""
    return raw.decode("utf-8", "surrogatepass")


def prefix_end(prefix: bytes) -> bytes | None:
    """Returns the first name after all that start with `prefix`, or None if there is none."""
    end = prefix.rstrip(b"\xff")
    return end[:-1] + bytes([end[-1] + 1]) if end else None


MAX_PART = 160
"""Longest part, in bytes, that `join_parts` does not hash; six such parts fit in a key."""


def join_parts(*parts: str) -> str:
    """Returns a name made of parts, separated by slashes.

    Each part is percent-encoded, so different parts never make the same name. The names that start
    with a joined name and a slash are exactly those with further parts. A part that is too long is
    replaced by its hash.

    Raises:
        ConfigurationError: A part is not a string.
    """
    for part in parts:
        check_string(part, "part of a name")
    return "/".join(map(_part, parts))


def split_parts(name: str) -> list[str] | None:
    """Returns the parts of a name that `join_parts` made.

    Returns None if the name has no such parts, or if a part was replaced by its hash.
    """
    parts = [decode_part(part) for part in name.split("/")]
    return parts if join_parts(*parts) == name else None


def encode_part(part: str) -> str:
    """Returns a part as `join_parts` encodes it, but never hashed."""
    # A tilde marks a hash, and quote() does not encode it.
    return quote(part, safe="", errors="surrogatepass").replace("~", "%7E")


def decode_part(text: str) -> str:
    """Returns a percent-encoded part, or any other text, decoded.

    Bytes that are not UTF-8 become U+FFFD, so that a name that someone made up is merely not found.
    """
    try:
        return unquote(text, errors="surrogatepass")
    except UnicodeDecodeError:
        return unquote(text)


@functools.lru_cache(maxsize=4096)
def _part(part: str) -> str:
    encoded = encode_part(part)
    if len(encoded) <= MAX_PART:
        return encoded
    return "~" + hashlib.sha256(to_bytes(part)).hexdigest()


def is_reserved(namespace: str) -> bool:
    """Returns whether a namespace is the system namespace or below it."""
    return namespace == SYSTEM_NAMESPACE or namespace.startswith(SYSTEM_NAMESPACE + "/")


def matches(pattern: str, name: str) -> bool:
    """Returns whether a pattern matches a name; ``*`` matches any characters.

    If a pattern matches another pattern, read as a name, it matches everything the other one does.
    """
    first, *others = pattern.split("*")
    if not others:
        return name == pattern
    if not name.startswith(first):
        return False
    at, last = len(first), others.pop()
    for part in others:
        found = name.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return len(name) - len(last) >= at and name.endswith(last)


def check_namespace(namespace: object) -> str:
    """Returns `namespace` if it is valid and not reserved; raises `ConfigurationError` if not."""
    checked = check_any_namespace(namespace)
    if is_reserved(checked):
        raise ConfigurationError(f"the namespace {checked!r} is reserved: choose another name")
    return checked


def check_any_namespace(namespace: object) -> str:
    """Returns `namespace` if it is valid, reserved or not; raises `ConfigurationError` if not."""
    return _check(namespace, "namespace", MAX_NAMESPACE_BYTES)


def check_key(key: object) -> str:
    """Returns `key` if it is valid; raises `ConfigurationError` otherwise."""
    return _check(key, "key", MAX_NAME_BYTES)


def check_history(name: object) -> str:
    """Returns `name` if it is a valid history name; raises `ConfigurationError` otherwise."""
    return _check(name, "history name", MAX_NAME_BYTES)


def check_collection(name: object) -> str:
    """Returns `name` if it is a valid collection name; raises `ConfigurationError` otherwise."""
    return _check(name, "collection name", MAX_NAME_BYTES)


def check_scope(path: object) -> str:
    """Returns `path` if it is a valid scope path; raises `ConfigurationError` otherwise."""
    return _check(path, "scope path", MAX_NAME_BYTES)


def check_tag(tag: object) -> str:
    """Returns `tag` if it is a valid tag; raises `ConfigurationError` otherwise."""
    return _check(tag, "tag", MAX_ID_BYTES)


def check_id(id: object) -> str:
    """Returns `id` if it is a valid id; raises `ConfigurationError` otherwise."""
    return _check(id, "id", MAX_ID_BYTES)


def check_author(part: object, what: str) -> str:
    """Returns a part of an author if it is valid; raises `ConfigurationError` otherwise."""
    return _check(part, f"name of an author's {what}", MAX_AUTHOR_BYTES)


def check_string(value: object, what: str) -> str:
    """Returns `value` if it is a string, even an empty one; else raises `ConfigurationError`.

    Args:
        value: An argument.
        what: What it is, without an article, such as ``file path``.
    """
    if not isinstance(value, str):
        raise ConfigurationError(
            f"{_a(what)} must be a string, not {type(value).__name__}: {shown(value)}"
        )
    return value


def check_prefix(prefix: object) -> str:
    """Returns `prefix` if it is valid or empty; raises `ConfigurationError` otherwise."""
    return prefix if prefix == "" else _check(prefix, "prefix", MAX_NAME_BYTES)


def shown(value: object, length: int = 80) -> str:
    """Returns the beginning of a value's `repr`, quickly even for a large value."""
    if isinstance(value, (str, bytes)):
        return f"{value[:length]!r:.{length}}"
    return f"{_BRIEF.repr(value):.{length}}"


def _a(what: str) -> str:
    return f"an {what}" if what == "id" else f"a {what}"


def _check(given: object, what: str, limit: int) -> str:
    name = given if isinstance(given, str) else check_string(given, what)
    if not name:
        raise ConfigurationError(f"{_a(what)} must not be empty")
    if len(name) > limit:  # a character is at least one byte
        raise ConfigurationError(
            f"{_a(what)} may have at most {limit} bytes of UTF-8; {name[:40]!r}… has {len(name)} "
            "characters"
        )
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        if _SURROGATE_PAIR.search(name):
            raise ConfigurationError(
                f"the {what} {name!r:.80} has a surrogate pair as two code points: "
                "write the character itself"
            ) from None
        size = len(to_bytes(name))
    if size > limit:
        raise ConfigurationError(
            f"{_a(what)} may have at most {limit} bytes of UTF-8; {name[:40]!r}… has {size}"
        )
    return name
