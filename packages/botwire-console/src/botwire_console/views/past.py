"""The past: the versions of a key, what changed and who changed it, and restoring it."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.responses import Response

from botwire import operations as ops
from botwire.errors import ConflictError, InvalidRequestError, NotFoundError
from botwire_console.editing import text_of
from botwire_console.latest import latest_changes
from botwire_console.recipes import address, recipe
from botwire_console.visit import Visit, whole

LISTED = 50
"""Changes or versions per page."""


@dataclass(frozen=True)
class Shown:
    """A version of a key, as a page shows it.

    Attributes:
        version: The stored version.
        text: The value as indented JSON; None if it is too long, or bytes.
    """

    version: ops.KeyVersion
    text: str | None


async def show_versions(visit: Visit) -> Response:
    """Shows the current and past values of a key, the newest first."""
    namespace, key = visit.namespace, visit.need("key")
    before = visit.number("before")
    past, page = await visit.apply_all(
        namespace, ops.StatPast(), ops.ReadVersions(key, before, LISTED)
    )
    shown = [
        Shown(one, None if isinstance(one.value, bytes) else text_of(one.value))
        for one in page.versions
    ]
    return await visit.page(
        "versions.html",
        ns=namespace,
        key=key,
        past=past,
        versions=shown,
        following=page.versions[-1].version if page.more else None,
        recipe=recipe(
            visit,
            namespace,
            address(namespace, "keys", key, "versions"),
            f"memory.versions({key!r})",
        ),
    )


async def put_back(visit: Visit) -> Response:
    """Restores a key to what it was before a revision replaced or deleted it."""
    namespace, key = visit.namespace, visit.need("key")
    until = whole((await visit.form()).get("until", ""), "until")
    if not until:
        raise InvalidRequestError("the form lacks the version: open the page again")
    moment = ops.Moment(until - 1)
    await visit.apply(namespace, ops.RestorePast(moment, "key", key))
    return visit.go("key", ns=namespace, key=key)


async def show_changes(visit: Visit) -> Response:
    """Shows the latest changes, or those up to a revision, the newest first."""
    return await _changes(visit)


async def undo(visit: Visit) -> Response:
    """Takes a change back, unless what it touched was changed again."""
    revision = whole((await visit.form()).get("revision", ""), "revision")
    if not revision:
        raise InvalidRequestError("the form lacks the revision: open the page again")
    try:
        restored = await visit.memory(visit.namespace).undo(revision)
    except (ConflictError, NotFoundError) as error:
        return await _changes(visit, status=error.status or 409, error=error)
    return visit.go("changes", ns=visit.namespace, undone=revision, restored=restored)


async def _changes(
    visit: Visit, status: int = 200, error: ConflictError | NotFoundError | None = None
) -> Response:
    namespace = visit.namespace
    past, now = await visit.apply_all(namespace, ops.StatPast(), ops.ReadChanges())
    up_to = visit.number("up_to")
    last = now.revision if up_to is None else min(up_to, now.revision)
    changes = await latest_changes(visit, namespace, last, LISTED)
    since = changes[-1].revision - 1 if changes else last
    return await visit.page(
        "changes.html",
        status=status,
        ns=namespace,
        past=past,
        changes=changes,
        following=changes[-1].revision - 1 if len(changes) == LISTED else None,
        undone=visit.query.get("undone"),
        restored=visit.query.get("restored"),
        error=error,
        recipe=recipe(
            visit,
            namespace,
            address(namespace, "changes", after=since),
            f"memory.changes(since={since})",
        ),
    )
