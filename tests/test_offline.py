"""Tests use no network, and fail if they do."""

from __future__ import annotations

import socket

import pytest

from tests.offline import NetworkUsedError


def test_another_machine_cannot_be_reached() -> None:
    with pytest.raises(NetworkUsedError, match=r"wants '192\.0\.2\.1'"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)
    with pytest.raises(NetworkUsedError, match=r"wants 'example\.com'"):
        socket.getaddrinfo("example.com", 80)


def test_this_machine_can() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(("localhost", server.getsockname()[1])).close()
