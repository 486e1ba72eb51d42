"""API keys: creating them (the secret is shown once), their rights, last use, revoking them."""

from __future__ import annotations

from datetime import timedelta

from starlette.responses import Response

from botwire.clock import from_datetime, now, to_datetime
from botwire.errors import ConfigurationError, InvalidRequestError
from botwire_console.visit import Recipe, Visit, whole
from botwire_server.api_keys import EVERYTHING, RIGHTS, APIKey

AUDITED = 50
"""Entries of the audit log per page."""


async def show_all(visit: Visit) -> Response:
    """Shows all API keys, and the form to create one."""
    return await _page(visit)


async def create(visit: Visit) -> Response:
    """Creates an API key, and shows its secret once."""
    form = await visit.form()
    administration = visit.administration
    try:
        days = whole(form.get("days", ""), "the days", most=36_500)
        key, secret = await administration.create_key(
            label=form.get("label", "").strip()[:200],
            namespaces=_patterns(form.get("namespaces", "")),
            right=form.get("right", ""),
            expires_at=None if not days else from_datetime(to_datetime(now()) + timedelta(days)),
            writes=whole(form.get("writes", ""), "the writes") or None,
            rate=whole(form.get("rate", ""), "the requests") or None,
        )
    except (ConfigurationError, InvalidRequestError) as error:
        return await _page(visit, 422, error=error, form=form)
    return await _page(visit, 201, made=key, secret=secret)


async def revoke(visit: Visit) -> Response:
    """Revokes an API key."""
    await visit.administration.revoke_key((await visit.form()).get("id", ""))
    return visit.go("api-keys")


async def show_audit(visit: Visit) -> Response:
    """Shows the latest entries of the audit log: who deleted what, and who changed keys."""
    entries = await visit.administration.audit(AUDITED)
    shown = [
        (
            entry.pop("at"),
            entry.pop("event"),
            entry.pop("who"),
            [(name, value) for name, value in entry.items() if value not in (None, "")],
        )
        for entry in entries
    ]
    return await visit.page(
        "audit.html",
        entries=shown,
        recipe=Recipe(f"botwire keys audit -n {AUDITED}", _python(f"store.audit({AUDITED})")),
    )


async def _page(
    visit: Visit,
    status: int = 200,
    *,
    error: Exception | None = None,
    form: dict[str, str] | None = None,
    made: APIKey | None = None,
    secret: str = "",
) -> Response:
    at = now()
    rows = [(key, used, state_of(key, at)) for key, used in await visit.administration.keys()]
    return await visit.page(
        "api_keys.html",
        status=status,
        rows=rows,
        rights=RIGHTS,
        everything=EVERYTHING,
        error=error,
        form=form or {},
        made=made,
        secret=secret,
        recipe=Recipe("botwire keys list", _python("store.read()")),
    )


def state_of(key: APIKey, at: int) -> str:
    """Returns whether a key is ``valid``, ``revoked`` or ``expired``."""
    if key.is_valid(at):
        return "valid"
    return "revoked" if key.revoked_at is not None and key.revoked_at <= at else "expired"


def _patterns(text: str) -> tuple[str, ...]:
    patterns = tuple([part.strip() for part in text.split(",") if part.strip()])
    if not patterns:
        raise InvalidRequestError(
            f"name the namespaces that the key opens, or {EVERYTHING} for all of them"
        )
    return patterns


def _python(call: str) -> str:
    return "\n".join(
        [
            "import asyncio",
            "",
            "from botwire.engines.opening import open_async_engine",
            "from botwire.places import find_place",
            "from botwire_server.api_keys import KeyStore",
            "",
            "",
            "async def read():",
            "    engine = open_async_engine(find_place())  # the database itself, not the server",
            "    store = KeyStore(engine)",
            f"    print(await {call})",
            "    await engine.aclose()",
            "",
            "",
            "asyncio.run(read())",
        ]
    )
