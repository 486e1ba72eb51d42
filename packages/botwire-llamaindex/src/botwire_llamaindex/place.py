"""Where the stores of this package live, and how they are made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, Self

from llama_index.core.schema import BaseComponent
from pydantic import (
    ModelWrapValidatorHandler,
    PrivateAttr,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

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


class FoundAgain(BaseComponent):
    """A part of a model of pydantic's, such as a workflow's typed state, that a dump refers to.

    The model is dumped and read by pydantic, which calls neither `to_dict` nor `from_dict`.
    """

    def __init__(self, **data: Any) -> None:
        super().__init__(**data)

    @model_validator(mode="wrap")
    @classmethod
    def _find_again(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        named = data.get("class_name") if isinstance(data, dict) else None
        for found in (cls, *cls.__subclasses__()):
            if named is not None and found.class_name() == named:
                return found.from_dict(data)
        return handler(data)

    @model_serializer(mode="wrap")
    def custom_model_dump(
        self, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        """Returns what finds this object again; named as LlamaIndex's own, which it replaces."""
        return self.to_dict()


class PlacedStore(MadeFromPlace, FoundAgain):
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

    def to_dict(self, **kwargs: Any) -> dict[str, Any]:
        """Returns what finds this store again: no message, no key."""
        return {**self._connection.reference(), "class_name": self.class_name()}

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
