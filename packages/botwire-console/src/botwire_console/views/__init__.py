"""The views of the console, by method and name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.responses import Response

from botwire_console.views import (
    api_keys,
    conversations,
    forgetting,
    health,
    images,
    items,
    keys,
    live,
    memories,
    namespaces,
    past,
    recall,
    search,
    selection,
    threads,
    usage,
)
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
    ("GET", "threads"): threads.show_all,
    ("GET", "thread"): threads.show,
    ("GET", "thread/step"): threads.show_step,
    ("GET", "memories"): memories.show_all,
    ("GET", "memory"): memories.show,
    ("POST", "memory"): memories.save,
    ("POST", "memory/delete"): memories.delete,
    ("GET", "recall"): recall.show,
    ("GET", "search"): search.show,
    ("POST", "selection"): selection.show,
    ("POST", "selection/delete"): selection.delete,
    ("POST", "namespaces/selection"): forgetting.show,
    ("POST", "namespaces/forget"): forgetting.forget,
    ("GET", "usage"): usage.show,
    ("GET", "api-keys"): api_keys.show_all,
    ("POST", "api-keys"): api_keys.create,
    ("POST", "api-keys/revoke"): api_keys.revoke,
    ("GET", "audit"): api_keys.show_audit,
    ("GET", "health"): health.show,
    ("GET", "live"): live.show,
    ("GET", "stream"): live.stream,
}
