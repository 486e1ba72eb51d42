"""Sessions: exchanges an API key for a token, which a browser keeps in a cookie.

Programs that a user connects over OAuth send such a token as a bearer token.

A token is valid for one path of the server, until it expires. It consists of the id of the API key,
the expiry time, and a signature made with the stored digest of the key. So no server stores
anything for a session, all servers of a store accept it, and revoking the key ends it. A token does
not reveal the key.
"""

from __future__ import annotations

import hashlib
import hmac
import re

from botwire_server.api_keys import APIKey
from botwire_server.key_ring import KeyRing

_FORM = re.compile(r"([0-9a-f]{12})\.([0-9]{1,20})\.([0-9a-f]{64})")


def begin(key: APIKey, path: str, until: int) -> str:
    """Returns the token of a new session.

    Args:
        key: The API key that was sent.
        path: The path that the session is for, such as ``/console``.
        until: When the session ends, in microseconds since 1970.
    """
    return f"{key.id}.{until}.{_sign(key, path, until)}"


async def find(keys: KeyRing, token: str, path: str) -> APIKey | None:
    """Returns the API key of a session's token, if both are valid."""
    form = _FORM.fullmatch(token)
    if form is None:
        return None
    key, until = await keys.find_id(form[1]), int(form[2])
    if key is None or keys.store.clock() >= until:
        return None
    return key if hmac.compare_digest(_sign(key, path, until), form[3]) else None


def _sign(key: APIKey, path: str, until: int) -> str:
    signed = f"session {path} {key.id} {until}".encode()
    return hmac.new(bytes.fromhex(key.digest), signed, hashlib.sha256).hexdigest()
