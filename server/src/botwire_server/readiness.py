"""Asks the server on this machine whether it is ready: ``botwire ready``."""

from __future__ import annotations

import http.client
import json
import ssl
import time

from botwire.errors import ConfigurationError, TransportError
from botwire_server.settings import Settings

_PATH = "/readyz"
_SECONDS = 4.0  # for one answer
_PAUSE = 0.1
# Addresses for listening on all interfaces, which cannot be connected to everywhere.
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing is bound


def wait_until_ready(settings: Settings, seconds: float) -> tuple[bool, str]:
    """Asks the server that settings describe until it is ready, or time is up.

    Args:
        settings: The settings of the server, which runs on this machine.
        seconds: How long to keep asking; 0 asks once.

    Returns:
        Whether it is ready, and a line that says so or why not.

    Raises:
        ConfigurationError: The settings do not name a port.
        TransportError: The server does not answer.
    """
    if settings.port == 0:
        raise ConfigurationError("port 0 names no server: set the port that it listens on")
    deadline = time.monotonic() + seconds
    while True:
        is_last = not time.monotonic() < deadline  # also if it is not a number
        try:
            is_ready, line = _ask(settings)
        except TransportError:
            if is_last:
                raise
        else:
            if is_ready or is_last:
                return is_ready, line
        time.sleep(_PAUSE)


def _ask(settings: Settings) -> tuple[bool, str]:
    host, port = _LOOPBACK.get(settings.host, settings.host), settings.port
    scheme = "http" if settings.tls_cert is None else "https"
    url = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
    # `http.client` does not use the proxies of the environment.
    connection: http.client.HTTPConnection
    if settings.tls_cert is None:
        connection = http.client.HTTPConnection(host, port, timeout=_SECONDS)
    else:
        connection = http.client.HTTPSConnection(
            host, port, timeout=_SECONDS, context=_trusting_anyone()
        )
    try:
        connection.request("GET", _PATH)
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        reason = str(error) or type(error).__name__
        raise TransportError(f"no answer from {url}: {reason}", url=url) from None
    finally:
        connection.close()
    if answer.status == http.HTTPStatus.OK:
        return True, f"{url} is ready"
    return False, f"{url} is not ready: {_detail(body) or f'status {answer.status}'}"


def _trusting_anyone() -> ssl.SSLContext:
    """Returns a TLS context that accepts any certificate.

    The server's certificate is for its public name, and no secret is sent.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _detail(body: bytes) -> str:
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        return ""
