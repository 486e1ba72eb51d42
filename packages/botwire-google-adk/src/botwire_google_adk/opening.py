"""How a service is opened: by its arguments, or by an address, as ``adk web`` does it."""

from __future__ import annotations

from typing import Unpack

from botwire import AsyncMemory, ConfigurationError
from botwire.connection import Connected, ConnectionOptions
from botwire.specs import SPEC_PREFIX, read_spec


class ServiceOptions(ConnectionOptions, total=False):
    """The arguments that say where a service's memory lives.

    Attributes:
        uri: ``botwire://NAMESPACE?url=URL`` instead of `namespace` and `url`, for ``adk web``; see
            `botwire.specs`.
        agents_dir: Ignored; ADK passes it.
    """

    uri: str | None
    agents_dir: str | None


class Service(Connected, framework="google-adk"):
    """The base of the services.

    Args:
        namespace: The namespace. Defaults to the client's, then to ``BOTWIRE_NAMESPACE``, then to
            ``default``.
        uri: See `ServiceOptions`.
        agents_dir: Ignored; ADK passes it.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: The arguments are not valid, or contradict each other.
    """

    def __init__(
        self,
        namespace: str | None = None,
        *,
        uri: str | None = None,
        agents_dir: str | None = None,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        if uri is None and str(namespace).startswith(SPEC_PREFIX):
            uri, namespace = namespace, None  # ADK calls a registered class with the address alone
        if uri is not None:
            if namespace is not None or connection.get("url") or connection.get("client"):
                raise ConfigurationError(
                    "uri says where memory lives: pass uri, or namespace and url"
                )
            spec = read_spec(uri)
            namespace = spec.get("namespace")
            connection = {**connection, "url": spec.get("url")}
        super().__init__(namespace, **connection)

    @property
    def _memory(self) -> AsyncMemory:
        return self.connection.async_memory
