"""The place of this package's stores, and the constructors they share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, Self, Unpack

from llama_index.core.schema import BaseComponent
from pydantic import (
    ModelWrapValidatorHandler,
    PrivateAttr,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from botwire import ConfigurationError, HistoryInfo
from botwire.arguments import check_mapping
from botwire.connection import Connection, ConnectionOptions, takes_connection
from botwire.operations import check_ttl
from botwire_llamaindex.acting import acting


class MadeFromPlace:
    """The alternative constructors that LlamaIndex's other stores have."""

    @classmethod
    def from_uri(
        cls, uri: str, namespace: str | None = None, api_key: str | None = None, **kwargs: Any
    ) -> Self:
        """Returns a store at a URL; the other arguments are those of the class."""
        return cls.from_params(namespace, uri, api_key, **kwargs)

    @classmethod
    def from_params(
        cls,
        namespace: str | None = None,
        url: str | None = None,
        api_key: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Returns a store, like the class's own constructor."""
        return cls(namespace, url=url, api_key=api_key, **kwargs)  # type: ignore[call-arg]


class FoundAgain(BaseComponent):
    """Base of objects whose dump is a reference, even inside another pydantic model.

    Pydantic dumps and reads such a model, for example a workflow's typed state, without calling
    `to_dict` or `from_dict`.
    """

    def __init__(self, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            wrong = (f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
            raise ConfigurationError(f"{type(self).__name__}({'; '.join(wrong)})") from error

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
        """Returns a reference to this object instead of LlamaIndex's own dump."""
        return self.to_dict()


class PlacedStore(MadeFromPlace, FoundAgain):
    """What both chat stores share: a namespace at a place.

    Args:
        namespace: The namespace of the conversations. Defaults to the client's, then to
            ``BOTWIRE_NAMESPACE``, then to ``default``.
        ttl: Seconds that a conversation lives after the last message was written, by the store's
            clock; None leaves its expiry as it is.
        **connection: See `ConnectionOptions`. A dump never contains the API key.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    namespace: str | None = None
    url: str | None = None
    ttl: float | None = None

    _connection: Connection = PrivateAttr()

    @takes_connection
    def __init__(
        self,
        namespace: str | None = None,
        *,
        ttl: float | None = None,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        if ttl is not None:
            check_ttl(ttl)
        refuse_unknown(type(self), connection, ConnectionOptions.__annotations__)
        connected = Connection(namespace, framework="llamaindex", acting=acting, **connection)
        super().__init__(**connected.reference(), ttl=ttl)
        self._connection = connected  # after: pydantic resets private attributes

    def to_dict(self, **kwargs: Any) -> dict[str, Any]:
        """Returns a reference to this store, without any message or key."""
        kept = {} if self.ttl is None else {"ttl": self.ttl}
        return {**self._connection.reference(), **kept, "class_name": self.class_name()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], **kwargs: Any) -> Self:
        """Returns the store that a dump refers to; see `Connection.from_reference` for its key."""
        return cls(client=Connection.from_reference(data).memory, ttl=data.get("ttl"))

    @property
    def connection(self) -> Connection:
        """The connection to the store."""
        return self._connection


def keys_of(infos: Iterable[HistoryInfo]) -> list[str]:
    """Returns the names of the histories that hold messages and not just metadata."""
    return [info.name for info in infos if info.count or info.archived]


class _Named(Protocol):
    __name__: str


def store_at(
    cls: type[PlacedStore],
    store: Any,
    namespace: str | None,
    connection: ConnectionOptions,
    ttl: float | None,
) -> Any:
    """Returns the chat store of a memory: the given one, or one at the given place.

    Raises:
        ConfigurationError: The store is of another class, or both were given.
    """
    if store is None:
        return cls(namespace, ttl=ttl, **connection)
    if not isinstance(store, cls):
        raise ConfigurationError(f"chat_store is a {cls.__name__}, not {type(store).__name__}")
    own = (namespace, ttl, *(connection.get(name) for name in ("client", "url", "api_key")))
    if any(option is not None for option in own):
        raise ConfigurationError(
            "a chat_store has its own place and ttl: pass it, or namespace, url and ttl"
        )
    return store


def refuse_unknown(
    cls: _Named, given: Mapping[str, Any], known: Mapping[str, Any] | None = None
) -> None:
    """Raises `ConfigurationError` for arguments that would be silently dropped."""
    unknown = sorted(given.keys() - (known or {}).keys())
    if unknown:
        raise ConfigurationError(f"{cls.__name__} does not take {', '.join(map(repr, unknown))}")


def check_dump(cls: _Named, data: object, *names: str) -> None:
    """Raises `ConfigurationError` unless a dump has these fields."""
    missing = [name for name in names if name not in check_mapping(data, "data")]
    if missing:
        raise ConfigurationError(f"this is no dump of a {cls.__name__}: it has no {missing[0]!r}")
