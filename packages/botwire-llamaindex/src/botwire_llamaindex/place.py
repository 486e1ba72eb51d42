"""Where the stores of this package live, and how they are made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, Self

from pydantic import BaseModel, PrivateAttr

from botwire import AsyncMemory, ConfigurationError, Memory
from botwire.connection import Connection


class MadeFromPlace:
    """The constructors by which LlamaIndex's other stores are made, beside the plain one."""

    @classmethod
    def from_uri(
        cls, uri: str, namespace: str | None = None, api_key: str | None = None, **kwargs: Any
    ) -> Self:
        """Makes a store at a URL; the other arguments are those of the class."""
        return cls.from_params(namespace, uri, api_key, **kwargs)

    @classmethod
    def from_params(
        cls,
        namespace: str | None = None,
        url: str | None = None,
        api_key: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """The same as the class itself."""
        return cls(namespace, url=url, api_key=api_key, **kwargs)  # type: ignore[call-arg]


class PlacedStore(MadeFromPlace, BaseModel):
    """The part that both chat stores have in common: a namespace at a place.

    Args:
        namespace: Whose. Unset: the client's, else ``BOTWIRE_NAMESPACE``, else ``default``.
        client: A `Memory` or `AsyncMemory` to use.
        url: Where memory lives, as for `Memory`.
        api_key: For a server, as for `Memory`; never part of a dump.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    namespace: str | None = None
    url: str | None = None

    _connection: Connection = PrivateAttr()

    def __init__(
        self,
        namespace: str | None = None,
        *,
        client: Memory | AsyncMemory | None = None,
        url: str | None = None,
        api_key: str | None = None,
        **unknown: Any,
    ) -> None:
        refuse_unknown(type(self), unknown)
        connection = Connection(namespace, client=client, url=url, api_key=api_key)
        super().__init__(**connection.reference())
        self._connection = connection  # after: pydantic resets private attributes

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], **kwargs: Any) -> Self:
        """Makes the store that a dump describes; see `Connection.from_reference` for its key."""
        return cls(client=Connection.from_reference(data).memory)

    @property
    def connection(self) -> Connection:
        """Where memory lives."""
        return self._connection


class _Named(Protocol):
    __name__: str


def store_at(
    cls: type[PlacedStore],
    store: Any,
    namespace: str | None,
    client: Memory | AsyncMemory | None,
    url: str | None,
    api_key: str | None,
) -> Any:
    """Returns the chat store of a memory: the one that was given, or one at the place given.

    Raises:
        ConfigurationError: It is of another class, or both were given.
    """
    if store is None:
        return cls(namespace, client=client, url=url, api_key=api_key)
    if not isinstance(store, cls):
        raise ConfigurationError(f"chat_store is a {cls.__name__}, not {type(store).__name__}")
    if (namespace, client, url, api_key) != (None, None, None, None):
        raise ConfigurationError("a chat_store knows its place: give it, or namespace and url")
    return store


def refuse_unknown(
    cls: _Named, given: Mapping[str, Any], known: Mapping[str, Any] | None = None
) -> None:
    """Raises `ConfigurationError` for arguments that would be dropped in silence."""
    unknown = sorted(given.keys() - (known or {}).keys())
    if unknown:
        raise ConfigurationError(f"{cls.__name__} takes no {', '.join(map(repr, unknown))}")
