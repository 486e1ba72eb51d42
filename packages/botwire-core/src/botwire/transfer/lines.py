"""The format of an export: JSON, one object per line, in an order that can be written back.

::

    {"type":"header","format":"botwire-export","version":1,"created_at":…,"botwire":…}
    {"type":"namespace","namespace":…,"revision":…,"created_at":…}
    {"type":"key","namespace":…,"key":…,"value":…,"version":…,"created_at":…,"updated_at":…,
     "expires_at":…,"author":…}
    {"type":"history","namespace":…,"name":…,"last_seq":…,"archived_seq":…,"created_at":…,
     "updated_at":…,"metadata":…,"metadata_version":…,"expires_at":…}
    {"type":"item","namespace":…,"history":…,"seq":…,"id":…,"value":…,"created_at":…,"version":…,
     "author":…}
    {"type":"collection","namespace":…,"name":…,"dimension":…}
    {"type":"record","namespace":…,"collection":…,"id":…,"text":…,"metadata":…,"tags":…,"scope":…,
     "embedding":…,"version":…,"created_at":…,"updated_at":…,"author":…}
    {"type":"policy","name":…,"namespaces":…,"histories":…,"age":…,"count":…,"bytes":…,"hold":…,
     "reason":…}
    {"type":"end","namespace":2,"key":10,…}

A history precedes its items, and a collection its records. Bytes travel as base64 under
``bytes`` instead of ``value``, embeddings as base64 of 32-bit little-endian floats, times as
ISO 8601 in UTC. In an export of a whole store, policies and holds come last. The last line counts
the others by type, which reveals a truncated file.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from botwire import names, wire
from botwire import operations as ops
from botwire._version import __version__
from botwire.clock import Micros, from_iso, now, to_iso
from botwire.errors import ConfigurationError, InvalidRequestError
from botwire.pieces import unique
from botwire.transfer.progress import KINDS, Tally

FORMAT = "botwire-export"
VERSION = 1
"""Incremented when an older release could misread a line."""

_quote = json.JSONEncoder(ensure_ascii=True).encode


class NamespaceState(NamedTuple):
    """A namespace without its contents."""

    revision: int
    created_at: Micros


Entry = (
    NamespaceState
    | ops.KeyEntry
    | ops.HistoryState
    | ops.HistoryItem
    | ops.CollectionState
    | ops.RecordEntry
)
"""The contents of a line."""

_TYPES: dict[str, Any] = {
    "namespace": NamespaceState,
    "key": ops.KeyEntry,
    "history": ops.HistoryState,
    "item": ops.HistoryItem,
    "collection": ops.CollectionState,
    "record": ops.RecordEntry,
}
_BEGIN = b'{"type":"'
_KINDS = {make: kind for kind, make in _TYPES.items()}
_PARENTS = {"item": "history", "record": "collection"}


class Line(NamedTuple):
    """A line of an export, except the first, the last and those of policies.

    Attributes:
        namespace: The namespace that the entry belongs to.
        entry: The contents.
        parent: The history of an item, or the collection of a record.
    """

    namespace: str
    entry: Entry
    parent: str = ""

    @property
    def kind(self) -> str:
        """The kind of its entry, one of `KINDS`."""
        return _KINDS[type(self.entry)]

    @property
    def order(self) -> tuple[Any, ...]:
        """Sorts the lines of a namespace."""
        entry = self.entry
        if isinstance(entry, NamespaceState):
            return (0,)
        if isinstance(entry, ops.KeyEntry):
            return (1, names.to_bytes(entry.key))
        if isinstance(entry, ops.HistoryState):
            return (2, names.to_bytes(entry.name), 0)
        if isinstance(entry, ops.HistoryItem):
            return (2, names.to_bytes(self.parent), entry.seq)
        if isinstance(entry, ops.CollectionState):
            return (3, names.to_bytes(entry.name), b"")
        return (3, names.to_bytes(self.parent), names.to_bytes(entry.id))

    @property
    def thing(self) -> tuple[Any, ...]:
        """Identifies the key, history or collection that the line belongs to."""
        return self.order[:2]


def encode(line: Line) -> str:
    """Returns a line as ASCII text, without the newline."""
    kind, entry = line.kind, line.entry
    start = f'{{"type":"{kind}","namespace":{_quote(line.namespace)},'
    if isinstance(entry, NamespaceState):
        return f'{start}"revision":{entry.revision},"created_at":"{to_iso(entry.created_at)}"}}'
    if kind in _PARENTS:
        start += f'"{_PARENTS[kind]}":{_quote(line.parent)},'
    return start + wire.codec_of(type(entry)).encode(entry)[1:]


def to_text(line: Line) -> bytes:
    """Returns a line as written to a file, with the newline."""
    return encode(line).encode("ascii") + b"\n"


def kind_of(text: bytes) -> str:
    """Returns the kind of a line that `encode` wrote, without parsing it."""
    return text[len(_BEGIN) : text.index(b'"', len(_BEGIN))].decode("ascii")


def decode(text: str | bytes) -> Line:
    """Parses a line that `encode` wrote.

    Raises:
        ConfigurationError: The line is not valid; the message says why.
    """
    return from_document(load_object(text))


def load_object(text: str | bytes) -> dict[str, Any]:
    """Parses a line as a JSON object with a type.

    Raises:
        ConfigurationError: The line holds something else.
    """
    try:
        document = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"not JSON ({error})") from None
    if not isinstance(document, dict) or not isinstance(document.get("type"), str):
        raise ConfigurationError("not a JSON object with a type")
    return document


def from_document(document: dict[str, Any]) -> Line:
    """Converts a line's JSON object, and empties that object.

    Raises:
        ConfigurationError: This release cannot read it; the message says why.
    """
    kind = document.pop("type")
    if kind not in _TYPES:
        raise ConfigurationError(f"unknown type {kind!r:.40}: is botwire up to date?")
    namespace = names.check_namespace(document.pop("namespace", None))
    parent = ""
    if kind in _PARENTS:
        check = names.check_history if kind == "item" else names.check_collection
        parent = check(document.pop(_PARENTS[kind], None))
    try:
        if kind == "namespace":
            revision, created_at = document.pop("revision"), from_iso(document.pop("created_at"))
            ops.check_count(revision, "revision")
            if document:
                raise ConfigurationError(f"unknown field {min(document)!r:.60}")
            return Line(namespace, NamespaceState(revision, created_at))
        entry = wire.decode_stored(_TYPES[kind], document)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(f"not a valid {kind}: {error}") from None
    except InvalidRequestError as error:
        raise ConfigurationError(f"not a valid {kind}: {error.detail}") from None
    return Line(namespace, entry, parent)


def policy_text(policy: ops.RetentionPolicy) -> bytes:
    """Returns the line of a policy or a hold, with the newline."""
    text = wire.codec_of(ops.RetentionPolicy).encode(policy)
    return f'{{"type":"policy",{text[1:]}\n'.encode("ascii")


def to_policy(document: dict[str, Any]) -> ops.RetentionPolicy:
    """Converts the JSON object of a policy's line, and empties that object.

    Raises:
        ConfigurationError: It is not a policy; the message says why.
    """
    del document["type"]
    try:
        policy: ops.RetentionPolicy = wire.decode_stored(ops.RetentionPolicy, document)
    except InvalidRequestError as error:
        raise ConfigurationError(f"not a valid policy: {error.detail}") from None
    return policy


def header() -> str:
    """Returns the first line of an export."""
    return (
        f'{{"type":"header","format":"{FORMAT}","version":{VERSION},'
        f'"created_at":"{to_iso(now())}","botwire":"{__version__}"}}'
    )


def check_header(text: str | bytes) -> None:
    """Raises `ConfigurationError` unless this is the first line of a readable export."""
    try:
        document = load_object(text)
    except ConfigurationError:
        document = {}
    if document.get("type") != "header" or document.get("format") != FORMAT:
        raise ConfigurationError("not the first line of a BotWire export")
    version = document.get("version")
    if version != VERSION:
        raise ConfigurationError(
            f"the export is of format {version!r:.20}, and this botwire reads up to {VERSION}: "
            "upgrade botwire-core"
        )


def end(tally: Tally) -> str:
    """Returns the last line of an export, which counts the others."""
    return _quote({"type": "end", **tally.counts()})


def check_end(document: dict[str, Any], tally: Tally) -> None:
    """Raises `ConfigurationError` if the counts of the last line differ from the lines read."""
    given = {kind: document[kind] for kind in KINDS if kind in document}
    if given != tally.counts():
        raise ConfigurationError(f"it counts {given}, but {tally.counts()} were read")
