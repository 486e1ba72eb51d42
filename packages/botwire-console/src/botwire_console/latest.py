"""The latest changes of a namespace, as far back as they are known."""

from __future__ import annotations

from botwire import operations as ops
from botwire_console.visit import Visit


async def latest_changes(
    visit: Visit, namespace: str, last: int, most: int
) -> list[ops.ChangeEntry]:
    """Returns the changes up to a revision, the newest first.

    Older changes are pruned, so the oldest one kept may have any revision. A read that starts
    before it returns only a ``reset``, so this first finds the oldest.

    Args:
        visit: The request.
        namespace: The namespace.
        last: The revision of the last change.
        most: The most changes to return.
    """

    async def read(after: int, limit: int) -> list[ops.ChangeEntry] | None:
        page = await visit.apply(namespace, ops.ReadChanges(after, limit))
        is_known = not any(one.action == "reset" for one in page.changes)
        return [one for one in page.changes if one.revision <= last] if is_known else None

    unknown = max(last - most, 0)
    changes = await read(unknown, most)
    if changes is None:
        known = last
        while known - unknown > 1:
            middle = (unknown + known) // 2
            if await read(middle, 1) is None:
                unknown = middle
            else:
                known = middle
        changes = await read(known, most)
    return (changes or [])[::-1]
