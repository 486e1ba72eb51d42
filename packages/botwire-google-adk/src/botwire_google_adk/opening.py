"""How a service is opened: by its arguments, or by an address, as ``adk web`` does it."""

from __future__ import annotations

from botwire import ConfigurationError
from botwire.connection import Connection, ConnectionOptions
from botwire.specs import SPEC_PREFIX, read_spec


def connect(namespace: str | None, uri: str | None, connection: ConnectionOptions) -> Connection:
    """Returns the connection that the arguments of a service ask for.

    Args:
        namespace: The namespace.
        uri: Instead of it and of a URL: ``botwire://NAMESPACE?url=URL``; see `botwire.specs`.
        connection: Where memory lives.

    Raises:
        ConfigurationError: The arguments are not valid, or contradict each other.
    """
    if uri is None and namespace is not None and namespace.startswith(SPEC_PREFIX):
        uri, namespace = namespace, None  # ADK calls a registered class with the address alone
    if uri is not None:
        if namespace is not None or connection.get("url") or connection.get("client"):
            raise ConfigurationError("uri says where memory lives: pass uri, or namespace and url")
        spec = read_spec(uri)
        namespace = spec.get("namespace")
        connection = {**connection, "url": spec.get("url")}
    return Connection(namespace, framework="google-adk", **connection)
