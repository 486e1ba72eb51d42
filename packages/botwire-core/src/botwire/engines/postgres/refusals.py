"""Why a database refuses connections, and whether waiting can help."""

from __future__ import annotations

import re
from typing import NamedTuple

# libpq reports only the text of a failed connection, not its SQLSTATE. If the database's
# `lc_messages` is not English, nothing matches, and calls wait for their timeout as in an outage.
# Missing here is whatever may pass: a start, a failover, too many connections, an LDAP server or a
# host name that is not found.
_PERMANENT = re.compile(
    r'FATAL:\s+(?:database ".*" does not exist'  # 3D000
    r'|role ".*" (?:does not exist|is not permitted to log in)'  # 28000
    r"|(?:password|Peer|Ident|certificate|SASL) authentication failed"  # 28P01, 28000
    r"|no pg_hba\.conf entry|pg_hba\.conf rejects connection"  # 28000
    r"|permission denied for database"  # 42501
    r"|no such (?:database|user)|unsupported startup parameter"  # PgBouncer
    r"|unrecognized configuration parameter|invalid value for parameter)"  # 42704, 22023
    # What libpq finds itself.
    r"|fe_sendauth: no password supplied"
    r"|server does not support SSL, but SSL was required"
    r"|connection is bad: invalid \w+ value"
    r"|root certificate file .* does not exist"
    r"|SSL error: certificate verify failed"
)
_ATTEMPT = re.compile(r"- (host: \S+), port: ")  # psycopg's list, if there are several addresses


class Refusal(NamedTuple):
    """Why there is no connection.

    Attributes:
        reason: What the database or the network reported.
        is_silence: Whether nothing answered, so that each further attempt takes its full timeout.
        at: When, as `time.monotonic` tells the time.
    """

    reason: str
    is_silence: bool
    at: float

    @property
    def is_permanent(self) -> bool:
        """Whether the URL or the database must change: its name, the role, the password.

        Of several hosts, each must refuse for such a reason; a host may have several addresses.
        """
        _, *attempts = _ATTEMPT.split(self.reason)
        if not attempts:
            return _PERMANENT.search(self.reason) is not None
        pairs = list(zip(attempts[::2], attempts[1::2], strict=True))
        refused_for_good = {host for host, reason in pairs if _PERMANENT.search(reason)}
        return refused_for_good == {host for host, _ in pairs}
