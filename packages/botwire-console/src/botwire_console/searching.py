"""One search over names and texts: whatever the visitor may read, within stated limits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from botwire import operations as ops
from botwire.errors import BotWireError
from botwire.names import decode_part
from botwire_console.checkpoints import HEADS, KINDS
from botwire_console.links import link
from botwire_console.rendering import shortened
from botwire_console.turns import turn_of
from botwire_console.visit import Visit

MOST_FOUND = 20
"""The most results of each kind per namespace."""
MOST_NAMES = 10_000
"""The most names of keys, and of conversations, to search per namespace."""
CONVERSATIONS, MESSAGES = 30, 200
"""The numbers of newest messages, and of last active conversations, to search."""

_VALUES = 1000  # keys whose values are searched
_AROUND = 60  # characters to show before a hit


@dataclass(frozen=True)
class Hit:
    """A search hit.

    Attributes:
        kind: ``key``, ``conversation``, ``message``, ``memory`` or ``thread``.
        label: What it is called.
        sample: The text around the hit.
        address: The address of its page.
    """

    kind: str
    label: str
    sample: str
    address: str


@dataclass
class SearchResult:
    """The result of a search in a namespace.

    Attributes:
        namespace: The namespace.
        threads: The LangGraph threads of the namespace, as their keys name them.
        hits: The hits.
        limits: What was not searched, in words for people.
    """

    namespace: str
    threads: set[str] = field(default_factory=set)
    hits: list[Hit] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)


async def search(visit: Visit, namespace: str, words: str) -> SearchResult:
    """Searches a namespace.

    Args:
        visit: The request.
        namespace: The namespace.
        words: What to find, in names and texts, in upper or lower case; in memories, its words.
    """
    found = SearchResult(namespace)
    wanted = words.casefold()
    for kind in (_conversations, _memories, _messages, _threads, _keys, _values):
        try:
            await kind(visit, found, words, wanted)
        except BotWireError as error:  # for example, the answer is too large; keep the other hits
            found.limits.append(str(error))
    return found


async def _threads(visit: Visit, found: SearchResult, words: str, wanted: str) -> None:
    namespace = found.namespace
    page = await visit.apply(namespace, ops.ListKeys(HEADS))
    if page.more:
        found.limits.append(f"names of the first {len(page.keys):,} threads")
    # A name stored as a hash is only found in the checkpoint.
    found.threads = {one.split("/")[1] for one in page.keys}
    names = [decode_part(one) for one in sorted(found.threads)]
    hits = [name for name in names if wanted in name.casefold()]
    for name in hits[:MOST_FOUND]:
        found.hits.append(Hit("thread", name, "", link("thread", ns=namespace, thread=name)))


def _is_own(found: SearchResult, key: str) -> bool:
    """Returns whether a key belongs to a thread, which is shown as a thread."""
    kind, _, rest = key.partition("/")
    return kind in KINDS and rest.partition("/")[0] in found.threads


async def _keys(visit: Visit, found: SearchResult, words: str, wanted: str) -> None:
    namespace = found.namespace
    names: dict[str, None] = {}
    first = await visit.apply(namespace, ops.ListKeys(words, limit=MOST_FOUND))
    names.update(dict.fromkeys(one for one in first.keys if not _is_own(found, one)))
    looked = 0
    listing: ops.ListKeys | None = ops.ListKeys()
    while listing is not None and len(names) < MOST_FOUND:
        if looked >= MOST_NAMES:
            found.limits.append(f"names of the first {MOST_NAMES:,} keys")
            break
        page = await visit.apply(namespace, listing)
        looked += len(page.keys)
        names.update(
            dict.fromkeys(
                one for one in page.keys if wanted in one.casefold() and not _is_own(found, one)
            )
        )
        listing = listing.following(page)
    for name in list(names)[:MOST_FOUND]:
        found.hits.append(Hit("key", name, "", link("key", ns=namespace, key=name)))


async def _conversations(visit: Visit, found: SearchResult, words: str, wanted: str) -> None:
    namespace = found.namespace
    hits = 0
    looked = 0
    listing: ops.ListHistories | None = ops.ListHistories(order="updated", descending=True)
    while listing is not None and hits < MOST_FOUND:
        if looked >= MOST_NAMES:
            found.limits.append(f"names of the {MOST_NAMES:,} last active conversations")
            break
        page = await visit.apply(namespace, listing)
        looked += len(page.histories)
        for stat in page.histories:
            title = str(stat.metadata.value.get("title") or stat.name)
            if hits < MOST_FOUND and wanted in f"{stat.name}\n{title}".casefold():
                hits += 1
                sample = stat.name if title != stat.name else ""
                where = link("conversation", ns=namespace, name=stat.name)
                found.hits.append(Hit("conversation", title, sample, where))
        listing = listing.following(page)


async def _memories(visit: Visit, found: SearchResult, words: str, wanted: str) -> None:
    namespace = found.namespace
    page = await visit.apply(namespace, ops.ListCollections(limit=20))
    searches = [
        ops.SearchRecords(name, text=words, limit=MOST_FOUND, embeddings=False)
        for name in page.collections
    ]
    results = await visit.apply_all(namespace, *searches) if searches else []
    for name, matches in zip(page.collections, results, strict=True):
        for match in matches:
            record = match.record
            where = link("memory", ns=namespace, c=name, id=record.id)
            found.hits.append(Hit("memory", record.text, "", where))
    if page.more:
        found.limits.append("memories of 20 collections")


async def _values(visit: Visit, found: SearchResult, words: str, wanted: str) -> None:
    namespace = found.namespace
    page = await visit.apply(namespace, ops.ScanKeys(limit=_VALUES))
    if page.more:
        found.limits.append(f"values of the first {len(page.entries):,} keys")

    known = {hit.label for hit in found.hits if hit.kind == "key"}

    def look() -> list[Hit]:
        hits: list[Hit] = []
        for entry in page.entries:
            if entry.key in known or _is_own(found, entry.key):
                continue
            text = "" if isinstance(entry.value, bytes) else _readable(entry.value.value)
            if (at := text.casefold().find(wanted)) >= 0 and len(hits) < MOST_FOUND:
                where = link("key", ns=namespace, key=entry.key)
                hits.append(Hit("key", entry.key, _around(text, at), where))
        return hits

    found.hits += await visit.work(look)


async def _messages(visit: Visit, found: SearchResult, words: str, wanted: str) -> None:
    namespace = found.namespace
    latest = ops.ListHistories(limit=CONVERSATIONS, order="updated", descending=True)
    page = await visit.apply(namespace, latest)
    hits: list[Hit] = []
    is_cut = page.more
    for stat in page.histories:
        read = ops.ReadHistory(stat.name, limit=MESSAGES, newest_first=True, archived=True)
        items = await visit.apply(namespace, read)
        is_cut |= items.more
        hits += await visit.work(
            lambda stat=stat, items=items: list(  # type: ignore[misc]
                _said(namespace, stat, items.items, wanted)
            )
        )
        if len(hits) >= MOST_FOUND:
            break
    if is_cut:
        found.limits.append(
            f"the {MESSAGES} newest messages of the {CONVERSATIONS} last active conversations"
        )
    found.hits += hits[:MOST_FOUND]


def _said(
    namespace: str, stat: ops.HistoryStat, items: Sequence[ops.HistoryItem], wanted: str
) -> Iterator[Hit]:
    """Yields the messages that contain the words."""
    for item in items:
        text = turn_of(item).text
        if (at := text.casefold().find(wanted)) >= 0:
            where = link("conversation", ns=namespace, name=stat.name, before=item.seq + 1)
            label = f"{stat.metadata.value.get('title') or stat.name}, message {item.seq}"
            yield Hit("message", label, _around(text, at), f"{where}#item-{item.seq}")


def _around(text: str, at: int) -> str:
    start = max(at - _AROUND, 0)
    return ("…" if start else "") + shortened(text[start:], 200)


def _readable(value: object) -> str:
    """Returns the strings and numbers of a value, separated by spaces."""
    pieces: list[str] = []
    todo = [value]
    while todo:
        one = todo.pop()
        if isinstance(one, dict):
            todo += [part for pair in reversed(one.items()) for part in reversed(pair)]
        elif isinstance(one, list):
            todo += reversed(one)
        else:
            pieces.append(str(one))
    return " ".join(pieces)
