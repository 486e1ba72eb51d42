"""Keeps tests on this machine: no telemetry, and no connection to anywhere else."""

from __future__ import annotations

import ipaddress
import os
import sys

TELEMETRY_OFF = {
    "ANONYMIZED_TELEMETRY": "false",
    "CREWAI_DISABLE_TELEMETRY": "true",
    "CREWAI_TRACING_ENABLED": "false",
    "LANGSMITH_TRACING": "false",
    "OTEL_SDK_DISABLED": "true",
}


class NetworkUsedError(OSError):
    """A test reached for another machine."""


def enforce() -> None:
    """Switches the frameworks' telemetry off and refuses connections, for the whole process."""
    os.environ.update(TELEMETRY_OFF)
    sys.addaudithook(_refuse)


def _refuse(event: str, args: tuple[object, ...]) -> None:
    # An audit hook and not a patched socket: it also sees what is connected inside the libraries.
    if event == "socket.getaddrinfo":
        host = args[0]
    elif event == "socket.connect" and isinstance(args[1], tuple):
        host = args[1][0]
    else:
        return
    if isinstance(host, bytes):
        host = host.decode()
    if not _is_here(host):
        raise NetworkUsedError(f"tests use no network, and this one wants {host!r}")


def _is_here(host: object) -> bool:
    if host in (None, "", "localhost"):
        return True
    try:
        return ipaddress.ip_address(str(host)).is_loopback
    except ValueError:
        return False
