"""AutoGen's cache of model answers, for when a model is asked the same again."""

from __future__ import annotations

from typing import Any, Self, TypeVar, Unpack

from autogen_core import CacheStore, Component
from pydantic import BaseModel

from botwire.connection import Connected, ConnectionOptions
from botwire.names import check_prefix, check_string
from botwire.operations import read_ttl
from botwire.tagged import from_json, to_json
from botwire_autogen.acting import acting

T = TypeVar("T")


class BotWireCacheStoreConfig(BaseModel):
    """The configuration of a `BotWireCacheStore` in a component, without secrets."""

    namespace: str
    url: str | None = None
    prefix: str = "autogen/cache/"
    ttl: float | None = None


class BotWireCacheStore(
    Connected,
    CacheStore[T],
    Component[BotWireCacheStoreConfig],
    framework="autogen",
    acting=acting,
    shows="_prefix",
):
    """AutoGen's cache store on BotWire: pass it in ``ChatCompletionCache(client, store)``.

    Pydantic models are stored as their dump, and `ChatCompletionCache` rebuilds them. AutoGen's
    cache stores are synchronous, so the event loop blocks while the store answers.

    Args:
        namespace: The namespace of the cache.
        prefix: The prefix of the keys. AutoGen's key of an answer does not tell which model gave
            it, so caches of two models need two prefixes or namespaces.
        ttl: Seconds until a value expires; None: never.
        **connection: Where memory lives; see `ConnectionOptions`.

    Raises:
        ConfigurationError: An argument is not valid.
    """

    component_config_schema = BotWireCacheStoreConfig
    component_provider_override = "botwire_autogen.BotWireCacheStore"

    def __init__(
        self,
        namespace: str,
        *,
        prefix: str = "autogen/cache/",
        ttl: float | None = None,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        super().__init__(namespace, **connection)
        self._prefix = check_prefix(prefix)
        self._ttl = read_ttl(ttl)

    def get(self, key: str, default: T | None = None) -> T | None:
        """Returns the value of a key, or `default`; a pydantic model comes back as its dump."""
        entry = self.connection.memory.entry(self._key(key))
        value: T | None = default if entry is None else from_json(entry.value)
        return value

    def set(self, key: str, value: T) -> None:
        """Stores a value.

        Raises:
            NotJSONError: The value holds something that cannot be restored; the error says where.
        """
        self.connection.memory.set(self._key(key), to_json(_dumped(value)), ttl=self._ttl)

    def _key(self, key: str) -> str:
        return self._prefix + check_string(key, "key")

    def _to_config(self) -> BotWireCacheStoreConfig:
        reference = self.connection.reference()
        return BotWireCacheStoreConfig(
            namespace=reference["namespace"],
            url=reference.get("url"),
            prefix=self._prefix,
            ttl=self._ttl,
        )

    @classmethod
    def _from_config(cls, config: BotWireCacheStoreConfig) -> Self:
        return cls(**config.model_dump())


def _dumped(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump()
    return [_dumped(part) for part in value] if isinstance(value, list) else value
