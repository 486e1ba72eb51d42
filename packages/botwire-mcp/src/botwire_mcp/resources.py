"""Resources: notes, keys and histories under URIs, for clients that attach or watch them."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from typing import Literal, Self, get_args
from urllib.parse import quote

from mcp.types import (
    BlobResourceContents,
    Resource,
    ResourceTemplate,
    TextResourceContents,
)

from botwire import AsyncMemory, scopes
from botwire.models import Change
from botwire.names import decode_part
from botwire_mcp import bounds
from botwire_mcp.conversations import History
from botwire_mcp.notes import Recall
from botwire_mcp.tool import RefusedError

Kind = Literal["notes", "keys", "histories"]
KINDS: tuple[Kind, ...] = get_args(Kind)

READ_BY = {"notes": "recall", "keys": "get", "histories": "history"}
"""The tool that reads the contents of a kind of resource; without the tool, the kind is not
offered."""

_SCHEME = "botwire://"
_PAGE = 100  # resources in a list
_TOPICS = 30
_MOST = 100  # notes or messages in a resource
_CHARS = 20_000  # characters in a resource: about 5,000 tokens
_BYTES = 1_000_000  # in a binary resource
_JSON = "application/json"

TEMPLATES: dict[Kind, ResourceTemplate] = {
    "notes": ResourceTemplate(
        name="notes",
        title="Notes about a topic",
        uri_template="botwire://notes{+about}",
        description="The newest notes about a topic path such as /projects/web",
        mime_type=_JSON,
    ),
    "keys": ResourceTemplate(
        name="key",
        title="The value of a key, or a file below /memories",
        uri_template="botwire://keys/{key}",
    ),
    "histories": ResourceTemplate(
        name="history",
        title="A conversation",
        uri_template="botwire://histories/{history}",
        description="Its newest messages, whichever framework wrote them",
        mime_type=_JSON,
    ),
}
"""The template of each kind of resource."""


@dataclass(frozen=True)
class Address:
    """The thing that a URI names.

    Attributes:
        kind: The kind of resource.
        name: The topic path of notes, the key, or the name of the history.
    """

    kind: Kind
    name: str

    @classmethod
    def parse(cls, uri: str, kinds: Collection[str]) -> Self:
        """Parses a URI.

        Args:
            uri: The URI.
            kinds: The kinds of resources that are offered.

        Raises:
            RefusedError: There is no such resource here.
        """
        kind, _, rest = uri.removeprefix(_SCHEME).partition("/")
        name = decode_part(rest)
        for known in KINDS:
            if kind == known and kind in kinds and uri.startswith(_SCHEME):
                if known == "notes":
                    return cls(known, scopes.normalise("/" + name))
                if name:
                    return cls(known, name)
        offered = ", ".join(TEMPLATES[kind].uri_template for kind in KINDS if kind in kinds)
        raise RefusedError(f"there is no resource {uri!r:.200}; there are {offered or 'none'}")

    @property
    def uri(self) -> str:
        """The URI, in its usual form."""
        if self.kind == "notes":
            path = "" if self.name == scopes.ROOT else self.name
            return f"{_SCHEME}notes{quote(path, errors='surrogatepass')}"
        return f"{_SCHEME}{self.kind}/{quote(self.name, safe='', errors='surrogatepass')}"

    def is_touched_by(self, change: Change) -> bool:
        """Returns whether a change may affect the contents of the resource."""
        if change.action == "reset":
            return True
        if self.kind == "notes":
            return (change.shape, change.name) == ("record", "default")
        if self.kind == "histories":
            return (change.shape, change.name) == ("history", self.name)
        if change.shape != "key":
            return False
        return change.name == self.name or (
            change.action == "clear" and self.name.startswith(change.name)
        )

    async def read(self, memory: AsyncMemory) -> TextResourceContents | BlobResourceContents:
        """Returns the contents of the resource, up to a limit.

        Raises:
            RefusedError: The key does not exist, or its bytes are too many.
        """
        if self.kind == "keys":
            return await self._read_key(memory)
        if self.kind == "notes":
            about = None if self.name == scopes.ROOT else self.name
            answer = await Recall(about=about, limit=_MOST, max_chars=_CHARS).run(memory)
        else:
            answer = await History(history=self.name, last=_MOST, max_chars=_CHARS).run(memory)
        text = bounds.to_text(bounds.portable(answer))
        return TextResourceContents(uri=self.uri, mime_type=_JSON, text=text)

    async def _read_key(self, memory: AsyncMemory) -> TextResourceContents | BlobResourceContents:
        entry = await memory.entry(self.name)
        if entry is None:
            raise RefusedError(f"there is no key {self.name!r:.200} in {memory.namespace!r}")
        value = entry.value
        if isinstance(value, bytes):
            if len(value) > _BYTES:
                raise RefusedError(
                    f"the key {self.name!r:.200} holds {len(value):,} bytes and a resource shows "
                    f"at most {_BYTES:,}: read it in parts with the tool get"
                )
            return BlobResourceContents(uri=self.uri, blob=base64.b64encode(value).decode())
        value = bounds.portable(value)
        text = value if isinstance(value, str) else bounds.to_text(value)
        mime_type = "text/plain" if isinstance(value, str) else _JSON
        if len(text) > _CHARS:
            mime_type = "text/plain"  # truncated JSON is not JSON
            text = bounds.cut(text, _CHARS) + "\nThe tools get and memory read the rest."
        return TextResourceContents(uri=self.uri, mime_type=mime_type, text=text)


async def list_page(
    memory: AsyncMemory, kinds: Collection[str], cursor: str | None
) -> tuple[list[Resource], str | None]:
    """Returns a page of the resources, and the cursor of the next page, if there is one.

    Args:
        memory: The memory.
        kinds: The kinds to list.
        cursor: Where to continue, from the previous page; None starts.

    Raises:
        RefusedError: The cursor did not come from a page.
    """
    at, _, after = (cursor or KINDS[0] + ":").partition(":")
    if at not in KINDS:
        raise RefusedError("the cursor is not one that a list returned")
    rows: list[Resource] = []
    for kind in KINDS[KINDS.index(at) :]:
        if kind not in kinds:
            continue
        async for row, name in _list(memory, kind, after):
            rows.append(row)
            if len(rows) == _PAGE:
                return rows, f"{kind}:{name}"
        after = ""
    return rows, None


async def _list(memory: AsyncMemory, kind: Kind, after: str) -> AsyncIterator[tuple[Resource, str]]:
    """Yields the resources of a kind, each with its name, after a name; empty means all."""
    if kind == "notes":
        if not after:
            yield _resource(Address(kind, scopes.ROOT), "notes", "The newest notes"), scopes.ROOT
        for topic in (await memory.records().scopes())[:_TOPICS]:
            if topic > after:
                yield _resource(Address(kind, topic), f"notes about {topic}", None), topic
    elif kind == "keys":
        async for key in memory.iter_keys(after=after or None):
            yield _resource(Address(kind, key), key, None, None), key
    else:
        for one in await memory.list_histories(after=after or None, limit=_PAGE):
            yield _resource(Address(kind, one.name), one.name, f"{one.count:,} messages"), one.name


def _resource(
    address: Address, name: str, description: str | None, mime_type: str | None = _JSON
) -> Resource:
    return Resource(
        uri=address.uri,
        name=bounds.cut(bounds.portable(name), 200),
        description=description,
        mime_type=mime_type,
    )
