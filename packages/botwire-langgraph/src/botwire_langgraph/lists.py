"""Stores a channel's list in parts, so that a put stores only its new items.

LangGraph puts a conversation again and again, each time with a few more messages. Each put writes
one part with the items that no earlier part has, and the list's spans (`botwire.list_parts`), which
say where each item is stored. Items are compared in serialized form, so a list may also be cut,
reordered or edited in the middle. A list that only grew has few spans.

This module does no I/O.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from botwire import framing
from botwire.list_parts import Position, Span, positions
from botwire_langgraph.images import Image
from botwire_langgraph.serializer import from_blob, is_known, to_blob

_MOST_SPANS = 64  # a list with more is rewritten
_SMALL = (bool, int, float, str, bytes, type(None))
_PLAIN = JsonPlusSerializer()
_MSGPACK = b"msgpack\x00"


class KnownList(NamedTuple):
    """What this process knows about a list stored in parts.

    Attributes:
        positions: The position of each item.
        digests: The digest of each serialized item.
        sizes: The number of items in each part.
        last: The greatest known number of a part of the channel.
        image: The items when they were last put or read; None if unknown.
        revived: The image of the leading items that were read, not put; None if unknown.
        known_spans: The result of `spans`; None until it is computed.
    """

    positions: Sequence[Position]
    digests: Sequence[bytes]
    sizes: Mapping[int, int]
    last: int
    image: Image | None = None
    revived: Image | None = None
    known_spans: list[list[int]] | None = None

    @property
    def weight(self) -> int:
        """The size of the images in bytes."""
        return sum(len(image.body) for image in (self.image, self.revived) if image)

    def unread(self) -> set[int]:
        """Returns the numbers of the parts with items that are not in `revived`."""
        count = len(self.revived.types) if self.revived else 0
        return {part for part, _ in self.positions[count:]}

    def spans(self) -> list[list[int]]:
        """Returns the list's spans; see `botwire.list_parts`."""
        if self.known_spans is not None:
            return [list(span) for span in self.known_spans]
        slices: list[list[int]] = []
        for place in self.positions:
            last = slices[-1] if slices else []
            if last and last[1] == place.part and last[3] == place.position:
                last[3] += 1
            else:
                slices.append([place.part, place.part, place.position, place.position + 1])
        whole: list[list[int]] = []
        for part, _, start, stop in slices:
            if start or stop != self.sizes[part]:
                whole.append([part, part, start, stop])
            elif whole and len(whole[-1]) == 2 and whole[-1][1] == part - 1:
                whole[-1][1] = part
            else:
                whole.append([part, part])
        return whole


NOTHING = KnownList((), (), {}, 0)
"""The state of a channel that has no list yet."""


def is_shared(value: Any) -> bool:
    """Returns whether a value is stored in parts: a list, unless of numbers or texts.

    Numbers and texts are often smaller than the digests that would tell them apart.
    """
    return type(value) is list and bool(value) and not isinstance(value[0], _SMALL)


def divide(
    serde: SerializerProtocol, items: Sequence[Any], before: KnownList = NOTHING
) -> tuple[KnownList, list[bytes]]:
    """Returns what is new in a list.

    Args:
        serde: Serializes an item.
        items: The list.
        before: The known state of the channel.

    Returns:
        The new state, and the new items in serialized form, which make up the next part, if any.
    """
    image = Image.of(items)
    if image and before.image and before.positions and image.begins_with(before.image):
        return _append(serde, items[len(before.positions) :], image, before)
    blobs = [to_blob(serde, item) for item in items]
    digests = _digests(serde, blobs, items)
    kept, fresh = _place(blobs, digests, before)
    spans = kept.spans()
    if len(spans) > _MOST_SPANS:
        kept, fresh = _place(blobs, digests, NOTHING._replace(last=before.last))
        spans = kept.spans()
    return kept._replace(image=image, known_spans=spans), fresh


def _append(
    serde: SerializerProtocol, items: Sequence[Any], image: Image, before: KnownList
) -> tuple[KnownList, list[bytes]]:
    """Like `divide`, for a list that consists of all known items, followed by these."""
    if not items:
        return before._replace(image=image), []
    blobs = [to_blob(serde, item) for item in items]
    part = before.last + 1
    spans = before.spans()
    if spans and len(spans[-1]) == 2 and spans[-1][1] == part - 1:
        spans[-1][1] = part
    else:
        spans.append([part, part])
    kept = KnownList(
        [*before.positions, *(Position(part, position) for position in range(len(blobs)))],
        [*before.digests, *_digests(serde, blobs, items)],
        {**before.sizes, part: len(blobs)},
        part,
        image,
        before.revived,
        spans,
    )
    return kept, blobs


def _place(
    blobs: Sequence[bytes], digests: Sequence[bytes], before: KnownList
) -> tuple[KnownList, list[bytes]]:
    # Each known item is used once, in order. Further equal items are stored again, which keeps the
    # spans few.
    known: defaultdict[bytes, deque[Position]] = defaultdict(deque)
    for digest, place in zip(before.digests, before.positions, strict=True):
        known[digest].append(place)
    part = before.last + 1
    fresh: list[bytes] = []
    places = []
    for blob, digest in zip(blobs, digests, strict=True):
        if known[digest]:
            places.append(known[digest].popleft())
        else:
            places.append(Position(part, len(fresh)))
            fresh.append(blob)
    sizes = {**before.sizes, part: len(fresh)} if fresh else before.sizes
    last = part if fresh else before.last
    return KnownList(places, digests, {p: sizes[p] for p, _ in places}, last), fresh


def rebuild(
    serde: SerializerProtocol, spans: Iterable[Span], parts: Mapping[int, bytes]
) -> tuple[list[Any], KnownList]:
    """Returns the list that spans select from parts, and its state to cache."""
    pieces = {number: framing.split(part) for number, part in parts.items()}
    sizes = {number: len(piece) for number, piece in pieces.items()}
    places = positions(spans, sizes)
    blobs = [pieces[part][position] for part, position in places]
    items = _read(serde, blobs)
    sizes = {part: sizes[part] for part, _ in places}
    image = Image.of(items, revived=True)
    revived = image if is_known(serde) else None
    last = max(sizes, default=0)
    return items, KnownList(places, _digests(serde, blobs, items), sizes, last, image, revived)


def rejoin(
    serde: SerializerProtocol, known: KnownList, parts: Mapping[int, bytes]
) -> tuple[list[Any], KnownList]:
    """Like `rebuild`, for a list that was read before.

    Args:
        serde: Deserializes the items put since then.
        known: The known state of the list, with the image of the items read.
        parts: The `unread` parts of the list.
    """
    assert known.revived is not None
    count = len(known.revived.types)
    pieces = {number: framing.split(part) for number, part in parts.items()}
    blobs = [pieces[part][position] for part, position in known.positions[count:]]
    fresh = _read(serde, blobs)
    items = [*known.revived.revive(), *fresh]
    image = Image.of(fresh, revived=True)
    image = known.revived.join(image) if image else None
    digests = [*known.digests[:count], *_digests(serde, blobs, fresh)]
    return items, known._replace(digests=digests, image=image, revived=image)


def _read(serde: SerializerProtocol, blobs: Sequence[bytes]) -> list[Any]:
    if is_known(serde) and all(map(_is_msgpack, blobs)):
        # A MessagePack array is its length and its items, so one call reads them all.
        array = b"\xdd" + len(blobs).to_bytes(4) + b"".join(blob[len(_MSGPACK) :] for blob in blobs)
        items: list[Any] = serde.loads_typed(("msgpack", array))
        return items
    return [from_blob(serde, blob) for blob in blobs]


def _is_msgpack(blob: bytes) -> bool:
    return blob.startswith(_MSGPACK)


def _digests(
    serde: SerializerProtocol, blobs: Sequence[bytes], items: Sequence[Any]
) -> list[bytes]:
    if not is_known(serde):
        # Another serializer may encrypt, and so never produce the same bytes twice.
        blobs = [_plain(blob, item) for blob, item in zip(blobs, items, strict=True)]
    return [hashlib.blake2b(blob, digest_size=16).digest() for blob in blobs]


def _plain(blob: bytes, item: Any) -> bytes:
    # A type that only the other serializer knows is stored again whenever its list changes.
    with contextlib.suppress(TypeError):
        blob = to_blob(_PLAIN, item)
    return blob
