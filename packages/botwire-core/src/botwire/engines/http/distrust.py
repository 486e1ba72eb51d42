"""Why no TLS connection can be made, where a retry cannot help."""

from __future__ import annotations

import ssl

_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")


def advice(error: BaseException) -> str | None:
    """Returns what to do about a failed connection, None if a retry may succeed.

    Args:
        error: The failure; one that it was raised from is considered too.
    """
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, ssl.SSLCertVerificationError):
            return (
                "the server's certificate is not trusted; if an authority of your own signed it, "
                "name its certificate in SSL_CERT_FILE"
            )
        if isinstance(found, ssl.SSLError) and getattr(found, "reason", None) in _NO_TLS:
            return "the server does not use TLS at this port: is its URL http:// instead?"
        found = found.__cause__ or found.__context__
    return None
