"""Images in messages, each with its own address."""

from __future__ import annotations

from itertools import islice

from starlette.responses import Response

from botwire import operations as ops
from botwire.errors import NotFoundError
from botwire_console import rendering
from botwire_console.inside import decode_picture, pictures_of
from botwire_console.visit import Visit

_HEADERS = {
    **rendering.HEADERS,
    "Content-Security-Policy": "default-src 'none'; sandbox",
}


async def show(visit: Visit) -> Response:
    """Returns an image of an item."""
    namespace, name = visit.namespace, visit.need("name")
    seq, number = visit.number("seq") or 0, visit.number("n") or 0
    read = ops.ReadHistory(name, max(seq - 1, 0), seq + 1, 1, archived=True)
    page = await visit.apply(namespace, read)

    def find() -> tuple[str, bytes] | None:
        for item in page.items:
            for kind, data in islice(pictures_of(item.value.value), number, number + 1):
                content = decode_picture(data)
                return None if content is None else (kind, content)
        return None

    found = await visit.work(find)
    if found is None:
        raise NotFoundError("there is no such image")
    kind, content = found
    return Response(content, headers=_HEADERS, media_type=kind)
