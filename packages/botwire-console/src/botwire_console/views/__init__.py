"""The views of the console, by method and name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.responses import Response

from botwire_console.views import conversations, images, items, keys, live, namespaces, past
from botwire_console.visit import Visit

View = Callable[[Visit], Awaitable[Response]]
"""Answers a request."""

VIEWS: Mapping[tuple[str, str], View] = {
    ("GET", ""): namespaces.show_all,
    ("GET", "namespace"): namespaces.show,
    ("GET", "keys"): keys.show_tree,
    ("GET", "key"): keys.show,
    ("POST", "key"): keys.save,
    ("POST", "key/delete"): keys.delete,
    ("GET", "key/versions"): past.show_versions,
    ("POST", "key/put-back"): past.put_back,
    ("GET", "changes"): past.show_changes,
    ("POST", "changes/undo"): past.undo,
    ("GET", "conversations"): conversations.show_all,
    ("GET", "conversation"): conversations.show,
    ("GET", "item"): items.show,
    ("POST", "item"): items.save,
    ("POST", "item/delete"): items.delete,
    ("GET", "image"): images.show,
    ("GET", "live"): live.show,
    ("GET", "stream"): live.stream,
}
