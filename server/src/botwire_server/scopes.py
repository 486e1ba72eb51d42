"""The names of what this server notes in the scope of a request."""

from __future__ import annotations

REQUEST_ID = "botwire.request_id"
"""The request's id."""
HEADERS = "botwire.headers"
"""The headers by name; if a name is repeated, its last header wins."""
CALLER = "botwire.caller"
"""The request's `Caller`; a channel's requests come with it."""
WORK = "botwire.work"
"""The request's `RequestWork`."""
POLICIES = "botwire.policies"
"""The limits that applied to the request so far."""

IS_WHOLE = "botwire.body_is_whole"
"""Set by a server that has received the whole body."""
BODY_READ = "botwire.body_read"
"""Set once the body has been read completely, or if there is none."""
BODY_BYTES = "botwire.body_bytes"
"""The number of body bytes read."""

CHANNEL = "botwire.channel"
"""The channel, in the request that opens it."""
VIA_CHANNEL = "botwire.via_channel"
"""Set if the request came through a channel."""
WITHDRAWAL = "botwire.withdrawal"
"""The `Withdrawal` of a channel's request."""
